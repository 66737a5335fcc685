"""In which order the samples of each epoch came, and which epoch everybody believed in. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import lgamma
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import Tables, once
from batchaudit.analysis.walk import Walk, by_id


@dataclass(frozen=True)
class Beliefs:
    """Which epoch was believed in, epoch by epoch of the consumer; -1 where nobody says.

    Attributes:
        consumer: what the source said in the process that consumes, when the epoch began.
        sampler: what its sampler said there.
        workers: what the sources of those said who made the epoch's batches; the least and the greatest.
    """

    consumer: tuple[int, ...]
    sampler: tuple[int, ...]
    workers: tuple[tuple[int, int], ...]


@once
def beliefs(tables: Tables) -> Beliefs:
    """Which epoch the source, its sampler and its copies in the workers believed in.

    Args:
        tables: the events of one source.

    Returns:
        An entry for each epoch of the consumer.
    """
    delivered = tables.delivered
    numbers = sorted(delivered["epoch"].unique())
    begins = delivered.groupby("epoch")["began_ns"].min()
    said = {name: tables.hooks[tables.hooks["text"] == name] for name in ("iterator", "sampler")}
    made = tables.produced.reindex(delivered["made"][delivered["made"] >= 0])
    workers = made.groupby("epoch")["believed"].agg(["min", "max"])
    return Beliefs(
        tuple(_last_before(said["iterator"], begins[number]) for number in numbers),
        tuple(_last_before(said["sampler"], begins[number]) for number in numbers),
        tuple(
            (int(workers.loc[number, "min"]), int(workers.loc[number, "max"]))
            if number in workers.index
            else (-1, -1)
            for number in numbers
        ),
    )


def same_order(tables: Tables) -> list[bool] | None:
    """Whether each epoch had its samples in the order of the epoch before, whole and by their ids.

    Args:
        tables: the events of one source in one rank.

    Returns:
        One entry for each epoch but the first; None where no order can be told: the samples have no ids.
    """
    if not tables.ids_known:
        return None
    orders = by_id(tables).orders
    return [bool(np.array_equal(orders[one], orders[two])) for one, two in pairwise(sorted(orders))]


@dataclass(frozen=True)
class Repetition:
    """Whether the epochs had their samples in one order.

    Attributes:
        by: what the samples were told apart by: "id" or "content" of the stored item, or what was
            "delivered", of which equality says that the order was the same, and inequality nothing.
        epochs: the epochs that were compared: those that went at least half as far as the longest.
        same: for each of them but the first, whether it was in the order of the one before.
        items: how many different samples, or batches, the shortest of them had.
    """

    by: str
    epochs: tuple[int, ...]
    same: tuple[bool, ...]
    items: int

    @property
    def always(self) -> bool:
        """Whether all epochs had one order, by more than chance."""
        return bool(self.same) and all(self.same) and self._by_chance < _CHANCE

    @property
    def never(self) -> bool:
        """Whether each epoch certainly had another order than the one before."""
        return bool(self.same) and not any(self.same) and self.tells_apart

    @property
    def varies(self) -> bool:
        """Whether some epoch certainly had another order than the one before."""
        return bool(self.same) and not all(self.same) and self.tells_apart

    @property
    def tells_apart(self) -> bool:
        """Whether two orders that differ can be seen to."""
        return self.by != "delivered"

    @property
    def _by_chance(self) -> float:
        """The logarithm of how likely shuffled epochs are to agree."""
        return -lgamma(self.items + 1) * len(self.same)


_CHANCE = -7.0  # 1 in 1,100


def repetition(tables: Tables, walk: Walk) -> Repetition | None:
    """Compares the orders of the epochs, each with that of the epoch before, as far as both go.

    Args:
        tables: the events of one source in one rank.
        walk: the stored items that were delivered.

    Returns:
        What was seen; None where there are no two epochs to compare.
    """
    by, orders = sequences(tables, walk)
    longest = max((len(order) for order in orders.values()), default=0)
    compared = {epoch: order for epoch, order in sorted(orders.items()) if 2 * len(order) >= longest}
    if len(compared) < 2:
        return None
    same = []
    for first, second in pairwise(compared.values()):
        common = min(len(first), len(second))
        same.append(bool(np.array_equal(first[:common], second[:common])))
    shortest = min(compared.values(), key=len)
    return Repetition(by, tuple(compared), tuple(same), len(codes.distinct(shortest)))


def sequences(tables: Tables, walk: Walk) -> tuple[str, dict[int, np.ndarray[Any, Any]]]:
    """What each epoch delivered, in order.

    Args:
        tables: the events of one source in one rank.
        walk: the stored items that were delivered.

    Returns:
        What the samples are told apart by, as in `Repetition`, and an array for each epoch.
    """
    if walk.by in ("id", "content"):
        return walk.by, walk.orders
    labels, epochs = tables.epochs
    rows, place = tables.delivered_samples
    if len(rows) and tables.sampled:
        values, epochs = rows["digest"].to_numpy(), epochs[place]
    else:  # what has no samples, such as ragged batches
        values = tables.delivered["digest_lo"].to_numpy()
    parts = np.split(values, codes.starts(epochs)[1:])
    return "delivered", {int(epoch): part for epoch, part in zip(labels, parts, strict=False)}


def scrambled(walk: Walk) -> bool | None:
    """Whether the samples' ids come in no order that a walk over the data has.

    Going through the data, through a share of it, or through several parts in turns, the ids go up by few
    different steps. In a shuffled order, of samples or of blocks, hardly any two jumps are alike.

    Args:
        walk: the items that were delivered, of one rank.

    Returns:
        None where that is not known: without ids, or of ids that are no numbers of items.
    """
    if walk.by != "id" or walk.rows.empty:
        return None
    first = walk.rows[walk.rows["epoch"] == walk.rows["epoch"].min()]
    ids = first["item"].to_numpy().astype(np.float64)
    if ids.max() - ids.min() >= _SPARSE * len(ids):  # digests of names
        return None
    jumps = []
    for _, of_worker in first.groupby("worker", sort=False):
        steps = np.diff(of_worker["item"].to_numpy().astype(np.int64))
        jumps.append(steps[steps != 1])
    every = np.concatenate(jumps)
    return len(every) >= _FEW_JUMPS and len(codes.distinct(every)) >= _UNLIKE * len(every)


_SPARSE, _FEW_JUMPS, _UNLIKE = 64, 5, 0.4


@dataclass(frozen=True)
class Mixed:
    """An epoch in the middle of which a hook made another order.

    Attributes:
        epoch: its number.
        step: how many of its batches had been made when the hook was called.
        twice: how many of its items came before the hook and again after it.
    """

    epoch: int
    step: int
    twice: int


def mixed(tables: Tables, walk: Walk, hook: str = "on_epoch_end") -> list[Mixed]:
    """The epochs whose items repeat across a call of a hook, and nowhere else.

    Args:
        tables: the events of one source in one rank.
        walk: the stored items that were delivered; told apart by id or content.
        hook: its name.
    """
    if walk.by not in ("id", "content"):
        return []
    called = tables.hooks["began_ns"][tables.hooks["text"] == hook].to_numpy()
    if not len(called):
        return []
    made = tables.delivered["made"]
    moments = tables.produced["began_ns"].reindex(made).set_axis(made.index)
    found = []
    for epoch, rows in walk.rows.groupby("epoch", sort=True):
        times = moments.reindex(rows["event"]).to_numpy(np.float64)
        inside = called[(called > np.nanmin(times)) & (called < np.nanmax(times))] if len(times) else called
        if len(inside) == 0 or np.isnan(times).any():
            continue
        # Each part between two calls is of one order.
        part = np.searchsorted(np.sort(inside), times)
        items = pd.DataFrame({"item": rows["item"].to_numpy(), "part": part})
        twice = len(items) - items["item"].nunique()
        if twice and not items.duplicated().any():
            before = int(rows.loc[part == 0, "step"].nunique())
            found.append(Mixed(int(str(epoch)), before, twice))
    return found


def _last_before(hooks: pd.DataFrame, moment: int) -> int:
    """What was said last before a moment.

    A framework may take its first batch only a while after it made the iterator, never before.
    """
    earlier = hooks[hooks["began_ns"] <= moment]
    return int(earlier["epoch"].iloc[-1]) if len(earlier) else -1
