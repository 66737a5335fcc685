"""The report as HTML: a fragment for notebooks, a page for a file; no script, nothing loaded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from batchaudit.report.downloads import downloads
from batchaudit.report.epoch_table import MOST_ROWS, Table, epoch_table
from batchaudit.report.pictures import gallery
from batchaudit.report.view import view

if TYPE_CHECKING:
    from batchaudit.report.model import Report, Run


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
    return _render("page.html", report, page=True, data=downloads(report))


def _render(template: str, report: Report, page: bool = False, **more: Any) -> str:
    shown = view(report)
    whole = [_whole(report, one.run) if page and one.run is not None else None for one in shown.runs]
    return (
        _environment()
        .get_template(template)
        .render(report=shown, page=page, gallery=gallery(report, shown), whole=whole, **more)
    )


def _whole(report: Report, run: Run) -> Table | None:
    """The table of all epochs, where the short one leaves some out."""
    epochs = report.epochs_of(run)
    return epoch_table(epochs, whole=True) if len(epochs) > MOST_ROWS else None
