"""Runs a training watched and unwatched in turns, in one process, and says what watching added.

A turn is everything that a program would do: for the watched one also to open the audit, wrap the source and
close the audit. Both have run once before, so that what is compiled and imported is there.
"""

from __future__ import annotations

import gc
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import batchaudit as ba
from batchaudit.journal.reader import load
from benchmarks.lines import Line, Target, compared
from benchmarks.measure import Effort, in_turns, median

BUSY = 0.9
"""From this share of all cores' time on, a training leaves none of them to watch with."""

_SLOW_STEP = 0.020
_SLOW, _BUSY_CORES = Target(1.05), Target(1.10)


@dataclass(frozen=True)
class Turn:
    """What one training took.

    Attributes:
        wall: seconds that passed.
        processor: seconds of processor time, of this process and of its workers that have ended.
    """

    wall: float
    processor: float


@dataclass(frozen=True)
class Training:
    """A training that can be run over a source.

    Attributes:
        what: what it is, for the table.
        steps: batches of one run.
        make_source: gives a fresh source.
        train: trains on a source, to its end.
    """

    what: str
    steps: int
    make_source: Callable[[], Any]
    train: Callable[[Any], object]


def lines(
    training: Training, effort: Effort, *, many: int = 9, target: Target | None = None
) -> Iterator[Line]:
    """Wall time and processor time of a training, watched and unwatched.

    Args:
        training: what to run.
        effort: how much time it may take.
        many: rounds of a run that is to be believed.
        target: of the wall time; by default what is promised of a training with its step's length.
    """
    with tempfile.TemporaryDirectory() as folder:
        watched, unwatched = _turns(training, Path(folder), effort.rounds(many))
        looked_at = _bytes_seen(Path(folder) / "0")
    step = median([turn.wall for turn in unwatched]) / training.steps
    busy = median([turn.processor / turn.wall for turn in unwatched]) / _cores()
    yield compared(
        f"{training.what}: wall time",
        [turn.wall for turn in watched],
        [turn.wall for turn in unwatched],
        unit="s",
        against="unwatched",
        target=target or (_SLOW if step >= _SLOW_STEP and busy < BUSY else _BUSY_CORES),
        note=f"a step takes {step * 1e3:.1f} ms and {busy:.0%} of the cores",
    )
    yield _added(training, watched, unwatched, looked_at)


def _turns(training: Training, folder: Path, rounds: int) -> tuple[list[Turn], list[Turn]]:
    _watched(training, folder / "0"), _unwatched(training)
    watched, unwatched = [], []
    for number in range(1, rounds + 1):  # which of the two is first changes from round to round
        if number % 2:
            watched.append(_watched(training, folder / str(number)))
        unwatched.append(_unwatched(training))
        if not number % 2:
            watched.append(_watched(training, folder / str(number)))
    return watched, unwatched


def _watched(training: Training, folder: Path) -> Turn:
    def run() -> None:
        with ba.Audit(folder) as audit:
            training.train(audit.wrap(training.make_source(), name="train"))

    return _turn(run)


def _unwatched(training: Training) -> Turn:
    return _turn(lambda: training.train(training.make_source()))


def _turn(run: Callable[[], object]) -> Turn:
    gc.collect()
    processor, wall = _processor(), time.perf_counter()
    run()
    return Turn(time.perf_counter() - wall, _processor() - processor)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes_seen(folder: Path) -> int:
    """How many bytes a watched run has hashed; fails where it was not watched at all."""
    seen = int(load(folder).events["nbytes"].sum())
    assert seen > 0, "nothing was watched: the figures would compare a training with itself"
    return seen


def _added(training: Training, watched: list[Turn], unwatched: list[Turn], looked_at: int) -> Line:
    """The processor time that watching adds to a step, beside reading once what was looked at."""
    added = [w.processor - u.processor for w, u in zip(watched, unwatched, strict=True)]
    step = looked_at // training.steps
    memory = np.ones(max(step // 8, 1), np.uint64)
    [reading] = in_turns(lambda: int(memory.sum()), rounds=len(added), repeats=20)
    ours, baseline = median(added) / training.steps, median(reading)
    low, high = np.percentile(added, [10, 90]) / training.steps
    return Line(
        f"{training.what}: processor time that watching adds to a step",
        ours * 1e6,
        "µs",
        f"reading the {step / 1e3:,.0f} kB that are looked at",
        baseline * 1e6,
        ours / baseline,
        (float(low) / baseline, float(high) / baseline),
        len(added),
    )
