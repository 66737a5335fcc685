"""Did the workers' random streams diverge? States compared at equal local step. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import STREAMS, Tables, once

Array = np.ndarray[Any, Any]

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


@once
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
    made = tables.produced[["rank", "pid", "worker"]]
    workers = made[~made["worker"].duplicated() & (made["worker"] >= 0)]
    return bool(workers.duplicated(["rank", "pid"]).any())


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
    labels, _ = tables.epochs
    steps = _steps(tables)
    within = [_within(tables, stream) for stream in streams]
    against = [new_states(tables, stream) for stream in streams]
    locked = _longest_locksteps(tables, [] if shared else streams)
    rows: list[dict[str, Any]] = []
    for number in range(len(labels)):
        workers = steps.workers[number]
        if not workers:
            continue
        values = [each[number] for each in within]
        note = _why_empty(streams, shared, workers, values)
        rows.append(
            {
                "epoch": labels[number],
                "seed_divergence": np.nan if note else float(np.nanmin(values)),
                "seed_divergence_note": note,
                "epoch_divergence": _least([each[number] for each in against]),
                "lockstep": 0 if note else locked[number],
            }
        )
    columns = ["epoch", "seed_divergence", "seed_divergence_note", "epoch_divergence", "lockstep"]
    return pd.DataFrame(rows, columns=columns)


def _least(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return min(known, default=float("nan"))


def _why_empty(streams: list[str], shared: bool, workers: int, values: list[float]) -> str:
    if not streams:
        return "no random stream moved"
    if shared:
        return "threads share the process's random streams: a move cannot be laid to one worker"
    if workers < 2:
        return "fewer than two workers"
    return "no local step that two workers reached" if all(np.isnan(value) for value in values) else ""


class _Steps(NamedTuple):
    """The batches that workers made and that were delivered, at their local steps.

    Attributes:
        rows: int64: their rows in `Tables.produced`.
        epoch: the place of each one's epoch among those of `Tables.epochs`.
        place: a number for its epoch and local step, rising with both; no worker has two batches there.
        place_epoch: the epoch of each such number.
        workers: how many workers each epoch has.
    """

    rows: Array
    epoch: Array
    place: Array
    place_epoch: Array
    workers: list[int]


@once
def _steps(tables: Tables) -> _Steps:
    made, (labels, _) = tables.produced, tables.epochs
    rows = np.flatnonzero((made["worker"] >= 0) & made["delivered"])
    epoch = np.searchsorted(labels, made["epoch"].to_numpy()[rows])
    step = made["local_step"].to_numpy()[rows]
    place = epoch * (int(step.max(initial=0)) + 1) + step
    places, number = codes.ranked(place)
    worker = made["worker"].to_numpy()[rows]
    workers = codes.different(epoch, worker, len(labels))
    return _Steps(
        rows,
        epoch,
        number,
        places // (int(step.max(initial=0)) + 1),
        workers.tolist(),
    )


def _states_before(tables: Tables, stream: str) -> Array:
    """The states in which the batches of `_steps` began."""
    states: Array = tables.produced[f"rng_{stream}_before"].to_numpy(np.uint64)[_steps(tables).rows]
    return states


def _within(tables: Tables, stream: str) -> list[float]:
    """The divergence within each epoch; NaN where no two workers reached a step."""
    steps = _steps(tables)
    workers = np.bincount(steps.place)
    several = workers > 1
    if not several.any():
        return [float("nan")] * len(steps.workers)
    state = codes.numbered(_states_before(tables, stream))[0]
    states = np.bincount(codes.pairs(steps.place, state).group)
    shares = (states[several] - 1) / (workers[several] - 1)
    bounds = np.searchsorted(steps.place_epoch[several], np.arange(1, len(steps.workers)))
    return [float(here.mean()) if len(here) else float("nan") for here in np.split(shares, bounds)]


def new_states(tables: Tables, stream: str) -> list[float]:
    """The share of an epoch's draws that end in a state which no earlier draw at that step ended in.

    Args:
        tables: the events of one source and strategy.
        stream: a stream that moved.

    Returns:
        For each epoch that was delivered a share from 0 to 1; NaN in the first one of which workers made
        anything, and where nothing was drawn.
    """
    return _all_new_states(tables)[stream]


@once
def _all_new_states(tables: Tables) -> dict[str, list[float]]:
    return {stream: _new_states(tables, stream) for stream in moved_streams(tables)}


def _new_states(tables: Tables, stream: str) -> list[float]:
    steps, made = _steps(tables), tables.produced
    count = len(steps.workers)
    drawn = moved(made, stream).to_numpy()[steps.rows]
    epoch, rows = steps.epoch[drawn], steps.rows[drawn]
    # Where a draw ends tells more than where it begins: a worker may be seeded in its first batch, and a
    # source that seeds the stream for each batch comes from elsewhere and ends in the same state.
    after = made[f"rng_{stream}_after"].to_numpy(np.uint64)[rows]
    step = made["epoch_step"].to_numpy()[rows]
    again = codes.several(step, after)  # mostly none, which is seen sooner than who came first
    state, states = codes.numbered(step[again], after[again])
    old = np.zeros(len(rows), bool)
    old[again] = codes.least(state, epoch[again], states)[state] < epoch[again]
    drawn_of, old_of = (np.bincount(each, minlength=count) for each in (epoch, epoch[old]))
    first = int(steps.epoch.min(initial=count))
    return [
        1 - float(old_of[n] / drawn_of[n]) if n > first and drawn_of[n] else float("nan")
        for n in range(count)
    ]


def alike(tables: Tables, stream: str) -> pd.DataFrame:
    """The draws that several workers of one epoch made alike: from an equal state to an equal state.

    Equal states before alone prove nothing: a source may seed the stream anew from the batch's index.

    Args:
        tables: the events of one source and strategy.
        stream: a stream that moved.

    Returns:
        The rows of `Tables.produced` that are not alone in their epoch and local step with both states.
    """
    drew, place, before = _drew(tables, stream)
    after = tables.produced[f"rng_{stream}_after"].to_numpy(np.uint64)[drew]
    return tables.produced.iloc[drew[codes.several(place, before, after)]]


def begun_alike(tables: Tables, stream: str) -> bool:
    """Whether two workers began a draw at one local step of an epoch from an equal state.

    Args:
        tables: the events of one source and strategy.
        stream: a stream that moved.
    """
    _, place, before = _drew(tables, stream)
    return bool(codes.several(place, before).any())


def _drew(tables: Tables, stream: str) -> tuple[Array, Array, Array]:
    """The rows of `Tables.produced` that drew, their places in `_steps`, and the states before."""
    steps, before = _steps(tables), _states_before(tables, stream)
    drew = moved(tables.produced, stream).to_numpy()[steps.rows] & (before != 0)
    return steps.rows[drew], steps.place[drew], before[drew]


def _longest_locksteps(tables: Tables, streams: list[str]) -> list[int]:
    """For how many local steps in a row two workers shared a state of a stream, at most, in each epoch."""
    steps = _steps(tables)
    longest = [0] * len(steps.workers)
    for stream in streams:
        shared = codes.several(steps.place, _states_before(tables, stream))
        if not shared.any():
            continue
        made = tables.produced[["worker", "local_step", f"rng_{stream}_before"]]
        rows = codes.rows_of(steps.epoch, len(longest))
        for number in codes.distinct(steps.epoch[shared]):
            here = lockstep(made.iloc[steps.rows[rows[number]]], [stream])
            longest[number] = max([longest[number], *(each.length for each in here)])
    return longest


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
        workers, steps, states = _states(made, stream)
        states = states[:MOST_WORKERS]
        for row in range(1, len(states)):
            lengths, starts = _longest((states[:row] == states[row]) & (states[row] >= 0))
            other = int(lengths.argmax())
            if lengths[other]:
                pair = int(workers[other]), int(workers[row])
                found.append(Lockstep(stream, pair, int(steps[starts[other]]), int(lengths[other])))
    return sorted(found, key=lambda lock: -lock.length)


def _states(made: pd.DataFrame, stream: str) -> tuple[Array, Array, Array]:
    """The workers, the local steps, and a table of both: equal numbers for equal states, -1 for none."""
    workers, row = codes.ranked(made["worker"].to_numpy())
    steps, column = codes.ranked(made["local_step"].to_numpy())
    table = np.full((len(workers), len(steps)), -1)
    table[row, column] = codes.numbered(made[f"rng_{stream}_before"].to_numpy(np.uint64))[0]
    return workers, steps, table


def _longest(equal: Array) -> tuple[Array, Array]:
    """For each row the length of its longest run of True, and where that begins."""
    counted = np.cumsum(equal, axis=1)
    runs = counted - np.maximum.accumulate(np.where(equal, 0, counted), axis=1)
    ends = runs.argmax(axis=1)
    lengths = runs[np.arange(len(runs)), ends]
    return lengths, np.where(lengths > 0, ends - lengths + 1, 0)
