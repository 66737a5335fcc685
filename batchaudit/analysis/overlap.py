"""Which batches two workers, two ranks or two epochs have in common. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.emission import lanes
from batchaudit.analysis.tables import UNHASHABLE, Tables

MOST = 64
"""Of more workers, ranks or epochs so many are compared, evenly spread."""

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
    delivered, content = tables.delivered[hashed], tables.contents[0][hashed]
    worker, epoch = delivered["worker"].to_numpy(), delivered["epoch"].to_numpy()
    rank = delivered["rank"].to_numpy()
    known = worker >= 0
    lane, count = lanes(worker[known], epoch[known])
    if len(np.unique(rank)) > 1:
        return _pairs("rank", rank, epoch, content)
    if count > 1:
        return _pairs("worker", lane, epoch[known], content[known])
    if len(np.unique(epoch)) > 1:
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
    item, items = pd.factorize(pd.MultiIndex.from_arrays([group[there], content[there]]))
    has = np.zeros((len(items), len(shown)), np.float32)
    has[item, its[there]] = 1
    both = has.T @ has
    # Within each group the smaller of the two: the sum over groups.
    of_group = pd.factorize(items.get_level_values(0))[0]
    sizes = np.zeros((int(of_group.max()) + 1 if len(of_group) else 0, len(shown)))
    np.add.at(sizes, of_group, has)
    least = np.zeros_like(both, float)
    for size in sizes:
        least += np.minimum(size[:, None], size[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Array = np.where(least > 0, both / least, np.nan)
    np.fill_diagonal(share, np.nan)
    return share
