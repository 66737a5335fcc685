"""`start`: the item of `same-index` under the other start method.

Clones under fork alone inherit a state; clones under both carry one in an attribute, or seed alike.
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from pathlib import Path

from batchaudit.probes import plan, same_index
from batchaudit.probes.subject import Subject, in_processes
from batchaudit.strategies import Job, Strategy

NAME = "start"
EPOCHS = 1
_WORKERS = 2  # each imports the program's frameworks anew


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where workers that are processes look like clones, and can be started by the other method."""
    looked_for = subject.indexed and subject.suspect and in_processes(strategy) and strategy.workers > 1
    return looked_for and (_other(strategy) == "fork" or can_start_anew(subject.make()))


def can_start_anew(source: object) -> bool:
    """Whether a fresh interpreter can be given a source, and does nothing else.

    It imports the program's main module first: a script that does not ask for its `__name__` would run once
    more, with all that it does. A notebook has no module to import, and what it defines is not found.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        if file is not None:
            return "__name__" in Path(file).read_text(encoding="utf-8", errors="replace")
        return b"__main__" not in pickle.dumps(source)
    except Exception:  # what cannot be read or pickled says so when it is driven
        return True


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch."""
    other = _started(strategy, _other(strategy))
    plan.drive(job, job.plain(), other, [[0] * (same_index.STEPS * _WORKERS)])


def _other(strategy: Strategy) -> str:
    now = strategy.start or multiprocessing.get_start_method(allow_none=True) or "fork"
    return "fork" if now != "fork" else "spawn"


def _started(strategy: Strategy, method: str) -> Strategy:
    if strategy.family in ("fork", "spawn", "forkserver"):
        options = {name: value for name, value in strategy.options.items() if name != "start"}
        return Strategy(method, _WORKERS, options)
    return Strategy(strategy.family, _WORKERS, {**strategy.options, "start": method})
