"""`persistent`: the same loader with workers that outlive an epoch, or with workers that do not.

What repeats only where the workers end with each epoch is kept in a copy that dies with them; what repeats
only where they live on was changed in the parent, and never reached them.
"""

from __future__ import annotations

from dataclasses import replace

from batchaudit import strategies
from batchaudit.probes.subject import Subject
from batchaudit.strategies import Job, Strategy

NAME = "persistent"
EPOCHS = 3
STEPS = 8  # of each worker


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where torch's workers make several epochs."""
    return strategy.family == "torch" and strategy.workers > 0 and subject.epochs > 1


def drive(job: Job, strategy: Strategy) -> None:
    """Drives three epochs, or what is at the beginning of each."""
    options = {name: value for name, value in strategy.options.items() if name != "persistent"}
    if len(options) == len(strategy.options):
        options["persistent"] = ""
    most = min(STEPS * strategy.workers, job.steps_per_epoch or STEPS * strategy.workers)
    strategies.drive(
        replace(job, epochs=EPOCHS, steps_per_epoch=most, anew=True), replace(strategy, options=options)
    )
