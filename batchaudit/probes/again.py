"""`again`: the same strategy once more, from the same states of the global streams: do the runs agree?"""

from __future__ import annotations

from dataclasses import replace

from batchaudit import sources, strategies
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "again"
EPOCHS = 1
_MOST = 64  # steps


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where several workers could race: threads, or processes that share a file."""
    return strategy.workers > 1


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one epoch, or the beginning of a long one."""
    steps = job.steps_per_epoch or (sources.length_of(job.plain()) if job.sized else None)
    strategies.drive(replace(job, steps_per_epoch=_MOST if steps is None else min(steps, _MOST)), strategy)
