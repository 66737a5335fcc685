"""`same-index`: every worker makes one and the same item, again and again.

Equal across workers and varying within one: the workers draw from copies of one random state, readable or
not. Constant within one: nothing is drawn, or the draw is bound to the item.
"""

from __future__ import annotations

from batchaudit.probes import plan
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "same-index"
EPOCHS = 1
STEPS = 4  # of each worker


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where something is drawn, by several workers that are no threads over one source."""
    return subject.indexed and subject.drawn is not False and strategy.workers > 1


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch over item 0."""
    plan.drive(job, job.plain(), strategy, [[0] * (STEPS * strategy.workers)])
