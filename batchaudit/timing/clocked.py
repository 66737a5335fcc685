"""Drives a strategy for some seconds, with the clocks running.

What is timed is what a training would have: the framework's own machinery, and nothing of ours but looks at
the clocks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from batchaudit import strategies
from batchaudit.errors import WorkerError
from batchaudit.strategies import Job, Strategy
from batchaudit.timing.memory import Memory
from batchaudit.timing.stopwatch import Stopwatch

EPOCHS = 100_000
"""More than anybody waits for: the time ends it."""
WARM_UP = 2
"""Batches of each worker that are not counted: workers start, caches fill, compilers run."""
_PATIENCE = 6
"""Times as long as was asked for, where batches are slow."""
_FEWEST = 8
"""Batches after the warm-up that are worth more than the time they take."""


@dataclass
class Limit:
    """When enough was seen.

    Attributes:
        seconds: for how long to drive, from the first batch on.
        warm_up: batches that are not counted.
        is_over: whether it was.
    """

    seconds: float
    warm_up: int
    is_over: bool = False
    _began: float | None = None
    _batches: int = 0

    def count(self) -> bool:
        """Counts a batch; whether it was the last that is needed."""
        now = time.monotonic()
        self._began = self._began or now
        self._batches += 1
        passed = now - self._began
        few = self._batches < self.warm_up + _FEWEST
        self.is_over = passed > self.seconds * (_PATIENCE if few else 1)
        return self.is_over


def clock(
    job: Job, strategy: Strategy, seconds: float, round_: int, workers: int, step_time: float = 0.0
) -> dict[str, Any]:
    """Drives a strategy for some seconds; every batch goes to the job's recorder.

    Args:
        job: how the audit drives the source; its recorder is a `Stopwatch`.
        strategy: which.
        seconds: for how long, from the first batch on; longer where batches are slow.
        round_: which time this is, from 0: epochs are numbered on from the rounds before.
        workers: how many workers there will be; 0 for none.
        step_time: seconds that the consumer takes for each batch, as a training would.

    Returns:
        What the events do not say: "began" and "ended", when the strategy was started and when it was over
        (`time.monotonic_ns`); "begin", the first epoch; "warm_up", how many batches do not count; "memory",
        the bytes that a worker process has for itself (None: not known); "step_time"; "hashing",
        the nanoseconds in which the recorder fingerprinted a batch (None: it did not).

    Raises:
        Skip: the strategy cannot run this source.
        WorkerError: a worker raised or died.
    """
    stopwatch = job.recorder
    assert isinstance(stopwatch, Stopwatch)
    memory, limit = Memory(), Limit(seconds, WARM_UP * max(1, workers))
    begin = round_ * EPOCHS

    def take(epoch: int, step: int) -> None:
        memory.look()
        if limit.count():
            raise WorkerError("enough was seen")
        if step_time:
            time.sleep(step_time)

    timed = replace(job, epochs=EPOCHS, begin=begin, on_batch=take)
    began = time.monotonic_ns()
    try:
        strategies.drive(timed, strategy)
    except Exception:
        if not limit.is_over:  # a driver may tell the end in words of its own
            raise
    return {
        "began": began,
        "ended": time.monotonic_ns(),
        "begin": begin,
        "warm_up": limit.warm_up,
        "memory": memory.of_a_worker(),
        "step_time": step_time,
        "hashing": stopwatch.hashing,
    }
