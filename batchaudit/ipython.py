"""`%%batchaudit`: watches what a notebook's cell gives to its frameworks, and shows the report under it.

`%load_ext batchaudit` brings it. Requires IPython, which is there wherever a notebook is.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, magics_class

from batchaudit.errors import BatchauditError
from batchaudit.live import Audit

if TYPE_CHECKING:
    from batchaudit.report.model import Report


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"%%batchaudit: {message}\n{self.format_usage().strip()}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%batchaudit", add_help=False)
    parser.add_argument("name", nargs="?", default="", help="the variable that the report is kept in")
    parser.add_argument("--out", default=None, help="the run's folder; by default the log is not kept")
    return parser


@magics_class
class BatchauditMagics(Magics):
    """The magic of this package."""

    @cell_magic
    def batchaudit(self, line: str, cell: str) -> None:
        """Runs the cell, watches every source that it gives to a framework, and shows the report.

        Usage: `%%batchaudit [NAME] [--out DIR]`. NAME is the variable that the report is kept in; with
        `--out` the log is kept in a run's folder, for `batchaudit report` and `batchaudit diff`.

        An error of the cell is shown as ever, and after it the report of what came before.
        """
        try:
            asked = _parser().parse_args(shlex.split(line))
        except ValueError as error:
            raise UsageError(f"%%batchaudit: {error}") from None
        if asked.name and not asked.name.isidentifier():
            raise UsageError(f"%%batchaudit: {asked.name!r} is no name of a variable.")
        shell: Any = self.shell
        with contextlib.ExitStack() as stack:
            folder = asked.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="batchaudit-"))
            try:
                audit = stack.enter_context(Audit(folder, everything=True))
            except BatchauditError as error:
                raise UsageError(f"%%batchaudit: {error}") from None
            shell.run_cell(cell, store_history=False)
            audit.close()
            report = _report(audit, Path(folder))
        if report is not None:
            if asked.name:
                shell.user_ns[asked.name] = report
            data, metadata = shell.display_formatter.format(report)
            shell.display_pub.publish(data, metadata)


def _report(audit: Audit, folder: Path) -> Report | None:
    try:
        return audit.report()
    except BatchauditError as error:
        print(f"%%batchaudit: no report of {folder.name}: {error}")
        return None


def register(shell: Any) -> None:
    """Adds the magic to a shell.

    Args:
        shell: IPython's.
    """
    shell.register_magics(BatchauditMagics)
