"""The report as HTML: a fragment for notebooks, a page for a file; no script, nothing loaded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from batchaudit.report.view import view

if TYPE_CHECKING:
    from batchaudit.report.model import Report


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
    """The report as a page that stands alone.

    Args:
        report: the report.

    Returns:
        HTML.
    """
    return _render("page.html", report)


def _render(template: str, report: Report) -> str:
    return _environment().get_template(template).render(report=view(report))
