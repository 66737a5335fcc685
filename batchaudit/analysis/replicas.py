"""Which items several replicas of a source have in common: workers of one process, or ranks of one training.

Requires numpy and pandas. A frame of items has a row a delivered item, in the order of delivery: `epoch`,
`who` (which replica delivered it) and `item`, a number that is equal for equal items.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import chosen

Array = np.ndarray[Any, Any]

COLUMNS = ["epoch", "replicas", "total", "different", "within", "across", "least", "most"]
MOST_REPLICAS = 64
"""Every two replicas are compared among so many at most."""
_FEW_RUNS = 2.0
_NEARLY_ALL = 0.9


def items_of(rows: pd.DataFrame, who: str, item: str = "item") -> pd.DataFrame:
    """A frame of items out of the rows of a walk.

    Args:
        rows: `Walk.rows`.
        who: the column that tells one replica from another: "worker" or "rank".
        item: the column that tells one item from another.

    Returns:
        The frame. Rows of which nobody knows who made them are left out; equal items have equal numbers.
    """
    known = chosen(rows, (rows[who] >= 0).to_numpy(dtype=bool), ["epoch", who, item])
    return pd.DataFrame(
        {
            "epoch": known["epoch"].to_numpy(np.int64),
            "who": known[who].to_numpy(np.int64),
            "item": codes.numbered(known[item].to_numpy())[0],
        }
    )


def spread(items: pd.DataFrame) -> pd.DataFrame:
    """How often each epoch's items came, within one replica and across several.

    Args:
        items: a frame of items.

    Returns:
        `COLUMNS`, a row an epoch: how many `replicas` delivered something; the `total` of items and how many
        were `different`; how many came `within` one replica a second time or more; how many came `across`
        replicas: to one that was not their first; the `least` and the `most` items of a replica.
    """
    labels, epoch = codes.ranked(items["epoch"].to_numpy(np.int64))
    item = items["item"].to_numpy(np.int64)
    replicas, who = codes.ranked(items["who"].to_numpy(np.int64))
    shares = codes.pairs(epoch, who)
    held = codes.pairs(epoch * len(replicas) + who, item).group // max(len(replicas), 1)
    first = codes.starts(shares.group)

    def count(epochs: Array) -> Array:
        counted: Array = np.bincount(epochs, minlength=len(labels))
        return counted

    total, different = count(epoch), count(codes.pairs(epoch, item).group)
    columns = [
        labels,
        count(shares.group),
        total,
        different,
        total - count(held),
        count(held) - different,
        np.minimum.reduceat(shares.times, first) if len(first) else first,
        np.maximum.reduceat(shares.times, first) if len(first) else first,
    ]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _pairs(items: pd.DataFrame) -> pd.DataFrame:
    """Each item of an epoch once for each replica that delivered it."""
    number, _ = codes.numbered(*(items[name].to_numpy() for name in ("epoch", "who", "item")))
    return items.iloc[codes.first_rows(number)]


@dataclass(frozen=True)
class Pair:
    """Two replicas in one epoch.

    Attributes:
        epoch: the epoch.
        who: the two replicas.
        sizes: how many different items each delivered.
        common: how many of them both did.
        walked: how many places both reached in their orders.
        in_step: at how many of these both had the same item.
        reversed: whether the order of one is that of the other, from the end.
    """

    epoch: int
    who: tuple[int, int]
    sizes: tuple[int, int]
    common: int
    walked: int
    in_step: int
    reversed: bool

    @property
    def alike(self) -> float:
        """Which share of the items of the one with fewer the other has, too."""
        return self.common / min(self.sizes)


def compare(items: pd.DataFrame) -> list[Pair]:
    """Compares every two replicas of each epoch.

    Args:
        items: a frame of items.

    Returns:
        The pairs, of the first `MOST_REPLICAS` replicas of an epoch.
    """
    labels, epoch = codes.ranked(items["epoch"].to_numpy(np.int64))
    who, item = items["who"].to_numpy(np.int64), items["item"].to_numpy(np.int64)
    found = []
    for label, rows in zip(labels, codes.rows_of(epoch, len(labels)), strict=False):
        replicas, place = codes.ranked(who[rows])
        orders = [item[rows[its]] for its in codes.rows_of(place, len(replicas))][:MOST_REPLICAS]
        sizes, common = _in_common(orders)
        for a, b in combinations(range(len(orders)), 2):
            one, other = orders[a], orders[b]
            walked = min(len(one), len(other))
            in_step = int(np.count_nonzero(one[:walked] == other[:walked]))
            backwards = len(one) == len(other) and np.array_equal(one, other[::-1])
            pair, size = (int(replicas[a]), int(replicas[b])), (int(sizes[a]), int(sizes[b]))
            found.append(Pair(int(label), pair, size, int(common[a, b]), walked, in_step, backwards))
    return found


def _in_common(orders: list[Array]) -> tuple[Array, Array]:
    """How many different items each replica has, and how many each two have in common."""
    who = np.repeat(np.arange(len(orders)), [len(order) for order in orders])
    item, items = codes.numbered(np.concatenate(orders))
    held = codes.pairs(item, who)
    shared = (np.bincount(held.group, minlength=items) > 1)[held.group]
    # A row a replica, a column an item that several have: their product counts what two have in common.
    table = np.zeros((len(orders), int(shared.sum())), np.float64)
    table[held.item[shared], np.cumsum(np.diff(held.group[shared], prepend=-1) > 0) - 1] = 1
    return np.bincount(held.item, minlength=len(orders)), table @ table.T


def groups(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Puts together what belongs together.

    Args:
        pairs: two that do.

    Returns:
        The groups, each sorted.
    """
    group_of: dict[int, set[int]] = {}
    for a, b in pairs:
        together = group_of.get(a, {a}) | group_of.get(b, {b})
        for each in together:
            group_of[each] = together
    distinct = {id(group): sorted(group) for group in group_of.values()}
    return sorted(distinct.values())


