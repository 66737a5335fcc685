"""What the probes say of draws. Frames in, figures out. Requires pandas.

The names of passes and hooks are those that the probes log (`probes/draws.py`, `probes/retrace.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from batchaudit.analysis.tables import Tables

_MANY_ENOUGH = 3


# -- same-index -----------------------------------------------------------------------------------


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
        f"made the same content {_short(first['digest_hi'])} of item {max(0, int(first['index']))}"
    )
    others = its[its["digest_lo"] != first["digest_lo"]]
    return what if others.empty else f"{what}, and at step {int(others['local_step'].iloc[0])} both another"


# -- draws ----------------------------------------------------------------------------------------

_FIRST, _AGAIN, _NEXT, _OTHER, _SEEDED = range(5)
_CALLED = "drew "


@dataclass(frozen=True)
class Draws:
    """A few items, made several times.

    Attributes:
        items: how many.
        again: whether each had the same content when it was made again; None where it could not be.
        renewed: which part of the samples after an epoch's end were in no pass before it.
        steady: whether another source, from the same states, gave the same.
        altered: which part of the samples was in no other pass when everything was seeded otherwise.
        called: what made or seeded a stream: name and at how many steps.
        later: at which part of the steps after the first something made or seeded a stream.
        example: an item that another seed altered, in words; "" for none.
    """

    items: int
    again: bool | None
    renewed: float
    steady: bool
    altered: float
    called: dict[str, int]
    later: float
    example: str = ""

    @property
    def complete(self) -> bool:
        """Whether the passes agree with each other, so that they say what was drawn."""
        return self.steady and self.again is not False

    @property
    def draws(self) -> bool:
        """Whether what is drawn while an item is made decides its content, and always in the same way."""
        return self.complete and self.altered >= _SOME


_SOME = 0.05


def draws(tables: Tables | None, known: pd.DataFrame) -> Draws | None:
    """Reads the probe `draws`.

    Args:
        tables: its events; None where it was not made.
        known: the samples of the serial passes: `id` and `digest`.

    Returns:
        None where it was not made, or not to its end.
    """
    if tables is None:
        return None
    passes = {epoch: _contents(tables, epoch) for epoch in range(5)}
    if passes[_FIRST].empty or passes[_OTHER].empty or passes[_SEEDED].empty:
        return None
    first, seeded = passes[_FIRST], passes[_SEEDED]
    again = None if passes[_AGAIN].empty else _equal(first, passes[_AGAIN])
    seen = pd.concat([known[["id", "digest"]], first, passes[_AGAIN]])
    called = tables.hooks[tables.hooks["text"].str.startswith(_CALLED) & (tables.hooks["epoch"] == _FIRST)]
    steps = int(first["step"].max()) + 1
    by_name = called.groupby("text")["step"].nunique()
    late = called["step"][called["step"] > 0].nunique()
    new = _new(seeded, pd.concat([seen, passes[_NEXT]]))
    return Draws(
        steps,
        again,
        float(_new(passes[_NEXT], seen).mean()) if len(passes[_NEXT]) else 0.0,
        _equal(first, passes[_OTHER]),
        float(new.mean()),
        {str(name).removeprefix(_CALLED): int(count) for name, count in by_name.items()},
        late / (steps - 1) if steps > 1 else 0.0,
        _altered(first, seeded[new]),
    )


def _new(rows: pd.DataFrame, seen: pd.DataFrame) -> pd.Series:
    """Which samples have a content that was not seen; where they have ids, of an item that was seen."""
    new = ~rows["digest"].isin(set(seen["digest"]))
    return new if rows["id"].isna().any() else new & rows["id"].isin(set(seen["id"].dropna()))


def _contents(tables: Tables, epoch: int) -> pd.DataFrame:
    """The samples of one pass: step, position, id, digest; whole batches where samples are not hashed."""
    made = tables.produced[tables.produced["epoch"] == epoch]
    rows = tables.samples[tables.samples["event"].isin(made.index)]
    if rows["event"].nunique() < len(made):
        return pd.DataFrame({"step": made["step"], "position": 0, "id": pd.NA, "digest": made["digest_lo"]})
    joined = rows.merge(made[["step"]], left_on="event", right_index=True)
    return joined.sort_values(["step", "position"])[["step", "position", "id", "digest"]]


def _equal(first: pd.DataFrame, other: pd.DataFrame) -> bool:
    return len(first) == len(other) and bool((first["digest"].to_numpy() == other["digest"].to_numpy()).all())


def _altered(first: pd.DataFrame, new: pd.DataFrame) -> str:
    if new.empty:
        return ""
    one = new.iloc[0]
    usual = first[(first["step"] == one["step"]) & (first["position"] == one["position"])]
    if usual.empty:
        return ""
    if pd.notna(one["id"]):
        which = f"sample {int(one['id'])}"
    else:
        which = f"the sample at position {int(one['position'])} of batch {int(one['step'])}"
    return (
        f"{which} has content {_short(usual['digest'].iloc[0])} each time, and {_short(one['digest'])} when "
        "what is drawn for it is seeded otherwise"
    )


# -- retrace --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One stage of a tf.data pipeline.

    Attributes:
        number: counted from the data on.
        name: "Map", "Cache", "Shuffle", "Repeat" ...
        says: what was seen in it: "constant", "seeded", "stateless", "random", "generator", "python".
    """

    number: int
    name: str
    says: frozenset[str]


def stages(tables: Tables | None) -> list[Stage]:
    """Reads the probe `retrace`.

    Args:
        tables: its events; None where it was not made.

    Returns:
        The pipeline's stages from the data on; empty where it was not made.
    """
    if tables is None:
        return []
    found = []
    hooks = tables.hooks[tables.hooks["text"].str.startswith(_STAGE)].sort_values("step", kind="stable")
    for step, text in zip(hooks["step"], hooks["text"], strict=True):
        name, _, says = str(text).removeprefix(_STAGE).partition(": ")
        found.append(Stage(int(step), name, frozenset(says.split(", ")) - {""}))
    return found


_STAGE = "stage "


def _short(digest: Any) -> str:
    return f"{int(digest):016x}"[:8]
