"""Which items several replicas of a source have in common: workers of one process, or ranks of one training.

Requires numpy and pandas. A frame of items has a row a delivered item, in the order of delivery: `epoch`,
`who` (which replica delivered it) and `item`, a number that is equal for equal items.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

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
        The frame. Rows of which nobody knows who made them are left out; items are numbered from 0.
    """
    known = rows[rows[who] >= 0]
    return pd.DataFrame(
        {
            "epoch": known["epoch"].to_numpy(np.int64),
            "who": known[who].to_numpy(np.int64),
            "item": pd.factorize(known[item])[0].astype(np.int64),
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
    shares = items.groupby(["epoch", "who"]).size()
    pairs = _pairs(items)
    of_epoch = shares.groupby("epoch")
    frame = pd.DataFrame({"replicas": of_epoch.size(), "total": of_epoch.sum()})
    frame["different"] = pairs.drop_duplicates(["epoch", "item"]).groupby("epoch").size()
    held = pairs.groupby("epoch").size()
    frame["within"] = frame["total"] - held
    frame["across"] = held - frame["different"]
    frame["least"], frame["most"] = of_epoch.min(), of_epoch.max()
    return frame.reset_index()[COLUMNS].astype(np.int64)


def _pairs(items: pd.DataFrame) -> pd.DataFrame:
    """Each item of an epoch once for each replica that delivered it."""
    return items.drop_duplicates(["epoch", "who", "item"])


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
    found = []
    for epoch, here in items.groupby("epoch", sort=True):
        orders = {int(who): rows.to_numpy() for who, rows in here.groupby("who", sort=True)["item"]}
        sets = {who: np.unique(order) for who, order in list(orders.items())[:MOST_REPLICAS]}
        for a, b in combinations(sets, 2):
            common = len(np.intersect1d(sets[a], sets[b], assume_unique=True))
            walked = min(len(orders[a]), len(orders[b]))
            in_step = int((orders[a][:walked] == orders[b][:walked]).sum())
            backwards = len(orders[a]) == len(orders[b]) and np.array_equal(orders[a], orders[b][::-1])
            sizes = len(sets[a]), len(sets[b])
            found.append(Pair(int(epoch), (a, b), sizes, common, walked, in_step, backwards))
    return found


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
    at_a_time = int(items.groupby("epoch")["who"].nunique().max())
    pass_of_each = items.groupby("who").head(count).groupby("who")["item"].agg(["size", "nunique"])
    once = pass_of_each["nunique"] >= 0.98 * pass_of_each["size"]
    far = pass_of_each["nunique"] > beyond * count / at_a_time
    return [int(who) for who in pass_of_each.index[once & far]]


def doubled(items: pd.DataFrame, share: int) -> float:
    """Which part of the different items of an epoch came to several replicas, before each had its share.

    Replicas that share a source out and go round it several times in an epoch double nothing in the first.

    Args:
        items: a frame of items.
        share: how many items are one replica's share.
    """
    early = items[items.groupby(["epoch", "who"]).cumcount() < share]
    holders = _pairs(early).groupby(["epoch", "item"]).size()
    return float((holders > 1).mean()) if len(holders) else 0.0


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
    each = items.drop_duplicates(["epoch", "item"])
    epochs = each["epoch"].nunique()
    return epochs > 1 and bool((each.groupby("item").size() == epochs).all())
