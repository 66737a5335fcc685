"""Prints an experiment's figures as a Markdown table, so that they can go into the documentation as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; numbers stand to the right.

    Args:
        columns: their names.
        rows: their cells; integers are shown with separators.
    """
    kept = [list(row) for row in rows]
    texts = [list(columns), *([_text(cell) for cell in row] for row in kept)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    right = [
        bool(kept) and all(isinstance(row[at], (int, float)) for row in kept) for at in range(len(columns))
    ]
    for number, line in enumerate(texts):
        print("| " + " | ".join(_padded(*each) for each in zip(line, widths, right, strict=True)) + " |")
        if number == 0:
            rule = (
                "-" * (width - 1) + ":" if to else "-" * width
                for width, to in zip(widths, right, strict=True)
            )
            print("| " + " | ".join(rule) + " |", flush=True)


def _text(cell: object) -> str:
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.2f}"


def _padded(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
