"""`orders`: some items in an order, in the reverse order, and in the first order again.

What is drawn by position repeats with the order alone; what is bound to the item is equal in all three.
"""

from __future__ import annotations

from batchaudit.probes import plan
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "orders"
EPOCHS = 3
MOST = 16


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where something is drawn."""
    return subject.indexed and subject.drawn is not False and strategy.workers > 0


def drive(job: Job, strategy: Strategy) -> None:
    """Drives three epochs over the first items."""
    source = job.plain()
    items = list(range(min(plan.length(source), max(2 * strategy.workers, MOST))))
    # Odd ones first: neither order is that of the data, which a source may take for granted.
    order = items[1::2] + items[0::2]
    plan.drive(job, source, strategy, [order, order[::-1], order])
