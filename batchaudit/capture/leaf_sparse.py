"""Reads sparse and ragged data, row by row, whatever library holds it.

Both kinds arrive here as plain NumPy arrays of components. A row's bytes are made from that row alone, so the
first axis stays the axis of samples. Requires NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchaudit.capture.leaf_arrays import read_array
from batchaudit.capture.leaf_atoms import encode
from batchaudit.capture.leaf_kinds import Block, Refused, Rows, Values
from batchaudit.capture.leaf_rows import column_table

_COUNT = struct.Struct("<Q").pack


class _Cells:
    """The stored values of a sparse or ragged tensor, of which any stretch can be had as bytes."""

    def __init__(self, reading: Block | Values) -> None:
        self.shape = reading.shape[1:]
        self._table: NDArray[np.uint8] | None = None
        self._items: list[bytes] = []
        if isinstance(reading, Block):
            self.token = reading.token
            self._table = column_table(reading)
            return
        self.token = "values"
        self._each = int(np.prod(self.shape, dtype=np.int64))
        for item in reading.items:
            encoded = encode(item)
            if encoded is None:
                raise TypeError(f"it holds a {type(item).__qualname__}")
            self._items.append(encoded)

    def stretch(self, start: int, stop: int) -> bytes:
        if self._table is not None:
            return self._table[start:stop].tobytes()
        return b"".join(self._items[start * self._each : stop * self._each])


def _cells(values: NDArray[Any]) -> _Cells | None:
    reading = read_array(values)
    return _Cells(reading) if isinstance(reading, Block | Values) else None


def read_sparse(
    indices: NDArray[Any], values: NDArray[Any], shape: Sequence[int], token: str | None = None
) -> Rows | Refused:
    """Reads a sparse tensor given by coordinates.

    Args:
        indices: shape (stored, axes), in any order.
        values: shape (stored, ...).
        shape: of the tensor's sparse axes, at least one.
        token: names the type of the values where the array only carries their bits.

    Returns:
        One row of bytes for each index of the first axis: how many values are stored there, where, and which.
    """
    indices = np.ascontiguousarray(indices, dtype="<i8")
    if len(indices) > 1:
        order = np.lexsort(indices.T[::-1])
        indices, values = indices[order], values[order]
    cells = _cells(values)
    if cells is None:
        return Refused("its stored values have fields or a mask")
    bounds = np.searchsorted(indices[:, 0], np.arange(int(shape[0]) + 1)).tolist()
    columns = np.ascontiguousarray(indices[:, 1:])
    rows = [
        _COUNT(stop - start) + columns[start:stop].tobytes() + cells.stretch(start, stop)
        for start, stop in pairwise(bounds)
    ]
    extent = tuple(int(size) for size in shape)
    return Rows(f"sparse{list(cells.shape)} {token or cells.token}", extent, rows)


def read_ragged(splits: Sequence[NDArray[Any]], values: NDArray[Any]) -> Rows | Refused:
    """Reads a ragged tensor given by its nested row splits and flat values.

    Args:
        splits: one array for each ragged axis, the outermost first; each begins with 0.
        values: shape (flat, ...).

    Returns:
        One row of bytes for each outer row: the lengths at each level below it, then its values.
    """
    cells = _cells(values)
    if cells is None:
        return Refused("its values have fields or a mask")
    levels = [np.asarray(level, dtype="<i8") for level in splits]
    count = len(levels[0]) - 1
    rows = []
    for row in range(count):
        start, stop, parts = row, row + 1, []
        for level in levels:
            parts.append(np.diff(level[start : stop + 1]).tobytes())
            start, stop = int(level[start]), int(level[stop])
        rows.append(b"".join(parts) + cells.stretch(start, stop))
    return Rows(f"ragged{len(levels)} {cells.token}", (count, *cells.shape), rows)
