"""Which workers, of one rank or of several, drew from equal random states. Frames in. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.drawn import samples_made
from batchaudit.analysis.seeds import moved
from batchaudit.analysis.tables import Tables, chosen

Array = np.ndarray[Any, Any]

_MANY_ENOUGH = 3
_MOST = 0.9
_OFTEN = 0.5


def alike_between_ranks(made: pd.DataFrame, stream: str, least: int = _MANY_ENOUGH) -> pd.DataFrame:
    """The draws that workers of several ranks made alike: from an equal state to an equal state.

    All pairs of workers count, whatever their numbers: seeds that are a sum of rank and worker meet off the
    diagonal.

    Args:
        made: produced batches of all ranks, with rank, epoch, worker and local_step.
        stream: a stream that moved.
        least: at how many steps a worker must have shared them.

    Returns:
        The rows that share both states with one of another rank at the same epoch and local step, for those
        pairs of workers that share them at several steps and from different states: what starts anew for each
        batch from one seed shares no more than that.
    """
    drew = np.flatnonzero(moved(made, stream) & (made[f"rng_{stream}_before"] != 0))
    key = ["epoch", "local_step", f"rng_{stream}_before", f"rng_{stream}_after"]
    draw, draws = codes.numbered(*(made[name].to_numpy()[drew] for name in key))
    ranks = _different(draw, made["rank"].to_numpy()[drew], draws)
    shared = drew[(ranks > 1)[draw]]
    worker, workers = codes.numbered(made["worker"].to_numpy()[shared])
    steps = np.bincount(worker, minlength=workers)
    states = _different(worker, made[f"rng_{stream}_before"].to_numpy(np.uint64)[shared], workers)
    going = np.zeros(len(made), bool)
    going[shared] = ((steps >= least) & (states > 1))[worker]
    return chosen(made, going)


def _different(group: Array, values: Array, groups: int) -> Array:
    """How many different values each group has."""
    found: Array = codes.different(group, codes.numbered(values)[0], groups)
    return found


def alike_between_epochs(made: pd.DataFrame, stream: str) -> pd.DataFrame:
    """The first batches of epochs, where all ranks begin each epoch from one state, and each from another.

    Which samples come may be drawn where an iterator is made, and no batch is.

    Args:
        made: produced batches of all ranks, with rank, epoch and step.
        stream: any stream.

    Returns:
        Their rows; empty where ranks or no epochs differ.
    """
    first = made.sort_values("step", kind="stable").drop_duplicates(["epoch", "rank"])
    state = first[f"rng_{stream}_before"]
    ranks, epochs = first["rank"].nunique(), first["epoch"].nunique()
    known = bool((state != 0).all()) and len(first) == ranks * epochs
    of_epoch = state.groupby(first["epoch"])
    if not known or bool((of_epoch.nunique() > 1).any()) or of_epoch.first().nunique() < max(2, epochs):
        return first.iloc[:0]
    return first


def equal_though_other_items(tables: Tables) -> pd.DataFrame:
    """Batches that workers made of different items, at an equal local step, and that are equal all the same.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Their rows of `Tables.produced`, where that is so at most of the steps that two workers reached and
        batches within a worker differ: the content is all drawn, from one random state. Empty elsewhere, and
        where samples have no ids.
    """
    produced = tables.produced
    made = chosen(produced, ((produced["epoch"] >= 0) & (produced["worker"] >= 0)).to_numpy())
    place = [made[name].to_numpy() for name in ("epoch", "local_step")]  # no worker has two batches there
    reached = codes.several(*place)
    shared = codes.several(*place, *(made[name].to_numpy(np.uint64) for name in ("digest_hi", "digest_lo")))
    if not reached.any() or shared[reached].mean() < _MOST:
        return made.iloc[:0]
    rows = samples_made(tables)
    if rows.empty or bool(rows["id"].isna().any()):
        return made.iloc[:0]
    mixed = rows["id"].astype(np.int64).to_numpy().view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    position = rows["position"].to_numpy().astype(np.uint64) + np.uint64(1)
    items = pd.Series(mixed * position, index=rows["event"])
    made = made.assign(items=items.groupby(level=0).sum().reindex(made.index).to_numpy())
    key = ["epoch", "local_step", "digest_hi", "digest_lo"]
    equal = shared & (made.groupby(key)["items"].transform("nunique") > 1)
    within = made.groupby("worker")["digest_lo"].agg(["nunique", "size"])
    vary = float((within["nunique"] / within["size"]).mean())
    often = float(equal[reached].mean()) >= _MOST
    steps = made["local_step"][equal].nunique()
    return made[equal] if often and vary > _OFTEN and steps >= _MANY_ENOUGH else made.iloc[:0]
