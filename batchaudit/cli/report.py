"""`batchaudit report RUN [RUN ...]`: reads kept logs and reports them again."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

import click

from batchaudit.cli.exit_codes import FAIL_ON, of_report
from batchaudit.cli.options import Files, files_options, mode_option

if TYPE_CHECKING:
    from batchaudit.report.model import Report


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@files_options
@mode_option
@click.option(
    "--fail-on",
    type=click.Choice(FAIL_ON),
    default="error",
    show_default=True,
    help="Exit with 1 if there is a finding of this severity or above.",
)
@click.pass_context
def report(
    ctx: click.Context, runs: tuple[str, ...], as_json: bool, files: Files, mode: str, fail_on: str
) -> None:
    """Report kept runs again.

    RUN is the folder that 'batchaudit audit --out' wrote, or a report saved as JSON. Folders of which each
    holds another rank of one training are reported as that one training.
    """
    from batchaudit.cli import output
    from batchaudit.report.combine import combine

    document = output.take_stdout() if as_json else None
    files.check()
    different = list({os.path.realpath(run): run for run in runs}.values())
    for file in (files.html, files.markdown):
        _refuse_link_of(different, file)
    read = _as_ranks(different, mode) or combine([(run, _read(run, mode)) for run in different])
    output.show(read, document, files)
    ctx.exit(of_report(read, fail_on))


def _refuse_link_of(runs: list[str], file: str | None) -> None:
    """Refuses to write through a link in a run's folder that leads out of it: a run may be anybody's.

    Raises:
        UsageError: the file is such a link.
    """
    if file is None or not os.path.islink(file):
        return
    from batchaudit.errors import UsageError

    lies, leads = os.path.realpath(os.path.dirname(file) or "."), os.path.realpath(file)
    for folder in map(os.path.realpath, runs):
        inside = os.path.commonpath([folder, lies]) == folder
        if inside and os.path.commonpath([folder, leads]) != folder:
            raise UsageError(f"{file!r} is a link out of the run's folder: name the file that it leads to.")


def _as_ranks(runs: list[str], mode: str) -> Report | None:
    """One report of ranks that logged to folders of their own; None where the folders are not that."""
    from batchaudit import auditing

    if len(runs) < 2 or not all(os.path.isdir(run) for run in runs):
        return None
    return auditing.report_together(runs, mode=mode)


def _read(run: str, mode: str) -> Report:
    from batchaudit import auditing
    from batchaudit.errors import JournalError, UsageError
    from batchaudit.report.files import load

    if os.path.isfile(run):
        saved = load(run)
        if mode == "strict" and not saved.complete:
            raise JournalError(f"the log of which {run!r} is the report is not complete.")
        return saved
    if not os.path.exists(run):
        raise UsageError(f"there is no run {run!r}: name a folder that 'batchaudit audit --out' wrote.")
    return auditing.report(run, mode=mode)
