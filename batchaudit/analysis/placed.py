"""Do draws belong to the place in the epoch, or to the item that comes there? Frames in. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.contents import short
from batchaudit.analysis.drawn import samples_made
from batchaudit.analysis.tables import Tables, chosen

Array = np.ndarray[Any, Any]

EPOCHS = 3
"""So many of a run's first epochs are compared with each other."""

_MANY_ENOUGH = 3
_MOST = 0.9
_OFTEN = 0.5
_BY_CHANCE = 0.01
_OF_BATCH = ["epoch", "step", "index", "epoch_step", "digest_lo"]
_COLUMNS = ["epoch", "item", "step", "position", "turn", "is"]


@dataclass(frozen=True)
class Placed:
    """The same items in several epochs, at the same places and at others.

    Attributes:
        placed: how many times an item came at the same place in two epochs, and at the same step of a worker.
        same: which part of these had the same content.
        moved: how many times it came at another step of a worker.
        other: which part of these had another content.
        example: in words; "" where there is none.
    """

    placed: int
    same: float
    moved: int
    other: float
    example: str = ""

    @property
    def starts_over(self) -> bool:
        """Whether the draws belong to the place, and are the same in each epoch."""
        by_chance = (1 - self.other) ** self.placed
        return self.repeats and self._vary and by_chance <= _BY_CHANCE

    @property
    def repeats(self) -> bool:
        """Whether what comes at the same place is the same."""
        return self.placed >= _MANY_ENOUGH and self.same >= _MOST

    @property
    def goes_on(self) -> bool:
        """Whether a place comes again, and what comes there is another."""
        return self.placed >= _MANY_ENOUGH and self.same <= 1 - _MOST and self._vary

    @property
    def _vary(self) -> bool:
        return self.moved >= _MANY_ENOUGH and self.other >= _OFTEN


def placed(tables: Tables | None) -> Placed | None:
    """Compares the contents of the same items between epochs.

    Args:
        tables: the events of one source and strategy.

    Returns:
        None where items cannot be told apart, or there are none.
    """
    rows = None if tables is None else _rows(tables)
    if rows is None or rows.empty:
        return None
    item, items = codes.numbered(rows["item"].to_numpy(np.int64))
    first = _first_rows(rows["epoch"].to_numpy(), item, items)
    numbers = {name: rows[name].to_numpy() for name in ("turn", "step", "position", "is")}
    places: list[Array] = []
    elsewhere: list[Array] = []
    for earlier, later in combinations(first, 2):
        both = (earlier >= 0) & (later >= 0)
        pairs = np.stack([earlier[both], later[both]])
        # Who makes which item is dealt out anew in each epoch where workers take what comes next.
        turn = _equal(numbers["turn"], pairs)
        there = pairs[:, turn]
        for name in ("step", "position"):
            there = there[:, _equal(numbers[name], there)]
        places.append(np.vstack([there, _equal(numbers["is"], there)]))
        elsewhere.append(_equal(numbers["is"], pairs if not turn.any() else pairs[:, ~turn]))
    at_place, alike = np.concatenate(places, axis=1), np.concatenate(elsewhere)
    same_there = at_place[2] > 0
    return Placed(
        at_place.shape[1],
        float(same_there.mean()) if len(same_there) else 0.0,
        len(alike),
        float((~alike).mean()) if len(alike) else 0.0,
        _example(rows, at_place[:2, same_there]),
    )


def _equal(values: Array, pairs: Array) -> Array:
    """Where two rows hold the same."""
    same: Array = values[pairs[0]] == values[pairs[1]]
    return same


def _first_rows(epoch: Array, item: Array, items: int) -> list[Array]:
    """For each epoch the row in which each item came first; -1 for none.

    One that comes often would be paired with itself too often.
    """
    first = []
    for number in range(EPOCHS):
        rows = np.flatnonzero(epoch == number)[::-1]
        first.append(np.full(items, -1))
        first[-1][item[rows]] = rows
    return first


def _rows(tables: Tables) -> pd.DataFrame | None:
    """Each item: epoch, item, step and position of its delivery, the worker's turn, and its content."""
    produced = tables.produced
    made = chosen(
        produced, ((produced["worker"] >= 0) & produced["epoch"].between(0, EPOCHS - 1)).to_numpy(), _OF_BATCH
    )
    if len(made) and bool((made["index"] >= 0).all()):
        rows = made.assign(item=made["index"], position=0, turn=made["epoch_step"])
        return rows.rename(columns={"digest_lo": "is"})[_COLUMNS]
    samples = samples_made(tables)
    samples = chosen(samples, ((samples["worker"] >= 0) & samples["epoch"].between(0, EPOCHS - 1)).to_numpy())
    if samples["id"].isna().any():
        return None
    begins = codes.starts(samples["event"].to_numpy())  # a batch after the other, none without a row
    step = np.repeat(made["step"].to_numpy(), np.diff(begins, append=len(samples)))
    named = {"id": "item", "digest": "is", "epoch_step": "turn"}
    return samples.assign(step=step).rename(columns=named)[_COLUMNS]


def _example(rows: pd.DataFrame, same: Array) -> str:
    """The first of the pairs of rows, in the order of the earlier and then of the later one."""
    if not same.shape[1]:
        return ""
    row, other = same[:, np.lexsort((same[1], same[0]))[0]]
    # Column by column: a row of pandas has one type for all of its values, which rounds digests.
    one = {name: int(rows[name].iloc[row]) for name in rows}
    return (
        f"item {one['item']} at step {one['turn']} of its worker has content {short(one['is'])} in "
        f"epoch {one['epoch']} and in epoch {int(rows['epoch'].iloc[other])}"
    )
