"""A run's epochs as a table of text: which columns, which rows, and what must be said under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from batchaudit.report import cells
from batchaudit.untrusted import shown_line

MOST_ROWS = 12
ENDS = 5
"""How many epochs of either end are shown where there are more than `MOST_ROWS`."""


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        headings: one a column.
        rows: each with as many cells as there are headings; a row that stands for those left out has "…".
        notes: what a reader must know, one line each.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def epoch_table(epochs: pd.DataFrame, whole: bool = False) -> Table:
    """Writes the epochs of one run.

    Args:
        epochs: rows of `Report.epochs` of one run.
        whole: whether to write all of a long one.

    Returns:
        The table; where it is long and not wanted whole, the middle is left out, and a note says so.
    """
    rows = epochs.to_dict("records")
    columns = [column for column in _COLUMNS if column.heading != "probes" or _any_probe(rows)]
    written = [tuple(column.write(row) for column in columns) for row in rows]
    notes = _notes(columns, rows)
    if len(rows) > MOST_ROWS and not whole:
        notes.insert(0, _left_out(rows[ENDS:-ENDS], len(rows)))
        gap = ("…",) * len(columns)
        written = [*written[:ENDS], gap, *written[-ENDS:]]
    return Table(tuple(column.heading for column in columns), tuple(written), tuple(notes))


@dataclass(frozen=True)
class _Column:
    heading: str
    write: Callable[[dict[Any, Any]], str]
    why: str = ""  # the column of the frame that says why a value is empty


def _samples(row: dict[Any, Any]) -> str:
    if cells.is_unknown(row["samples"]):
        return cells.UNKNOWN
    return f"{cells.count(row['unique_samples'])}/{cells.count(row['samples'])}"


def _workers(row: dict[Any, Any]) -> str:
    configured = row["workers_configured"]
    seen = cells.count(row["workers"])
    return seen if cells.is_unknown(configured) or configured == 0 else f"{seen}/{cells.count(configured)}"


def _produced(row: dict[Any, Any]) -> str:
    produced, delivered = row["produced"], row["delivered"]
    if cells.is_unknown(produced) or cells.is_unknown(delivered) or produced == delivered:
        return cells.count(produced)
    return f"{cells.count(produced)} ({int(produced - delivered):+,})"


_COLUMNS = (
    _Column("epoch", lambda row: cells.count(row["epoch"])),
    _Column("delivered", lambda row: cells.count(row["delivered"])),
    _Column("unique", lambda row: cells.count(row["unique"])),
    _Column("ratio", lambda row: cells.ratio(row["effective_ratio"])),
    _Column("new", lambda row: cells.count(row["new_unique"])),
    _Column("samples", _samples),
    _Column("coverage", lambda row: cells.percent(row["sample_coverage"])),
    _Column("seed divergence", lambda row: cells.ratio(row["seed_divergence"]), "seed_divergence_note"),
    _Column("workers", _workers),
    _Column("produced", _produced),
    _Column("probes", lambda row: cells.count(row["probes"])),
)


def _any_probe(rows: list[dict[Any, Any]]) -> bool:
    return any(cells.is_unknown(row["probes"]) or row["probes"] > 0 for row in rows)


def _notes(columns: list[_Column], rows: list[dict[Any, Any]]) -> list[str]:
    """Why cells are empty: one line a reason, with the columns that it holds for."""
    headings: dict[str, list[str]] = {}
    for column in columns:
        empty = [row for row in rows if cells.UNKNOWN in column.write(row)]
        if empty:
            headings.setdefault(_reason(column, empty), []).append(column.heading)
    return [f"{cells.UNKNOWN} {', '.join(names)}: {reason}" for reason, names in headings.items()]


def _reason(column: _Column, empty: list[dict[Any, Any]]) -> str:
    reasons = [row[column.why] for row in empty] if column.why else []
    said = dict.fromkeys(shown_line(str(reason)) for reason in reasons if not cells.is_unknown(reason))
    return "; ".join(reason for reason in said if reason) or "not observable"


def _left_out(rows: list[dict[Any, Any]], total: int) -> str:
    first, last = cells.count(rows[0]["epoch"]), cells.count(rows[-1]["epoch"])
    return f"… epochs {first} to {last} are left out ({len(rows):,} of {total:,})"
