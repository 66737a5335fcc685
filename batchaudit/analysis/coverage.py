"""How often each stored item was seen, in as many pieces as a picture can show. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.walk import Walk

MOST_PIECES = 256

Array = np.ndarray[Any, Any]

COLUMNS = ["first", "last", "items", "seen", "times", "most", "epochs", "unit", "stored"]


def coverage(walk: Walk, serial: Walk | None, items: int | None) -> pd.DataFrame:
    """Counts how often each stored item was delivered.

    The stored items are those of the serial pass, in its order; where there is none, the numbers from 0 to
    what the source says that it has; where it does not say, those that were seen.

    Args:
        walk: what was delivered.
        serial: what serial passes delivered; None where there were none.
        items: how many items the source says that it has; None where it does not say.

    Returns:
        A row a piece of neighbouring items, at most `MOST_PIECES`: `first` and `last`, their places among the
        stored items; `items`, how many; `seen`, how many of them at all; `times`, how often one of them was
        seen on average, and `most` at most, in all `epochs`; `unit`, what an item is; `stored`, whether it is
        known which items there are. Empty where nothing tells items apart.
    """
    if not walk.known or walk.rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    place, times, whole, stored = _seen(walk, serial, items)
    edges = np.linspace(0, whole, min(MOST_PIECES, whole) + 1).astype(np.int64)
    first, count = edges[:-1], np.diff(edges)
    piece = np.searchsorted(edges, place, side="right") - 1
    most = np.zeros(len(first), np.int64)
    np.maximum.at(most, piece, times)
    return pd.DataFrame(
        {
            "first": first,
            "last": edges[1:] - 1,
            "items": count,
            "seen": np.bincount(piece[times > 0], minlength=len(first)),
            "times": np.bincount(piece, times, minlength=len(first)) / count,
            "most": most,
            "epochs": len(codes.distinct(walk.rows["epoch"].to_numpy())),
            "unit": walk.unit,
            "stored": stored,
        }
    )


def _seen(walk: Walk, serial: Walk | None, items: int | None) -> tuple[Array, Array, int, bool]:
    """Where items lie among the stored, how often each was seen, how many are stored, and if that is known.

    Where the items are numbers those never seen are not listed: a source may say that it has any many.
    """
    item = walk.rows["item"].to_numpy()
    if serial is not None and serial.by == walk.by and len(serial.rows):
        times = _times(item, _in_order(serial))
        return np.arange(len(times)), times, len(times), True
    if walk.by == "content" or items is None or (item < 0).any() or (item >= items).any():
        times = _times(item, item[:0])
        return np.arange(len(times)), times, len(times), False
    place, times = np.unique(item, return_counts=True)
    return place, times, items, True


def _in_order(serial: Walk) -> Array:
    """The stored items in the order of the serial pass."""
    item = serial.rows["item"].to_numpy()
    number, _ = codes.numbered(item)
    stored: Array = item[np.sort(codes.first_rows(number))]
    return stored


def _times(item: Array, stored: Array) -> Array:
    """How often each stored item was seen, in order; then what is none of them, as it came."""
    everything = np.concatenate([stored, item])
    number, count = codes.numbered(everything)
    times = np.bincount(number[len(stored) :], minlength=count)
    first = np.sort(codes.first_rows(number))
    found: Array = times[number[first]]
    return found
