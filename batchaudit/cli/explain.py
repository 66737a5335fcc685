"""`batchaudit explain [CAUSE]`: what a finding means, what it is not, and how to repair it."""

from __future__ import annotations

import re
import sys

import click

_TO_A_PAGE = re.compile(r"\[(`[a-z-]+`)\]\([a-z-]+\.md\)")
_FRAMEWORKS = ("torch", "keras", "tf_keras", "tf.data", "datasets", "webdataset")


@click.command()
@click.argument("cause", required=False)
@click.option("--fix", "only_fix", is_flag=True, help="Print what to change, and nothing else.")
@click.option(
    "--framework",
    type=click.Choice(_FRAMEWORKS),
    help="Print what to change with this framework, and nothing else.",
)
def explain(cause: str | None, only_fix: bool, framework: str | None) -> None:
    """Print the page of a cause: mechanism, evidence, fix for each framework, real reports.

    CAUSE is the slug that a finding names. Without it the causes are listed.

    Exit codes: 0 printed; 2 there is no such cause.
    """
    if cause is None:
        if only_fix or framework:
            raise click.UsageError("name the CAUSE whose fix is to be printed.")
        _print_list()
        return
    from batchaudit.diagnosis import pages

    known = _known(cause)
    if framework:
        _print_markdown(_fix_with(known, framework))
    elif only_fix:
        _print_markdown(pages.section(known, pages.FIX))
    else:
        _print_markdown(pages.text(known))


def _known(cause: str) -> str:
    from batchaudit.diagnosis.pages import CAUSES
    from batchaudit.errors import UsageError

    slug = cause.lower().replace("_", "-")
    if slug in CAUSES:
        return slug
    import difflib

    near = difflib.get_close_matches(slug, CAUSES, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"there is no cause {cause!r}: {hint}The causes are {', '.join(CAUSES)}.")


def _fix_with(cause: str, framework: str) -> str:
    """The parts of a fix that are about one framework; where there is none, the one for any."""
    from batchaudit.diagnosis import pages

    known = pages.fixes(cause)
    places = [place for place in pages.FRAMEWORKS[framework] if place in known] or [pages.ANY]
    return "\n\n".join(f"### {place}\n\n{known[place]}" for place in places)


def _print_list() -> None:
    from batchaudit.diagnosis import pages

    last = (
        "`batchaudit explain CAUSE` prints the page of a cause; a finding names its cause by the same word."
    )
    rows = [(cause, pages.summary(cause)) for cause in pages.CAUSES]
    if not sys.stdout.isatty():
        for cause, summary in rows:
            click.echo(f"{cause:<20} {summary}")
        click.echo(f"\n{last}")
        return
    from rich.table import Table

    from batchaudit.cli import output

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = output.console()
    console.print(table)
    console.print(f"\n{last}", markup=False)


def _print_markdown(text: str) -> None:
    if not sys.stdout.isatty():
        click.echo(text.rstrip("\n"))
        return
    from rich.markdown import Markdown

    from batchaudit.cli import output

    # A terminal cannot follow a link to a neighbour's page; that to a report is shown in full.
    output.console().print(Markdown(_TO_A_PAGE.sub(r"\1", text), hyperlinks=False))
