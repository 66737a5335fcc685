"""What lies where passes begin and end: samples that none reaches, batches that were made and not delivered.

Requires pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.order import sequences
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.walk import Walk

EXHAUSTED = "exhausted"  # the hook that says that an iterator has come to its end
_CHANCE = -7.0  # 1 in 1,100


def passes(tables: Tables) -> pd.DataFrame:
    """How far each epoch went.

    Args:
        tables: the events of one source in one rank.

    Returns:
        A row an epoch, in order: `epoch`, `batches`, `samples`, `least` and `most` samples of a batch.
    """
    groups = tables.delivered.groupby("epoch", sort=True)["samples"]
    return groups.agg(batches="size", samples="sum", least="min", most="max").reset_index()


def alike(tables: Tables, walk: Walk) -> bool | None:
    """Whether all passes began with the same samples, as far as the shorter of two went.

    Args:
        tables: the events of one source in one rank.
        walk: the stored items that were delivered.

    Returns:
        None where that cannot be told: contents differ, and the samples have no ids.
    """
    by, orders = sequences(tables, walk)
    longest = max(orders.values(), key=len)
    same = all(np.array_equal(order, longest[: len(order)]) for order in orders.values())
    return None if not same and by == "delivered" else same


def same_part(walk: Walk, left_out: int) -> bool | None:
    """Whether all epochs had the same items, and leave the same ones out, by more than chance.

    Args:
        walk: the stored items that were delivered; each epoch has all but `left_out`.
        left_out: how many items each epoch leaves out.

    Returns:
        None where it may be chance, or items are not told apart.
    """
    if walk.by not in ("id", "content"):
        return None
    epochs = walk.sizes["nunique"]
    if len(items_of(walk)) > int(epochs.max()):
        return False
    items = int(epochs.max()) + left_out
    choices = lgamma(items + 1) - lgamma(left_out + 1) - lgamma(items - left_out + 1)
    return True if -choices * (len(epochs) - 1) < _CHANCE else None


def items_of(walk: Walk) -> np.ndarray[Any, Any]:
    """The different items of all epochs, sorted."""
    return codes.distinct(walk.rows["item"].to_numpy())


def repeats_within(walk: Walk) -> bool:
    """Whether an item comes twice in an epoch."""
    return bool((walk.sizes["nunique"] < walk.sizes["size"]).any())


@dataclass(frozen=True)
class Lost:
    """Batches that were made and thrown away where one pass ended and the next began.

    Attributes:
        epoch: the pass that ended; the next delivered batch is of a later one.
        before: the label in `Tables.produced` of the last delivered batch before them.
        batches: the labels of the lost ones, in the order of their making.
        after: the label of the next delivered batch.
    """

    epoch: int
    before: int
    batches: tuple[int, ...]
    after: int


def lost_between(produced: pd.DataFrame) -> list[Lost]:
    """The batches that lie, in the order of their making in one process, between those of two epochs.

    Args:
        produced: `Tables.produced`. What was made after the last delivered batch of a process is not lost: it
            was left over.

    Returns:
        One entry for each boundary at which something was lost.
    """
    found = []
    in_time = produced.sort_values("began_ns", kind="stable")
    for _, rows in in_time.groupby(["host", "rank", "pid"], sort=False, observed=True):
        delivered = rows["delivered"].to_numpy(bool)
        epochs = np.where(delivered, rows["epoch"].to_numpy(), -1)
        before = np.maximum.accumulate(epochs)
        later = np.where(delivered, epochs, np.iinfo(np.int64).max)
        after = np.minimum.accumulate(later[::-1])[::-1]
        lost = ~delivered & (before >= 0) & (before < after) & (after < np.iinfo(np.int64).max)
        labels = rows.index.to_numpy()
        for epoch in np.unique(before[lost]):
            places = np.flatnonzero(lost & (before == epoch))
            last = np.flatnonzero(delivered[: places[0]])[-1]
            following = places[-1] + 1 + np.flatnonzero(delivered[places[-1] + 1 :])[0]
            batches = tuple(int(label) for label in labels[places])
            found.append(Lost(int(epoch), int(labels[last]), batches, int(labels[following])))
    return sorted(found, key=lambda each: each.epoch)


def replayed(tables: Tables) -> pd.DataFrame:
    """How many batches of each epoch were made once, and had been given to an earlier epoch.

    Args:
        tables: the events of one source in one rank.

    Returns:
        A row an epoch, in order: `epoch`, `batches`, `replayed`.
    """
    delivered = tables.delivered
    known = delivered["made"] >= 0
    first = delivered["made"].map(delivered[known].groupby("made")["epoch"].min())
    again = known & (first < delivered["epoch"])
    rows = pd.DataFrame({"epoch": delivered["epoch"], "again": again})
    groups = rows.groupby("epoch", sort=True)["again"]
    return groups.agg(batches="size", replayed="sum").reset_index()