def walkers(items: pd.DataFrame, count: int, beyond: float) -> list[int]:
    """The replicas that each walk far more than their share of the source, without an item twice.

    Args:
        items: a frame of items.
        count: how many items the source has.
        beyond: how many times its share a replica has that walks more than it.

    Returns:
        They; a pool may be made anew for each epoch, and then has other ones.
    """
    labels, who = codes.ranked(items["who"].to_numpy(np.int64))
    early = codes.count_within(who) < count
    size = np.bincount(who[early], minlength=len(labels))
    item = items["item"].to_numpy(np.int64)[early]
    different = codes.different(who[early], item, len(labels))
    far = different > beyond * count / at_a_time(items)
    return [int(replica) for replica in labels[(different >= 0.98 * size) & far]]


def at_a_time(items: pd.DataFrame) -> int:
    """How many replicas there were in an epoch, at most; a pool may be made anew for each."""
    epoch, epochs = codes.numbered(items["epoch"].to_numpy())
    _, who = codes.ranked(items["who"].to_numpy())
    return int(codes.different(epoch, who, epochs).max())


def doubled(items: pd.DataFrame, share: int) -> float:
    """Which part of the different items of an epoch came to several replicas, before each had its share.

    Replicas that share a source out and go round it several times in an epoch double nothing in the first.

    Args:
        items: a frame of items.
        share: how many items are one replica's share.
    """
    epoch, who, item = (items[name].to_numpy() for name in ("epoch", "who", "item"))
    early = codes.count_within(codes.numbered(epoch, who)[0]) < share
    number, _ = codes.numbered(epoch[early], item[early])
    holders = codes.pairs(number, codes.ranked(who[early])[1]).group
    several = np.diff(codes.starts(holders), append=len(holders)) > 1
    return float(several.mean()) if len(several) else 0.0


