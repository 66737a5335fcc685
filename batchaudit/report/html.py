"""The report as HTML: a fragment for notebooks, a page for a file; no script, nothing loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from batchaudit.report.downloads import downloads
from batchaudit.report.epoch_table import MOST_ROWS, Table, epoch_table
from batchaudit.report.pictures import gallery
from batchaudit.report.view import RunView, view
from batchaudit.report.words import WORDS

if TYPE_CHECKING:
    from batchaudit.report.model import Report, Run

_FIRST = ("error", "failed", "warning", "unexplained", "incomplete", "info")
"""What a run's status makes of its place in a page; the others follow as they were driven."""
_MOST_TABLE_ROWS = 1000


@cache
def _environment() -> Environment:
    # Names in a log are anybody's: everything is escaped, and a name that a template misspells is an error.
    return Environment(
        loader=PackageLoader("batchaudit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def as_fragment(report: Report) -> str:
    """The report as one `<div>` with its own style, as notebooks show it.

    Args:
        report: the report.

    Returns:
        HTML.
    """
    return _render("fragment.html", report)


def as_page(report: Report) -> str:
    """The report as a page that stands alone: contents, findings, pictures, and the data behind them.

    Args:
        report: the report.

    Returns:
        HTML.
    """
    return _render("page.html", report, page=True, data=downloads(report), words=WORDS)


def _render(template: str, report: Report, page: bool = False, **more: Any) -> str:
    shown = view(report)
    shown = replace(shown, runs=tuple(sorted(shown.runs, key=_urgency)))
    whole = [_whole(report, one.run) if page and one.run is not None else None for one in shown.runs]
    return (
        _environment()
        .get_template(template)
        .render(report=shown, page=page, gallery=gallery(report, shown), whole=whole, **more)
    )


def _urgency(run: RunView) -> int:
    """The place of a run in a page: what has to be changed comes before what is fine."""
    return _FIRST.index(run.status) if run.status in _FIRST else len(_FIRST)


@dataclass(frozen=True)
class _Whole:
    """All epochs of a long run: as a table, or as text where a browser would choke on so many cells."""

    count: int
    table: Table | None
    text: str


def _whole(report: Report, run: Run) -> _Whole | None:
    """All epochs, where the short table leaves some out."""
    epochs = report.epochs_of(run)
    if len(epochs) <= MOST_ROWS:
        return None
    table = epoch_table(epochs, whole=True)
    if len(epochs) <= _MOST_TABLE_ROWS:
        return _Whole(len(epochs), table, "")
    return _Whole(len(epochs), None, _as_text(table))


def _as_text(table: Table) -> str:
    """A table as lines of text, the columns under each other."""
    rows = (table.headings, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
    return "\n".join((*lines, *table.notes))
