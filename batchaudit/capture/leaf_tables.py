"""Reads pandas' tables, scipy's sparse matrices and Pillow's images; none of them is ever imported here."""

from __future__ import annotations

from typing import Any

import numpy as np

from batchaudit.capture.leaf_arrays import read_array
from batchaudit.capture.leaf_atoms import entry
from batchaudit.capture.leaf_kinds import Branch, Reading, Refused, Whole, is_loaded
from batchaudit.capture.leaf_sparse import read_sparse


def read_pandas(item: Any) -> Reading | None:
    """Reads a DataFrame, Series, Index or extension array by value; None for anything else of pandas.

    The labels of rows (the index) and the name of a series are left out: they tell where a row was stored,
    and a series is the same content as its array. The names of a frame's columns and their order count.
    Columns that NumPy cannot hold (categories, nullable numbers, zoned times) are hashed value by value: how
    categories are numbered, or text is stored, does not count.
    """
    if is_loaded("pandas", "DataFrame", item):
        children = []
        for name, column in item.items():
            step = entry(name)
            if step is None:
                return Refused(
                    f"a column is named by a {type(name).__qualname__}, which has no value of its own"
                )
            children.append((step, column))
        return Branch("frame", children)
    dtype = getattr(item, "dtype", None)
    if dtype is None or not hasattr(item, "to_numpy"):
        return None
    if isinstance(dtype, np.dtype):
        return read_array(item.to_numpy())
    return read_array(np.asarray(item, dtype=object))


def read_scipy(item: Any) -> Reading | None:
    """Reads a sparse matrix or array of any format; None for anything else.

    Its rows are the samples. Entries that were stored twice are summed and stored zeros dropped, so that
    every format of the same content gives the same rows.
    """
    if not hasattr(item, "tocoo"):
        return None
    stored = item.tocoo(copy=True)
    stored.sum_duplicates()
    stored.eliminate_zeros()
    coordinates = getattr(stored, "coords", None) or (stored.row, stored.col)
    return read_sparse(np.stack(coordinates, axis=1), stored.data, stored.shape)


def read_pillow(item: Any) -> Reading | None:
    """Reads an image: its mode, size, pixels and palette. An image is one value; its lines are no samples."""
    if not (hasattr(item, "tobytes") and hasattr(item, "mode") and hasattr(item, "size")):
        return None
    palette = bytes(item.getpalette() or ()) if item.mode in ("P", "PA") else b""
    return Whole(f"image {item.mode} {item.size[0]}x{item.size[1]} {len(palette)}", palette + item.tobytes())