def example(items: pd.DataFrame, only: list[int] | None = None) -> tuple[int, int, list[int]] | None:
    """The first item that several replicas delivered in one epoch.

    Args:
        items: a frame of items.
        only: look at these replicas alone.

    Returns:
        The row of `items` in which it came first, counted from 0, the epoch, and two replicas; None for none.
    """
    chosen = np.ones(len(items), bool) if only is None else items["who"].isin(only).to_numpy()
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return None
    pairs = _pairs(items.iloc[rows].set_axis(rows))
    several = pairs[pairs.duplicated(["epoch", "item"], keep=False)]
    if several.empty:
        return None
    first = several.iloc[0]
    same = several[(several["epoch"] == first["epoch"]) & (several["item"] == first["item"])]
    return int(several.index[0]), int(first["epoch"]), [int(who) for who in same["who"].iloc[:2]]


def expected_share(sizes: list[int], count: int) -> float:
    """Which share of the items several replicas see that each take a part without regard to the others.

    Args:
        sizes: how many different items each replica has, n_1 ... n_W.
        count: how many items there are, N.

    Returns:
        1 - (1 - n_1/N) ... (1 - n_W/N), which is 1 - (1 - 1/W)^W for equal parts that add up to N.
    """
    return float(1 - np.prod([1 - min(1.0, size / count) for size in sizes]))


def deviation(share: float, units: float) -> float:
    """The standard deviation of such a share, at most.

    Args:
        share: as `expected_share` gives it.
        units: how many things fall to a replica or not, each for itself: items, or shards of them.
    """
    return float(np.sqrt(share * (1 - share) / max(units, 1.0)))


def units(items: pd.DataFrame) -> float:
    """In how many pieces an epoch's items were dealt out: fewer than there are items where shards were.

    Whether an item came to another replica, too, changes from item to item where items were dealt out, and
    from shard to shard where shards were: the number of changes in the replicas' orders tells how many.

    Args:
        items: a frame of items, of one epoch.
    """
    holders = _pairs(items).groupby("item").size()
    shared = holders.reindex(items["item"]).to_numpy() > 1
    share = float(shared.mean())
    if share in (0.0, 1.0):
        return float(len(items))
    order = np.argsort(items["who"].to_numpy(), kind="stable")
    same = np.diff(items["who"].to_numpy()[order]) == 0
    changes = int(((np.diff(shared[order].astype(np.int8)) != 0) & same).sum())
    by_chance = 2 * share * (1 - share) * len(items)
    fewer = changes * _FEW_RUNS < by_chance
    return max(1.0, len(items) * changes / by_chance) if fewer else float(len(items))


def lengths(items: pd.DataFrame, epoch: int) -> list[int]:
    """How many different items each replica had in an epoch."""
    here = items[items["epoch"] == epoch]
    return [int(size) for size in here.groupby("who")["item"].nunique()]


def at_the_end(items: pd.DataFrame, epoch: int, last: int) -> bool:
    """Whether each item that came to several replicas came to one of them at the end of its order.

    Args:
        items: a frame of items.
        epoch: the epoch.
        last: how many items of a replica are its end.
    """
    here = items[items["epoch"] == epoch]
    from_end = here.groupby("who").cumcount(ascending=False)
    pairs = _pairs(here)
    several = pairs["item"][pairs.duplicated("item", keep=False)].unique()
    ends = set(here["item"][from_end < last])
    return bool(np.isin(several, list(ends)).all()) if len(several) else False


def each_as_often(items: pd.DataFrame) -> bool:
    """Whether nearly all of an epoch's items came equally often, more than once: repeated by design.

    Args:
        items: a frame of items, of one epoch.
    """
    times = items.groupby("item").size()
    return bool(times.median() > 1 and (times == times.median()).mean() > _NEARLY_ALL)


def same_in_all_epochs(items: pd.DataFrame) -> bool:
    """Whether every epoch had the same items; False with one epoch."""
    labels, epoch = codes.ranked(items["epoch"].to_numpy(np.int64))
    item, count = codes.numbered(items["item"].to_numpy())
    times = codes.different(item, epoch, count)
    return len(labels) > 1 and bool((times[times > 0] == len(labels)).all())
