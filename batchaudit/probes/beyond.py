"""`beyond`: what an indexed source gives for the index behind its last one.

A length that was rounded down leaves the rest of the data there, less than a batch. A source whose length is
right gives nothing, or raises; one that makes up its data gives a whole batch.
"""

from __future__ import annotations

from batchaudit.probes import plan
from batchaudit.probes.subject import Subject
from batchaudit.sources import indexed
from batchaudit.strategies import Job, Strategy

NAME = "beyond"
EPOCHS = 1


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where batches are asked for by index."""
    return subject.indexed and not subject.loader


def drive(job: Job, strategy: Strategy) -> None:
    """Asks for one item more than there are."""
    source = job.plain()
    count = indexed.batch_count(source)
    if count is not None:
        plan.drive(job, source, Strategy("serial"), [[count]])
