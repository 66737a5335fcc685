"""`workers-doubled`: the strategy with twice the workers.

Replicas of a stream give every item twice as often; a stream that its workers share gives it as often as
before; replicas that each slice a permutation of their own miss more of them.
"""

from __future__ import annotations

from dataclasses import replace

from batchaudit import strategies
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "workers-doubled"
EPOCHS = 1


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where workers iterate: what has an index is dealt out."""
    return not subject.indexed and strategy.workers > 1 and strategy.family != "tf.data"


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch; an endless source's is as long as before."""
    strategies.drive(job, replace(strategy, workers=2 * strategy.workers))
