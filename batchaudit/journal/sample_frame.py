"""Makes the frame of the samples: see docs/reference/columns.md.

Requires pandas, imported when the frame is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from batchaudit.journal.columns import joined
from batchaudit.journal.ragged import ranges, take

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]


class Counts(NamedTuple):
    """How many each event has, in the order of the files.

    Attributes:
        samples: int64: digests of samples.
        ids: int64: ids.
    """

    samples: Array
    ids: Array


def sample_frame(
    digests: list[Array], ids: list[Array], counts: Counts, unsigned: Array, order: Array | None
) -> pd.DataFrame:
    """One row a sample, in the order of the events; an event may have ids, or digests, or both.

    Args:
        digests: uint64: each file's, event after event.
        ids: int64: the bits of each file's, event after event.
        counts: how many of them each event has.
        unsigned: whether an event's ids are unsigned, in `order`.
        order: the events' order; None for that of the files.
    """
    import pandas as pd

    rows = np.maximum(counts.samples, counts.ids)
    rows = rows if order is None else rows[order]
    digest, no_digest = _spread(joined(digests, np.uint64), counts.samples, rows, order)
    bits, no_id = _spread(joined(ids, np.int64), counts.ids, rows, order)
    columns: dict[str, Any] = {
        "event": np.repeat(np.arange(len(rows)), rows),
        "position": _positions(rows),
        "digest": pd.arrays.IntegerArray(digest, no_digest) if no_digest.any() else digest,
        "id": _ids(bits, unsigned, rows, no_id),
    }
    return pd.DataFrame(columns, copy=False)


def _positions(rows: Array) -> Array:
    return ranges(np.zeros_like(rows), rows, np.int32)


def _spread(flat: Array, counts: Array, rows: Array, order: Array | None) -> tuple[Array, Array]:
    """The values of the events in `order`, each over its `rows`: 0 where it has none, and which those are."""
    if not len(flat):
        total = int(rows.sum())
        return np.zeros(total, flat.dtype), np.ones(total, bool)
    found = flat
    if order is not None:
        found = take(flat, (np.cumsum(counts) - counts)[order], counts[order])
        counts = counts[order]
    if (counts == rows).all():
        return found, np.zeros(len(found), bool)
    missing = _positions(rows) >= np.repeat(counts, rows)
    spread: Array = np.zeros(len(missing), flat.dtype)
    spread[~missing] = found
    return spread, missing


def _ids(bits: Array, unsigned: Array, rows: Array, missing: Array) -> Any:
    """Nullable integers: Int64, or UInt64 where an id needs it; Python's where no one type holds all."""
    import pandas as pd

    if not unsigned.any():
        return pd.arrays.IntegerArray(bits, missing)
    unsigned = np.repeat(unsigned, rows)
    if not (unsigned & (bits < 0)).any():
        return pd.arrays.IntegerArray(bits, missing)
    if not (~unsigned & (bits < 0)).any():
        return pd.arrays.IntegerArray(bits.view(np.uint64), missing)
    ids = np.where(unsigned, bits.view(np.uint64).astype(object), bits.astype(object))
    ids[missing] = pd.NA
    return ids
