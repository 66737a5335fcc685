"""Did the workers' random streams diverge? States compared at equal local step. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import STREAMS, Tables

MOST_WORKERS = 256
"""Lockstep is looked for among so many workers at most."""


@dataclass(frozen=True)
class Lockstep:
    """Two workers that shared a stream's state.

    Attributes:
        stream: which stream.
        workers: the two workers' ordinals.
        first_step: the local step at which it began.
        length: for how many local steps in a row.
    """

    stream: str
    workers: tuple[int, int]
    first_step: int
    length: int


def moved_streams(tables: Tables) -> list[str]:
    """The streams whose state changed while a batch was made.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Names out of `STREAMS`.
    """
    produced = tables.produced
    return [
        name
        for name in STREAMS
        if bool((moved(produced, name) & (produced[f"rng_{name}_before"] != 0)).any())
    ]


def moved(produced: pd.DataFrame, stream: str) -> pd.Series:
    """Which of the batches moved a stream."""
    return produced[f"rng_{stream}_before"] != produced[f"rng_{stream}_after"]


def share_a_process(tables: Tables) -> bool:
    """Whether several workers are threads of one process, and so share its global streams."""
    looks = tables.produced[tables.produced["worker"] >= 0]
    counts = looks.groupby(["rank", "pid"], observed=True)["worker"].nunique()
    return bool((counts > 1).any())


def divergence(tables: Tables) -> pd.DataFrame:
    """Seed divergence of each epoch, within it and against the epochs before.

    At a local step that W >= 2 workers reached with D different states of a stream that moved, the
    divergence is (D - 1) / (W - 1): 1 where all differ, 0 where all are the same. It is averaged over the
    epoch's steps; with several streams the least of them counts. `epoch_divergence` is the share of an
    epoch's draws that end in a state in which no draw of an earlier epoch ended, at the same step of it.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Columns epoch, seed_divergence, seed_divergence_note, epoch_divergence, lockstep; NaN and a note
        where there is nothing to see.
    """
    streams = moved_streams(tables)
    shared = share_a_process(tables)
    made = tables.produced[(tables.produced["worker"] >= 0) & tables.produced["delivered"]]
    rows: list[dict[str, Any]] = []
    for epoch, here in made.groupby("epoch", sort=True):
        values = [_within(here, stream) for stream in streams]
        note = _why_empty(here, streams, shared, values)
        against = [new_states(made, here, int(epoch), stream) for stream in streams]
        rows.append(
            {
                "epoch": epoch,
                "seed_divergence": np.nan if note else float(np.nanmin(values)),
                "seed_divergence_note": note,
                "epoch_divergence": _least(against),
                "lockstep": 0 if note else max((lock.length for lock in lockstep(here, streams)), default=0),
            }
        )
    columns = ["epoch", "seed_divergence", "seed_divergence_note", "epoch_divergence", "lockstep"]
    return pd.DataFrame(rows, columns=columns)


def _least(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return min(known, default=float("nan"))


def _why_empty(here: pd.DataFrame, streams: list[str], shared: bool, values: list[float]) -> str:
    if not streams:
        return "no random stream moved"
    if shared:
        return "threads share the process's random streams: a move cannot be laid to one worker"
    if here["worker"].nunique() < 2:
        return "fewer than two workers"
    return "no local step that two workers reached" if all(np.isnan(value) for value in values) else ""


def _within(made: pd.DataFrame, stream: str) -> float:
    groups = made.groupby("local_step")
    workers, states = groups["worker"].nunique(), groups[f"rng_{stream}_before"].nunique()
    several = workers > 1
    if not several.any():
        return float("nan")
    return float(((states[several] - 1) / (workers[several] - 1)).mean())


def alike(made: pd.DataFrame, stream: str) -> pd.DataFrame:
    """The draws that several workers of one epoch made alike: from an equal state to an equal state.

    Equal states before alone prove nothing: a source may seed the stream anew from the batch's index.

    Args:
        made: produced batches, with epoch, worker and local_step.
        stream: a stream that moved.

    Returns:
        The rows of `made` that are not alone in their epoch and local step with both states.
    """
    drew = made[moved(made, stream) & (made[f"rng_{stream}_before"] != 0)]
    key = ["epoch", "local_step", f"rng_{stream}_before", f"rng_{stream}_after"]
    return drew[drew.groupby(key)["worker"].transform("nunique") > 1]


def new_states(made: pd.DataFrame, here: pd.DataFrame, epoch: int, stream: str) -> float:
    """The share of an epoch's draws that end in a state which no earlier draw at that step ended in.

    Args:
        made: produced batches of all epochs, with epoch and epoch_step.
        here: those of one epoch.
        epoch: its number.
        stream: a stream that moved.

    Returns:
        A share from 0 to 1; NaN in the first epoch, and where nothing was drawn.
    """
    earlier = made[made["epoch"] < epoch]
    if earlier.empty:
        return float("nan")
    drawn, known = here[moved(here, stream)], earlier[moved(earlier, stream)]
    if drawn.empty:
        return float("nan")
    # Where a draw ends tells more than where it begins: a worker may be seeded in its first batch, and a
    # source that seeds the stream for each batch comes from elsewhere and ends in the same state.
    key = ["epoch_step", f"rng_{stream}_after"]
    old = pd.MultiIndex.from_frame(drawn[key]).isin(pd.MultiIndex.from_frame(known[key]))
    return float(1 - old.mean())


def lockstep(made: pd.DataFrame, streams: list[str]) -> list[Lockstep]:
    """The longest time for which each worker shared a stream's state with another.

    Args:
        made: produced batches, with worker and local_step.
        streams: the streams that moved.

    Returns:
        One entry for each stream and worker that shared a state at all, longest first.
    """
    found = []
    for stream in streams:
        table = _states(made, stream)
        codes = table.to_numpy()[:MOST_WORKERS]
        for row in range(1, len(codes)):
            equal = (codes[:row] == codes[row]) & (codes[row] >= 0)
            lengths, starts = _longest(equal)
            other = int(lengths.argmax())
            if lengths[other]:
                step = int(table.columns[int(starts[other])])
                first, second = int(table.index[other]), int(table.index[row])
                found.append(Lockstep(stream, (first, second), step, int(lengths[other])))
    return sorted(found, key=lambda lock: -lock.length)


def _states(made: pd.DataFrame, stream: str) -> pd.DataFrame:
    """One row a worker, one column a local step: a number that is equal where the states are; -1 unknown."""
    # Numbers first: a table with holes is one of floats, which cannot hold a 64-bit state.
    states = made.assign(state=pd.factorize(made[f"rng_{stream}_before"])[0])
    table = states.pivot_table(index="worker", columns="local_step", values="state", aggfunc="first")
    return table.fillna(-1).astype(np.int64)


def _longest(equal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the length of its longest run of True, and where that begins."""
    lengths = np.zeros(len(equal), np.int64)
    starts = np.zeros(len(equal), np.int64)
    run = np.zeros(len(equal), np.int64)
    for column in range(equal.shape[1]):
        run = np.where(equal[:, column], run + 1, 0)
        better = run > lengths
        lengths = np.where(better, run, lengths)
        starts = np.where(better, column - run + 1, starts)
    return lengths, starts
