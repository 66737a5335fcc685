"""What repeats of what was drawn, by item or by position. Frames in, figures out. Requires pandas.

Contents are compared as they were made, not as they were delivered: a consumer may convert them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.contents import short
from batchaudit.analysis.seeds import moved
from batchaudit.analysis.tables import STREAMS, Digests, Tables, chosen, once

Array = np.ndarray[Any, Any]

ALMOST_ALL = 0.98
_ENOUGH = 8  # items that come again from one worker
_FEW = 3  # batches
_OFTEN = 0.5
_HARDLY = 0.1


@dataclass(frozen=True)
class Repeats:
    """How often an item of a later epoch came with a content that it had before.

    Attributes:
        by: what tells items apart: "id"; "content" where nothing does, and a content itself is looked for.
        compared: how many items came again.
        equal: which part of them had a content of an earlier epoch.
        kept_compared: how many came again from the worker that had made them before.
        kept_equal: which part of those had the content that it had made before.
        versions: how many contents an item has, at most.
        example: an item that came again with an equal content, in words; "" where there is none.
    """

    by: str
    compared: int
    equal: float
    kept_compared: int = 0
    kept_equal: float = 0.0
    versions: int = 0
    example: str = ""

    @property
    def bound(self) -> bool:
        """Whether the content belongs to the item, whoever makes it."""
        return self.compared > 0 and self.equal >= ALMOST_ALL

    @property
    def kept(self) -> bool:
        """Whether each worker gives an item the one content that it made first, and others another."""
        return self.kept_compared >= _ENOUGH and self.kept_equal >= ALMOST_ALL and self.versions > 1


def samples_made(tables: Tables) -> pd.DataFrame:
    """The samples of what was made and delivered.

    Args:
        tables: the events of one source and strategy.

    Returns:
        A row a sample, in order of making: `event` (its batch's label), `epoch`, `worker` (-1: a look ahead
        that was delivered later), `epoch_step`, `local_step`, `position`, `id` and `digest`. A row a batch,
        with no id, where batches were not hashed by sample.
    """
    return _made(tables)[0]


@once
def _made(tables: Tables) -> tuple[pd.DataFrame, slice | Array | None]:
    """These samples, and the rows of `Tables.samples` that they are; None for whole batches."""
    made = chosen(tables.produced, (tables.produced["epoch"] >= 0).to_numpy())
    of_batch = ["epoch", "worker", "epoch_step", "local_step"]
    columns = ["event", *of_batch, "position", "id", "digest"]
    rows, batch = tables.rows_of(made)
    if bool((np.bincount(batch, minlength=len(made)) == 0).any()):
        whole = made.assign(event=made.index, position=0, id=pd.NA, digest=made["digest_lo"])
        return whole[columns].astype({"id": "Int64"}), None
    taken = {name: made[name].to_numpy()[batch] for name in of_batch}
    samples = tables.samples.iloc[rows]
    own = {name: samples[name].array for name in ("event", "position", "id", "digest")}
    return pd.DataFrame({**taken, **own}, copy=False)[columns], rows


@once
def repeats(tables: Tables) -> Repeats | None:
    """Whether items have the same content in every epoch.

    Args:
        tables: the events of one source and strategy.

    Returns:
        None with fewer than two epochs.
    """
    rows, of_samples = _made(tables)
    epoch = rows["epoch"].to_numpy()
    if not len(rows) or epoch.min() == epoch.max():
        return None
    digests = Digests.of(rows["digest"]) if of_samples is None else tables.digests_of(of_samples)
    known = np.ones(len(rows), bool) if digests.known is None else digests.known
    if rows["id"].isna().any():
        before = codes.least(digests.number, epoch, digests.count)[digests.number] < epoch
        return _of_contents(rows, epoch, known & before)
    item, items = codes.numbered(rows["id"].to_numpy(np.int64))
    content, contents = _of_items(item, digests)
    worker = rows["worker"].to_numpy()
    first = codes.least(item, epoch, items)[item]
    later = epoch > first
    old = known & (codes.least(content, epoch, contents)[content] < epoch)
    kept, kept_old = later, old
    if worker.min() != worker.max():
        kept, kept_old = _came_before(epoch, worker, item), known & _came_before(epoch, worker, content)
    kept = kept & (worker >= 0)
    of_content = np.zeros(contents, np.int64)
    of_content[content[known]] = item[known] + 1
    example = ""
    if (old & later).any():
        row = int(np.argmax(old & later))
        example = (
            f"sample {int(rows['id'].iloc[row])} has content {short(rows['digest'].iloc[row])} in epoch "
            f"{int(first[row])} and again in epoch {int(epoch[row])}"
        )
    return Repeats(
        "id",
        int(later.sum()),
        float(old[later].mean()) if later.any() else 0.0,
        int(kept.sum()),
        float(kept_old[kept].mean()) if kept.any() else 0.0,
        int(np.bincount(of_content)[1:].max(initial=0)),
        example,
    )


def _of_items(item: Array, digests: Digests) -> tuple[Array, int]:
    """The contents as numbers that are equal only where the items are, too."""
    holder = np.zeros(digests.count, np.int64)
    holder[digests.number] = item
    if (holder[digests.number] == item).all():
        return digests.number, digests.count
    return codes.numbered(item, digests.number)


def _of_contents(rows: pd.DataFrame, epoch: Array, old: Array) -> Repeats:
    later = epoch > epoch.min()
    example = ""
    if (old & later).any():
        row = int(np.argmax(old & later))
        example = (
            f"content {short(rows['digest'].iloc[row])} is in epoch {int(epoch.min())} and again in epoch "
            f"{int(epoch[row])}"
        )
    return Repeats("content", int(later.sum()), float(old[later].mean()), example=example)


def _came_before(epoch: Array, *of: Array) -> Array:
    """Which rows are equal in some columns to one of an earlier epoch."""
    number, count = codes.numbered(*of)
    before: Array = codes.least(number, epoch, count)[number] < epoch
    return before


# -- streams --------------------------------------------------------------------------------------


def seeded_inside(made: pd.DataFrame, stream: str, *, by_item: bool) -> bool:
    """Whether a source seeds a stream itself, for each batch or sample that it makes.

    A stream that only draws never comes back to a state. A state in which two batches ended that began from
    different ones was seeded in between. What has an index has seeded for the item then; what is iterated may
    have seeded where its pass began, unless that is so of most states that come again.

    Args:
        made: produced batches.
        stream: a stream that moved.
        by_item: whether the source is asked for items by index.
    """
    drew = moved(made, stream) & (made[f"rng_{stream}_before"] != 0) & (made["worker"] >= 0)
    ended = made[f"rng_{stream}_after"].to_numpy(np.uint64)[drew]
    if not codes.several(ended).any():
        return False
    drew = chosen(made, drew.to_numpy())
    groups = drew.groupby(f"rng_{stream}_after")[f"rng_{stream}_before"]
    befores = groups.nunique()[groups.size() > 1]
    seeded = befores > 1
    if by_item:
        return bool(seeded.any()) and not _go_on_alike(drew, stream)
    return bool(len(seeded)) and float(seeded.mean()) >= _OFTEN


def _go_on_alike(drew: pd.DataFrame, stream: str) -> bool:
    """Whether workers share states that they came to: they were seeded alike, and have drawn since."""
    later = drew[drew["local_step"] > 0]
    key = ["epoch", "local_step", f"rng_{stream}_before", f"rng_{stream}_after"]
    several = later[later.groupby(key)["worker"].transform("nunique") > 1]
    return bool(several[f"rng_{stream}_before"].nunique() > 1)


@once
def drew_once(tables: Tables) -> list[str]:
    """The streams from which most batches of the first epoch drew, and hardly any later one.

    Args:
        tables: the events of one source and strategy.
    """
    made = tables.produced
    first, later = made["epoch"] == 0, made["epoch"] > 0
    if first.sum() < _FEW or later.sum() < _FEW:
        return []
    drew = {name: moved(made, name) for name in STREAMS}
    return [
        name for name, its in drew.items() if its[first].mean() >= _OFTEN and its[later].mean() <= _HARDLY
    ]


def moved_during(tables: Tables, epoch: int) -> list[str]:
    """The streams that were in several states while an epoch was made, wherever they were drawn from.

    A pipeline that runs in threads of its own draws between the looks at it.

    Args:
        tables: the events of one source and strategy.
        epoch: the epoch.
    """
    here = (tables.produced["epoch"] == epoch).to_numpy()
    found = []
    for name in ("numpy", "python", "torch"):
        states = np.concatenate([tables.produced[f"rng_{name}_{when}"][here] for when in ("before", "after")])
        known = states[states != 0]
        if len(known) and known.min() != known.max():
            found.append(name)
    return found
