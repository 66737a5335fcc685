"""What the contents of samples say where no baseline does. Frame in, figure out. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import UNHASHABLE, Digests, Tables

Array = np.ndarray[Any, Any]


def short(content: int) -> str:
    """A digest as reports name it.

    Args:
        content: its high half, or a sample's.
    """
    return f"{int(content):016x}"[:8]


def hashed_by_sample(tables: Tables) -> bool:
    """Whether every delivered batch was hashed, and sample by sample."""
    delivered = tables.delivered
    if delivered.empty or bool((delivered["flags"] & UNHASHABLE).any()):
        return False
    return tables.sampled


def recurring(rows: pd.DataFrame, column: str = "item") -> float | None:
    """Which part of the samples of later epochs were in an earlier one.

    Args:
        rows: `Walk.rows`.
        column: what tells samples apart.

    Returns:
        Near 0 where their content is drawn anew in each epoch; None with one epoch.
    """
    epoch = rows["epoch"].to_numpy(np.int64)
    item, items = codes.numbered(rows[column].to_numpy())
    number, _ = codes.numbered(epoch, item)
    each = codes.first_rows(number)
    return come_again(epoch[each], item[each], items)


def come_again(epoch: Array, item: Array, items: int) -> float | None:
    """Which part of the items of later epochs were in an earlier one.

    Args:
        epoch: int64, shape (n,): an epoch of each item that is in it; no pair comes twice.
        item: int64, from 0, shape (n,).
        items: what all of them are below.

    Returns:
        None with one epoch.
    """
    later = epoch > epoch.min(initial=np.iinfo(np.int64).max)
    if not later.any():
        return None
    return float((codes.least(item, epoch, items)[item] < epoch)[later].mean())


def fixed_by_id(rows: pd.DataFrame, digests: Digests) -> bool | None:
    """Whether an item has the same content whenever it comes.

    Args:
        rows: `Walk.rows` by id.
        digests: `Tables.digests` of the same events.

    Returns:
        None where no item comes in two epochs.
    """
    item, items = codes.numbered(rows["item"].to_numpy())
    epochs = codes.different(item, codes.numbered(rows["epoch"].to_numpy())[0], items)
    contents = codes.different(digests.known_of(item), digests.known_of(digests.number), items)
    several = epochs > 1
    return bool((contents[several] == 1).mean() > _MOSTLY) if several.any() else None


_MOSTLY = 0.95
