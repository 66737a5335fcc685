"""Turns records, which lie side by side in memory, into columns.

Requires NumPy. Records are moved as words: NumPy takes four times as long where it is told of their fields.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from batchaudit.journal.layout import RECORD, STREAMS

Array = np.ndarray[Any, Any]

_WORDS = RECORD.itemsize // 8
_AT_ONCE = 2_048  # records: they stay in the cache while one column after another is taken out of them

_UNSIGNED = ("ticket", "digest_hi", "digest_lo", "framework_seed")
_SIGNED = (
    "thread", "epoch", "step", "seq", "index", "sample_count", "nbytes", "began_ns", "ended_ns",
    "framework_worker", "flags",
)  # fmt: skip


def joined(blocks: list[Array], dtype: Any) -> Array:
    """The values of several arrays of one type; without a copy where there is only one."""
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([np.empty(0, dtype), *blocks])


def copied(records: Array, into: Array) -> None:
    """Copies records to where there is room for them."""
    into.view("<u8")[:] = records.view("<u8")


def rows_of(records: Array, rows: Array) -> Array:
    """Some of the records, in this order."""
    return records.view("<u8").reshape(-1, _WORDS).take(rows, axis=0).reshape(-1).view(RECORD)


def columns_of(blocks: list[Array], places: Array | None = None) -> dict[str, Array]:
    """The numbers of all records, field by field.

    The records are not put together before: to move all that they hold takes longer than all else.

    Args:
        blocks: dtype RECORD, shapes that add up to n.
        places: int64, shape (n,): the row that each record gets; None for that in which it lies.

    Returns:
        Arrays of shape (n,): int8 for `kind`; int64 for the others, or uint64 where a number needs it; a
        random stream's as `rng_STREAM_before` and `rng_STREAM_after`.
    """
    count = sum(map(len, blocks))
    columns: dict[str, Array] = {"kind": np.empty(count, np.int8)}
    columns |= {name: np.empty(count, np.uint64) for name in _UNSIGNED}
    columns |= {name: np.empty(count, np.int64) for name in _SIGNED}
    fields = {name: (name,) for name in columns}
    states = {
        f"rng_{stream}_{when}": (f"streams_{when}", number)
        for number, stream in enumerate(STREAMS)
        for when in ("before", "after")
    }
    columns |= {name: np.empty(count, np.uint64) for name in states}
    base = 0
    for records in blocks:
        for low in range(0, len(records), _AT_ONCE):
            few = records[low : low + _AT_ONCE]
            here = slice(base + low, base + low + len(few))
            rows = here if places is None else places[here]
            for name in fields:
                columns[name][rows] = few[name]
            for name, (field, number) in states.items():
                columns[name][rows] = few[field][:, number]
        base += len(records)
    return columns
