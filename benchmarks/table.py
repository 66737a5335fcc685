"""The table, for a terminal and as Markdown, and the JSON document."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.lines import Line

SCHEMA_VERSION = 1

_COLUMNS = ("what", "ours", "baseline", "ratio", "spread", "target", "met")
_PACKAGES = ("numpy", "pandas", "xxhash", "keras", "tensorflow", "torch", "joblib", "duckdb")

Results = Mapping[str, Sequence[Line]]
"""The lines of each subject."""


def cells(line: Line) -> tuple[str, ...]:
    """A line as the table shows it, a text a column.

    Args:
        line: the line.
    """
    return (
        line.what + (f" ({line.note})" if line.note else ""),
        "" if line.ours is None else f"{_number(line.ours)} {line.unit}",
        "" if line.baseline is None else f"{_number(line.baseline)} {line.unit}: {line.against}",
        "" if line.ratio is None else f"{_number(line.ratio)} x",
        "" if line.spread is None else " .. ".join(map(_number, line.spread)),
        line.target,
        {True: "yes", False: "NO", None: ""}[line.met],
    )


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}"


def for_terminal(results: Results) -> Table:
    """The table for a terminal.

    Args:
        results: the lines of each subject.
    """
    table = Table(show_lines=False, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", justify="right" if column in ("ours", "ratio") else "left")
    for name, lines in results.items():
        table.add_row(f"[bold]{name}[/bold]")
        for line in lines:
            style = {True: "green", False: "bold red", None: ""}[line.met]
            texts = [text.replace("[", r"\[") for text in cells(line)]
            table.add_row(*texts[:-1], f"[{style}]{texts[-1]}[/{style}]" if style else texts[-1])
        table.add_section()
    return table


def as_markdown(results: Results) -> str:
    """The table as Markdown.

    Args:
        results: the lines of each subject.
    """
    rows: list[tuple[str, ...]] = [_COLUMNS, ("---", "---:", "---", "---:", "---", "---", "---")]
    for name, lines in results.items():
        rows.append((f"**{name}**", *[""] * (len(_COLUMNS) - 1)))
        rows += [tuple(text.replace("|", r"\|") for text in cells(line)) for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def as_document(results: Results, *, quick: bool) -> dict[str, Any]:
    """The JSON document.

    Args:
        results: the lines of each subject.
        quick: whether there were few rounds only.
    """
    lines = [{"subject": name, **asdict(line)} for name, its in results.items() for line in its]
    return {"schema_version": SCHEMA_VERSION, "quick": quick, "machine": machine(), "lines": lines}


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
    }


def closing(results: Results) -> str:
    """How many targets were met, in a sentence.

    Args:
        results: the lines of each subject.
    """
    lines = [line for its in results.values() for line in its]
    met = sum(line.met is True for line in lines)
    missed = [line.what for line in lines if line.met is False]
    unknown = sum(line.met is None and bool(line.target) for line in lines)
    text = f"{met} targets met, {len(missed)} missed, {unknown} not measured."
    return text + "".join(f"\nmissed: {what}" for what in missed)
