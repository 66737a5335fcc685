"""`start`: the item of `same-index` under the other start method.

Clones under fork alone inherit a state; clones under both carry one in an attribute, or seed alike.
"""

from __future__ import annotations

import multiprocessing

from batchaudit.probes import plan, same_index
from batchaudit.probes.subject import Subject, in_processes
from batchaudit.strategies import Job, Strategy

NAME = "start"
EPOCHS = 1
_WORKERS = 2  # each imports the program's frameworks anew


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where workers that are processes look like clones."""
    return subject.indexed and subject.suspect and in_processes(strategy) and strategy.workers > 1


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch."""
    now = strategy.start or multiprocessing.get_start_method(allow_none=True) or "fork"
    other = _started(strategy, "fork" if now != "fork" else "spawn")
    plan.drive(job, job.plain(), other, [[0] * (same_index.STEPS * _WORKERS)])


def _started(strategy: Strategy, method: str) -> Strategy:
    if strategy.family in ("fork", "spawn", "forkserver"):
        options = {name: value for name, value in strategy.options.items() if name != "start"}
        return Strategy(method, _WORKERS, options)
    return Strategy(strategy.family, _WORKERS, {**strategy.options, "start": method})
