"""Which batches two workers, two ranks or two epochs have in common. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.emission import lanes
from batchaudit.analysis.tables import UNHASHABLE, Tables

MOST = 64
"""Of more workers, ranks or epochs so many are compared, evenly spread."""

_AT_ONCE = 1 << 15
"""Items that are looked up at once: memory does not grow with the length of a run."""

COLUMNS = ["by", "first", "second", "share", "count"]

Array = np.ndarray[Any, Any]


def overlap(tables: Tables) -> pd.DataFrame:
    """Compares the ranks, where there are two; else the workers within epochs; else the epochs.

    Args:
        tables: the events of one source and strategy; of several ranks where these are to be compared.

    Returns:
        A row a pair. Columns `by` ("worker", "rank" or "epoch"), `first`, `second`, `share` (of the different
        batches of the one with fewer, those that the other has in the same epoch, or at all) and `count`, how
        many workers, ranks or epochs there are. What could not be hashed is left out. Empty where there is
        nothing to compare.
    """
    hashed = ((tables.delivered["flags"] & UNHASHABLE) == 0).to_numpy()
    worker, epoch, rank = (tables.delivered[one].to_numpy()[hashed] for one in ("worker", "epoch", "rank"))
    content, known = tables.contents[0][hashed], worker >= 0
    lane, count = lanes(worker[known], epoch[known])
    if (rank != rank[:1]).any():
        return _pairs("rank", rank, epoch, content)
    if count > 1:
        return _pairs("worker", lane, epoch[known], content[known])
    if (epoch != epoch[:1]).any():
        return _pairs("epoch", epoch, np.zeros_like(epoch), content)
    return pd.DataFrame(columns=COLUMNS)


def _pairs(by: str, owner: Array, group: Array, content: Array) -> pd.DataFrame:
    labels, number = np.unique(owner, return_inverse=True)
    shown = np.unique(np.linspace(0, len(labels) - 1, min(MOST, len(labels))).astype(int))
    share = common(number, group, content, len(labels), shown)
    first, second = np.nonzero(~np.isnan(share))
    names = labels[shown]
    return pd.DataFrame(
        {
            "by": by,
            "first": names[first],
            "second": names[second],
            "share": share[first, second],
            "count": len(labels),
        }
    )


def common(owner: Array, group: Array, content: Array, owners: int, shown: Array) -> Array:
    """The share of the different batches of the smaller of two owners that the other has as well.

    Args:
        owner: int64, shape (batches,), from 0: whose each batch is.
        group: shape (batches,): only batches of one group are compared.
        content: shape (batches,): equal where batches are.
        owners: how many owners there are.
        shown: the owners to compare.

    Returns:
        float, shape (shown, shown); NaN for an owner with itself, and where one of two has nothing.
    """
    inner = np.full(owners, -1)
    inner[shown] = np.arange(len(shown))
    its = inner[owner]
    there = its >= 0
    owner, group, content = its[there], group[there], content[there]
    item = codes.numbered(group, content)[0]
    once = codes.first_rows(codes.numbered(item, owner)[0])
    item, owner, group = item[once], owner[once], codes.ranked(group[once])[1]
    both = _in_common(item, owner, len(shown))
    # Within each group the smaller of the two: the sum over groups.
    groups = int(group.max(initial=-1)) + 1
    held = np.bincount(group * len(shown) + owner, minlength=groups * len(shown))
    least = np.zeros_like(both)
    for size in held.reshape(groups, len(shown)):
        least += np.minimum(size[:, None], size[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Array = np.where(least > 0, both / least, np.nan)
    np.fill_diagonal(share, np.nan)
    return share


def _in_common(item: Array, owner: Array, owners: int) -> Array:
    """How many items each two have, float, shape (owners, owners)."""
    both = np.zeros((owners, owners))
    several = np.bincount(item)[item] > 1  # most items have one owner, and are in no pair
    item, owner = codes.numbered(item[several])[0], owner[several]
    order = np.argsort(item, kind="stable")
    item, owner = item[order], owner[order]
    for begin in range(0, int(item.max(initial=-1)) + 1, _AT_ONCE):
        rows = slice(*np.searchsorted(item, [begin, begin + _AT_ONCE]))
        has = np.zeros((_AT_ONCE, owners), np.float32)
        has[item[rows] - begin, owner[rows]] = 1
        both += has.T @ has
    return both
