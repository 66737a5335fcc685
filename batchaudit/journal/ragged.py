"""Takes stretches of differing length out of an array of words, a few thousand at a time.

Requires NumPy. An index for each word would be as large as what is taken; in pieces it stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_AT_ONCE = 4_096  # stretches
_SHORT_RUN = 16  # of equal stretches: from about so many on it is worth a call of NumPy's


def ranges(starts: Array, counts: Array, dtype: type = np.int64) -> Array:
    """The indices starts[i], starts[i] + 1, ... of counts[i] values each, one after the other."""
    if len(counts) and (counts == counts[0]).all():
        # The usual case, batches of one size: one pass over the memory instead of three.
        return (starts.astype(dtype)[:, None] + np.arange(counts[0], dtype=dtype)).ravel()
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    indices: Array = np.arange(total, dtype=dtype) + np.repeat(
        (starts - (ends - counts)).astype(dtype), counts
    )
    return indices


def take(words: Array, starts: Array, counts: Array) -> Array:
    """The words from starts[i] on, counts[i] of them, one after the other.

    Args:
        words: one axis.
        starts: int64, shape (n,).
        counts: int64, shape (n,).

    Returns:
        A copy, of the type of `words`, shape (sum of counts,).
    """
    taken = np.empty(int(counts.sum()), words.dtype)
    at = 0
    for low in range(0, len(starts), _AT_ONCE):
        for piece in _few(words, starts[low : low + _AT_ONCE], counts[low : low + _AT_ONCE]):
            taken[at : at + piece.size].reshape(piece.shape)[...] = piece
            at += piece.size
    return taken


def _few(words: Array, starts: Array, counts: Array) -> Iterator[Array]:
    """As `take`, in parts: views where equal stretches lie at equal distances."""
    steps = np.diff(starts)
    changes = np.diff(counts) != 0
    changes[1:] |= np.diff(steps) != 0
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(starts)]
    if len(bounds) >= len(starts) // _SHORT_RUN:
        yield words[ranges(starts, counts)]
        return
    width = words.itemsize
    for low, high in pairwise(bounds):
        count = int(counts[low])
        step = int(steps[low]) if high - low > 1 else count
        strides = (step * width, width)
        yield np.ndarray((high - low, count), words.dtype, words, int(starts[low]) * width, strides)
