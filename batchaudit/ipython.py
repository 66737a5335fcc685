"""`%%batchaudit`: watches what a notebook's cell gives to its frameworks, and shows the report under it.

`%load_ext batchaudit` brings it. Requires IPython, which is there wherever a notebook is.
"""

from __future__ import annotations

import argparse
import contextlib
import keyword
import shlex
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class

from batchaudit.auditing import report as read
from batchaudit.errors import BatchauditError, JournalError
from batchaudit.live import Audit

if TYPE_CHECKING:
    from batchaudit.report.model import Report


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"%%batchaudit: {message}\n{self.format_usage().strip()}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%batchaudit", add_help=False)
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="the variable that the report is kept in"
    )
    parser.add_argument(
        "--out", metavar="DIR", default=None, help="the run's folder; by default the log is not kept"
    )
    return parser


@magics_class
class BatchauditMagics(Magics):
    """The magic of this package."""

    @cell_magic
    def batchaudit(self, line: str, cell: str) -> None:
        """Runs the cell, watches every source that it gives to a framework, and shows the report.

        Usage: `%%batchaudit [NAME] [--out DIR]`. NAME is the variable that the report is kept in; with
        `--out` the log is kept in a run's folder, for `batchaudit report` and `batchaudit diff`.

        An error of the cell is shown as ever, and after it the report of what came before; then the cell has
        failed, so that what was to run after it does not. Where there is no report, NAME is None.
        """
        asked = _asked(line)
        shell: Any = self.shell
        report: Report | None = None
        with contextlib.ExitStack() as stack:
            given = asked.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="batchaudit-"))
            folder = Path(given).expanduser()
            try:
                audit = stack.enter_context(Audit(folder, everything=True))
            except BatchauditError as error:
                raise UsageError(f"%%batchaudit: {error}") from None
            ran = shell.run_cell(cell, store_history=False)
            audit.close()
            if ran.error_before_exec is None:
                report = _report(folder, audit.attempt)
        if asked.name:
            shell.user_ns[asked.name] = report
        if report is not None:
            data, metadata = shell.display_formatter.format(report)
            shell.display_pub.publish(data, metadata)
        _fail(ran)


def _asked(line: str) -> argparse.Namespace:
    """What stands behind `%%batchaudit`.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        asked = _parser().parse_args(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"%%batchaudit: {error}") from None
    if asked.name and (not asked.name.isidentifier() or keyword.iskeyword(asked.name)):
        raise UsageError(f"%%batchaudit: {asked.name!r} is no name of a variable.")
    return asked


def _report(folder: Path, attempt: int) -> Report | None:
    """The report of what the cell did; None, and a line that says why, where there is nothing to report."""
    try:
        # The folder may hold what the cell did when it was run before: that is no training that was resumed.
        report = read(folder, attempt=attempt)
    except JournalError:
        report = None
    except BatchauditError as error:
        print(f"%%batchaudit: there is no report: {error}")
        return None
    if report is None or not report.runs:
        print(_UNSEEN)
        return None
    return report


_UNSEEN = (
    "%%batchaudit: no source of batches was seen. A source is watched where Keras, tf_keras, PyTorch or "
    "tf.data goes over it: fit() or the loop must be in this cell."
)


def _fail(ran: Any) -> None:
    """Raises the cell's error, of which the traceback has been shown already."""
    if ran.error_before_exec is not None:
        raise UsageError("%%batchaudit: the cell could not be run, so nothing was watched.")
    error = ran.error_in_exec
    if error is None:
        return
    said = traceback.format_exception_only(error)[-1].strip()

    def once() -> list[str]:
        with contextlib.suppress(AttributeError):
            del error._render_traceback_
        return [f"{said} (the traceback is above)"]

    with contextlib.suppress(AttributeError):
        error._render_traceback_ = once  # where IPython looks for what to show
    raise error


def register(shell: Any) -> None:
    """Adds the magic to a shell.

    Args:
        shell: IPython's.
    """
    shell.register_magics(BatchauditMagics)
