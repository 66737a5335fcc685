"""A comparison of two runs in a terminal, and as plain text: the verdict first, then each pair."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from batchaudit.report import comparison_words as words
from batchaudit.report.comparison import DIFFERENT, SAME, UNKNOWN

# The same paragraphs and tables as a report's.
from batchaudit.report.console import write_blank as print_blank
from batchaudit.report.console import write_line as print_line
from batchaudit.report.console import write_table as print_table
from batchaudit.untrusted import shown_line

if TYPE_CHECKING:
    from batchaudit.report.comparison import Comparison, Pair

_STYLES = {SAME: "bold green", DIFFERENT: "bold red", UNKNOWN: "bold yellow"}
_MOST_PAIRS = 6
"""How many pairs that differ are shown in full; a run may have hundreds of ranks."""


def as_text(comparison: Comparison, width: int = 100) -> str:
    """Writes a comparison as plain text.

    Args:
        comparison: the comparison.
        width: columns of a line.

    Returns:
        Text without colours or trailing blanks, ending in a line break.
    """
    file = io.StringIO()
    print_comparison(
        comparison,
        Console(file=file, width=width, force_terminal=False, force_jupyter=False, color_system=None),
    )
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Prints a comparison.

    Args:
        comparison: the comparison.
        console: where to. Nothing that comes from a log is taken for markup.
    """
    print_line(console, 0, (words.headline(comparison), _STYLES[comparison.verdict]))
    print_line(console, 0, (words.runs(comparison), ""))
    for note in comparison.notes:
        print_line(console, 0, (f"note: {shown_line(note)}", ""))
    for one in comparison.alone[:_MOST_PAIRS]:
        print_line(console, 0, (words.alone(one), ""))
    _left_out(console, len(comparison.alone), "streams that only one run has")
    unlike = [pair for pair in comparison.pairs if pair.verdict != SAME]
    for pair in unlike[:_MOST_PAIRS]:
        _pair(console, comparison, pair)
    _left_out(console, len(unlike), "streams that differ")
    _alike(console, comparison)


def _pair(console: Console, comparison: Comparison, pair: Pair) -> None:
    print_blank(console)
    title, said = words.title(comparison, pair), words.summary(pair)
    only = len(comparison.pairs) == 1 and not comparison.alone  # the first line has said it
    print_line(console, 0, (title, _STYLES[pair.verdict]), ("" if only else f": {said}", ""))
    if pair.first is not None:
        print_line(console, 2, (words.first(pair), ""))
    for note in pair.notes:
        print_line(console, 2, (shown_line(note), ""))
    print_table(console, words.table(pair))


def _alike(console: Console, comparison: Comparison) -> None:
    """The pairs that are the same: one line each, and none where the first line has said it."""
    alike = [pair for pair in comparison.pairs if pair.verdict == SAME]
    if len(alike) == len(comparison.pairs) == 1:
        for note in alike[0].notes:
            print_line(console, 0, (f"note: {shown_line(note)}", ""))
        return
    for pair in alike[:_MOST_PAIRS]:
        title = words.title(comparison, pair)
        notes = "".join(f"; {shown_line(note)}" for note in pair.notes)
        print_line(console, 0, (title, _STYLES[SAME]), (f": the same: {words.summary(pair)}{notes}", ""))
    _left_out(console, len(alike), "streams that are the same")


def _left_out(console: Console, total: int, what: str) -> None:
    if total > _MOST_PAIRS:
        print_line(console, 0, (f"{total - _MOST_PAIRS} more {what} are in the JSON", "dim"))
