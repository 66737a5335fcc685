"""Do draws belong to the place in the epoch, or to the item that comes there? Frames in. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from batchaudit.analysis.contents import short
from batchaudit.analysis.drawn import samples_made
from batchaudit.analysis.tables import Tables

EPOCHS = 3
"""So many of a run's first epochs are compared with each other."""

_MANY_ENOUGH = 3
_MOST = 0.9
_OFTEN = 0.5
_BY_CHANCE = 0.01


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
    # One that comes often would be paired with itself too often.
    rows = rows.drop_duplicates(["epoch", "item"])
    pairs = rows.merge(rows, on="item")
    pairs = pairs[pairs["epoch_x"] < pairs["epoch_y"]]
    # Who makes which item is dealt out anew in each epoch where workers take what comes next.
    there = pairs["turn_x"] == pairs["turn_y"]
    alike = (pairs["step_x"] == pairs["step_y"]) & (pairs["position_x"] == pairs["position_y"])
    at_place, elsewhere = pairs[there & alike], pairs[~there]
    same = at_place["is_x"] == at_place["is_y"]
    return Placed(
        len(at_place),
        float(same.mean()) if len(at_place) else 0.0,
        len(elsewhere),
        float((elsewhere["is_x"] != elsewhere["is_y"]).mean()) if len(elsewhere) else 0.0,
        _example(at_place[same]),
    )


def _rows(tables: Tables) -> pd.DataFrame | None:
    """Each item: epoch, item, step and position of its delivery, the worker's turn, and its content."""
    made = tables.produced[(tables.produced["worker"] >= 0) & tables.produced["epoch"].between(0, EPOCHS - 1)]
    if len(made) and bool((made["index"] >= 0).all()):
        rows = made.assign(item=made["index"], position=0, turn=made["epoch_step"])
        return rows.rename(columns={"digest_lo": "is"})[["epoch", "item", "step", "position", "turn", "is"]]
    samples = samples_made(tables)
    samples = samples[samples["event"].isin(made.index)]
    if samples["id"].isna().any():
        return None
    samples = samples.assign(step=made["step"].reindex(samples["event"]).to_numpy())
    named = {"id": "item", "digest": "is", "epoch_step": "turn"}
    return samples.rename(columns=named)[["epoch", "item", "step", "position", "turn", "is"]]


def _example(same: pd.DataFrame) -> str:
    if same.empty:
        return ""
    one = same.iloc[0]
    content = short(one["is_x"])
    return (
        f"item {int(one['item'])} at step {int(one['turn_x'])} of its worker has content {content} in epoch "
        f"{int(one['epoch_x'])} and in epoch {int(one['epoch_y'])}"
    )
