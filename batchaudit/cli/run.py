"""`batchaudit run SCRIPT [ARGS]`: audits an unchanged script while it trains."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn, TextIO

import click

from batchaudit.cli.exit_codes import FAIL_ON, ExitCode, of_report
from batchaudit.cli.options import Files, Kept, files_options, kept_options
from batchaudit.untrusted import shown

if TYPE_CHECKING:
    from pathlib import Path

    from batchaudit.report.model import Report

_RUNS = "batchaudit-runs"


# What follows the script is the script's own, options too: hence no interspersed arguments, and -m is a flag.
@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("target", metavar="SCRIPT")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module, as in 'python -m MODULE'.")
@click.option(
    "--out",
    metavar="DIR",
    help=f"Keep the log in this folder; one that holds a run gets its next attempt. Default: a new folder "
    f"in {_RUNS}.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON document on standard output; what the script prints there goes to standard error.",
)
@files_options
@kept_options
@click.option(
    "--fail-on",
    type=click.Choice(FAIL_ON),
    default="never",
    show_default=True,
    help="Exit with 1 if the script succeeds and there is a finding of this severity or above.",
)
@click.pass_context
def run(
    ctx: click.Context,
    target: str,
    arguments: tuple[str, ...],
    module: bool,
    out: str | None,
    as_json: bool,
    files: Files,
    kept: Kept,
    fail_on: str,
) -> None:
    """Run SCRIPT as Python would, and audit what it trains on.

    The script stays as it is: its output, its arguments, its exit code and what signals do to it are those of
    'python SCRIPT [ARGS]'. The report follows on standard error.
    """
    from batchaudit.capture.provenance import place
    from batchaudit.cli import output
    from batchaudit.journal.manifest import Manifest
    from batchaudit.running import child, supervisor

    child.check(target, module=module)
    files.check()
    kept.check()
    folder = _folder(out, target)
    rank = place(os.environ).rank
    attempt = Manifest(0, "", kind="live", rank=rank).claim(folder).attempt
    document = output.take_stdout() if as_json else None
    code = supervisor.supervise(
        child.command(target, arguments, module=module),
        child.environment(folder, attempt, os.environ, kept.max_bytes, kept.key_file),
    )
    report = _say(folder, attempt, document, files)
    if code < 0:
        supervisor.end_by(-code)
    if code == 0 and fail_on != "never":
        code = ExitCode.INCOMPLETE if report is None else of_report(report, fail_on)
    ctx.exit(code)


def _folder(out: str | None, target: str) -> Path:
    from pathlib import Path

    from batchaudit.cli.output import check_folder

    check_folder("--out", out if out is not None else _RUNS)
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    name = Path(target).absolute().stem or "run"
    number = 1
    while True:
        folder = Path(_RUNS, f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _say(folder: Path, attempt: int, document: TextIO | None, files: Files) -> Report | None:
    """Reports what was seen; whatever goes wrong with it, the script has ended as it has."""
    try:
        return _report(folder, attempt, document, files)
    except KeyboardInterrupt:
        _leave(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # nobody reads standard error any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    except Exception as error:
        _complain(error)
    return None


def _report(folder: Path, attempt: int, document: TextIO | None, files: Files) -> Report | None:
    """Prints and writes the report.

    Returns:
        The report; None where nothing of this attempt was seen.
    """
    from batchaudit.cli import output
    from batchaudit.running import outcome

    report = outcome.report(folder)
    seen = report is not None and any(one.attempt == attempt for one in report.runs)
    if not seen:
        click.echo(f"batchaudit: {outcome.NOTHING_SEEN}", err=True)
    if report is not None:
        from batchaudit.report.console import print_report

        click.echo(err=True)
        print_report(report, output.console(err=True))
        click.echo(f"log kept in {folder}; to see it again: batchaudit report {folder}", err=True)
    if document is not None or files:
        for line in output.write(report or outcome.nothing(), document, files):
            click.echo(line, err=True)
    for line in output.of_log(report):
        click.echo(line, err=True)
    return report if seen else None


def _complain(error: Exception) -> None:
    from batchaudit.errors import BatchauditError

    if not isinstance(error, BatchauditError):
        import traceback

        click.echo(traceback.format_exc(), err=True)
    click.echo(f"Error: the script has ended, but there is no report: {shown(str(error))}", err=True)


def _leave(code: int) -> NoReturn:
    """Ends at once: what was being imported is half there, and Python would complain of it on its way out."""
    sys.stdout.flush()
    os._exit(code)
