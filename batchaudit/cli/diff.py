"""`batchaudit diff RUN_A RUN_B`: did two runs deliver the same streams?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchaudit.cli.exit_codes import ExitCode
from batchaudit.cli.options import mode_option

if TYPE_CHECKING:
    from pathlib import Path

    from batchaudit.report.comparison import Comparison


@click.command()
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME",
    help="Compare this source only; A=B compares A of the first run with B of the second. May be repeated.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="S",
    help="Compare under this strategy only; A=B as with --source. May be repeated.",
)
@click.option("--attempt-a", type=click.IntRange(min=0), help="Take only this attempt of the first run.")
@click.option("--attempt-b", type=click.IntRange(min=0), help="Take only this attempt of the second run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@mode_option
@click.pass_context
def diff(
    ctx: click.Context,
    run_a: str,
    run_b: str,
    sources: tuple[str, ...],
    strategies: tuple[str, ...],
    attempt_a: int | None,
    attempt_b: int | None,
    as_json: bool,
    mode: str,
) -> None:
    """Say whether two runs delivered the same streams, and where they first differ.

    RUN_A and RUN_B are folders of runs. All attempts of a run are one stream, one after the other.

    Exit codes: 0 the same; 1 different; 2 bad usage or nothing to compare; 3 an incomplete or unreadable
    log, or batches that could not be hashed.
    """
    from batchaudit.cli import output

    document = output.take_stdout() if as_json else None
    folder_a, folder_b = _folder(run_a), _folder(run_b)
    # pandas is loaded only once there is something to read.
    from batchaudit.comparing import compare
    from batchaudit.report.comparison_console import print_comparison

    found = compare(
        folder_a,
        folder_b,
        sources=sources,
        strategies=strategies,
        attempt_a=attempt_a,
        attempt_b=attempt_b,
        mode=mode,
    )
    people = output.console(err=as_json)
    print_comparison(found, people)
    if document is not None:
        document.write(found.to_json())
        document.flush()
    for name, side in (("A", found.a), ("B", found.b)):
        people.print(f"log of {name}: {side.log.line}", markup=False, soft_wrap=True)
    ctx.exit(_exit_code(found))


def _folder(run: str) -> Path:
    from pathlib import Path

    from batchaudit.errors import UsageError

    path = Path(run)
    if not path.exists():
        raise UsageError(f"there is no run {run!r}: name the folder of a run.")
    if not path.is_dir():
        raise UsageError(f"{run!r} is a file: streams are compared from the folder of a run.")
    return path


def _exit_code(found: Comparison) -> ExitCode:
    from batchaudit.report.comparison import DIFFERENT, SAME

    codes = {SAME: ExitCode.OK, DIFFERENT: ExitCode.FINDINGS}
    return codes.get(found.verdict, ExitCode.INCOMPLETE)
