"""What the probes `same-index` and `start` say. Frames in, figures out. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from batchaudit.analysis.contents import short
from batchaudit.analysis.tables import Tables

_MANY_ENOUGH = 3


@dataclass(frozen=True)
class SameIndex:
    """Workers that each made one item again and again.

    Attributes:
        workers: the workers that made it often enough.
        steps: the fewest times that one of them made it.
        alike: the workers that went through the same contents as another, step by step.
        contents: how many contents the worker with the fewest gave, and the one with the most.
        different: how many sequences of contents there are.
        chance: how likely workers that draw for themselves would have been so alike.
        example: a step that two workers share, in words; "" where there is none.
    """

    workers: tuple[int, ...]
    steps: int
    alike: tuple[int, ...] = ()
    contents: tuple[int, int] = (0, 0)
    different: int = 0
    chance: float = 1.0
    example: str = ""

    @property
    def enough(self) -> bool:
        """Whether several workers made it often enough."""
        return len(self.workers) > 1

    @property
    def cloned(self) -> bool:
        """Whether workers go through the same contents, step by step."""
        return len(self.alike) > 1 and self.contents[1] > 1 and self.chance <= _BY_CHANCE

    @property
    def apart(self) -> bool:
        """Whether all workers vary, and each goes its own way."""
        return len(self.workers) > 1 and not self.alike and self.contents[0] > 1

    @property
    def fixed(self) -> bool:
        """Whether the item has one content, whoever makes it."""
        return self.contents == (1, 1) and self.different == 1

    @property
    def kept(self) -> bool:
        """Whether each worker gives one content, and not all the same."""
        return self.contents == (1, 1) and self.different > 1


_BY_CHANCE = 0.01


def same_index(tables: Tables | None) -> SameIndex | None:
    """Reads the probe `same-index`, or `start`.

    Args:
        tables: its events; None where it was not made.

    Returns:
        None where there is nothing to read.
    """
    if tables is None:
        return None
    made = tables.produced[(tables.produced["worker"] >= 0) & (tables.produced["epoch"] >= 0)]
    steps = made.groupby("worker").size()
    steps = steps[steps >= _MANY_ENOUGH]
    workers = tuple(int(worker) for worker in steps.index)
    if len(workers) < 2:
        return SameIndex(workers, int(steps.max()) if len(steps) else 0)
    least = int(steps.min())
    made = made[made["worker"].isin(workers) & (made["local_step"] < least)]
    # Numbers first: a digest does not fit into the floats of a table with holes.
    table = made.assign(content=pd.factorize(made["digest_lo"])[0]).pivot(
        index="worker", columns="local_step", values="content"
    )
    walks = table.groupby(list(table.columns)).groups
    shared = [list(its) for its in walks.values() if len(its) > 1]
    own = table.drop_duplicates()
    frequency = pd.Series(own.to_numpy().ravel()).value_counts(normalize=True)
    pairs = len(workers) * (len(workers) - 1) / 2
    chances = [pairs * float((frequency**2).sum()) ** (least * (len(its) - 1)) for its in shared]
    contents = table.nunique(axis=1)
    return SameIndex(
        workers,
        least,
        tuple(sorted(int(worker) for its in shared for worker in its)),
        (int(contents.min()), int(contents.max())),
        len(own),
        min(chances, default=1.0),
        _shared(made, max(shared, key=len)) if shared else "",
    )


def _shared(made: pd.DataFrame, workers: list[int]) -> str:
    one, other = sorted(workers)[:2]
    its = made[made["worker"] == one].sort_values("local_step")
    first = its.iloc[0]
    what = (
        f"worker {one} step {int(first['local_step'])} and worker {other} step {int(first['local_step'])} "
        f"made the same content {short(first['digest_hi'])} of item {max(0, int(first['index']))}"
    )
    others = its[its["digest_lo"] != first["digest_lo"]]
    return what if others.empty else f"{what}, and at step {int(others['local_step'].iloc[0])} both another"
