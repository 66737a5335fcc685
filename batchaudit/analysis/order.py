"""In which order the samples of each epoch came, and which epoch everybody believed in. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import Tables, in_order


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
    """Whether each epoch had its samples in the order of the epoch before.

    Args:
        tables: the events of one source.

    Returns:
        One entry for each epoch but the first; None where no order can be told: the samples have no ids.
    """
    orders = _orders(tables)
    if orders is None:
        return None
    return [
        first.keys() == second.keys() and all(np.array_equal(first[who], second[who]) for who in first)
        for first, second in pairwise(orders)
    ]


def sorted_order(tables: Tables) -> bool:
    """Whether the first epoch's samples came in the order of their ids: nothing shuffles them."""
    orders = _orders(tables)
    return bool(orders) and all(
        len(ids) > 1 and bool((np.diff(ids) > 0).all()) for ids in (orders or [{}])[0].values()
    )


def _orders(tables: Tables) -> list[dict[Any, np.ndarray]] | None:
    """For each epoch the ids of the samples of each rank, in the order in which they were delivered."""
    if not tables.ids_known:
        return None
    delivered = tables.delivered
    rows, place = in_order(tables.samples, delivered)
    ordered = rows.assign(
        epoch=delivered["epoch"].to_numpy()[place], rank=delivered["rank"].to_numpy()[place]
    )
    return [
        {rank: of_rank["id"].to_numpy() for rank, of_rank in of_epoch.groupby("rank")}
        for _, of_epoch in ordered.groupby("epoch", sort=True)
    ]


def _last_before(hooks: pd.DataFrame, moment: int) -> int:
    """What was said last before a moment.

    A framework may take its first batch only a while after it made the iterator, never before.
    """
    earlier = hooks[hooks["began_ns"] <= moment]
    return int(earlier["epoch"].iloc[-1]) if len(earlier) else -1
