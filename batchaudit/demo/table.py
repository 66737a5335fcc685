"""A section as lines of text for a terminal."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from batchaudit.demo.figures import Figures, figures, percents, ratios
from batchaudit.report import cells
from batchaudit.untrusted import shown_line

if TYPE_CHECKING:
    from batchaudit.demo.model import Section

WIDTH = 100

_HEADINGS = (
    ("", "deliv-", "different", "over", "", "seed", ""),
    ("strategy", "ered", "by epoch", "all", "coverage", "div.", "found"),
)
_LEFT = ("strategy", "found")


def section_lines(section: Section) -> list[str]:
    """Writes one section: its table, the notes' claim, what was seen.

    Args:
        section: what came of a chapter.

    Returns:
        Lines, none longer than `WIDTH` save for a table's.
    """
    lines = [section.title, "-" * len(section.title), *_table(section), ""]
    lines += paragraph(f"The notes say: {section.claim}")
    lines += paragraph("Seen here:")
    for sentence in section.seen:
        lines += paragraph(sentence, "  - ")
    return [*lines, ""]


def paragraph(text: str, mark: str = "") -> list[str]:
    """Wraps a text.

    Args:
        text: one paragraph.
        mark: what the first line begins with; the others are set in as far.

    Returns:
        Lines.
    """
    return textwrap.wrap(
        shown_line(text),
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(section: Section) -> list[str]:
    rows = {
        source: [
            _row(figures(section.report, source, run.strategy))
            for run in section.report.runs
            if run.source == source
        ]
        for source in section.sources
    }
    every = [*_HEADINGS, *(row for some in rows.values() for row in some)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    lines = [_line(heading, widths) for heading in _HEADINGS]
    for source, some in rows.items():
        lines += [f"{source}:"] if len(rows) > 1 else []
        lines += [_line(row, widths) for row in some]
    return lines


def _row(run: Figures) -> tuple[str, ...]:
    found = ", ".join(run.causes) or ("–" if run.ended else "nothing")
    return (
        run.strategy,
        cells.count(run.total),
        ", ".join(map(cells.count, run.unique)) or cells.UNKNOWN,
        cells.count(run.over_all),
        percents(run.coverage),
        ratios(run.divergence),
        found + (" (ended early)" if run.ended else ""),
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    padded = (
        cell.ljust(width) if heading in _LEFT else cell.rjust(width)
        for heading, cell, width in zip(_HEADINGS[-1], row, widths, strict=True)
    )
    return ("  " + "  ".join(padded)).rstrip()
