"""`accesses`: one item alone; then, in a process forked anew, that item after three of another.

An augmentation that writes into the stored data changes an item with each access to it, and no other. A
random stream goes on with every access, whatever the item.
"""

from __future__ import annotations

from dataclasses import replace

from batchaudit.probes import plan
from batchaudit.probes.forked import PATIENCE, can_fork
from batchaudit.probes.subject import Subject
from batchaudit.sources.torch_loader import is_loader
from batchaudit.strategies import Job, Strategy

NAME = "accesses"
EPOCHS = 2
ORDERS = ((1,), (0, 0, 0, 1))


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where a process can be forked; it also says what a process that is alone makes."""
    return subject.indexed and can_fork()


def drive(job: Job, strategy: Strategy) -> None:
    """Drives two epochs, each in a process of its own, forked from one in which nothing was made."""
    job = replace(job, timeout=min(job.timeout, PATIENCE))
    source = job.plain()
    forked = Strategy("torch", 1, {"start": "fork"}) if is_loader(source) else Strategy("fork", 1)
    plan.drive(job, source, forked, ORDERS)
