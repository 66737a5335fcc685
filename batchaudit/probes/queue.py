"""`queue`: the strategy with the shortest queue.

A buffer that is written again while its batch waits changes fewer of them; less is drawn ahead and thrown
away.
"""

from __future__ import annotations

from dataclasses import replace

from batchaudit import strategies
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "queue"
EPOCHS = 1
_OPTION = {"torch": "prefetch"}
_WITHOUT = ("serial", "as-is", "tf.data")


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where a queue is between the workers and the consumer."""
    return strategy.family not in _WITHOUT and strategy.workers > 0 and not subject.indexed


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch."""
    option = _OPTION.get(strategy.family, "queue")
    strategies.drive(job, replace(strategy, options={**strategy.options, option: "1"}))
