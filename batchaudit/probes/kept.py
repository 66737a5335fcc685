"""`kept`: some samples of one batch, each looked at when it is made and again once all of them are.

A `DataLoader` puts a batch together when it has all of its samples. A dataset that hands out one buffer each
time has by then written the last sample over the ones before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from batchaudit.capture.fingerprint import fingerprint
from batchaudit.probes.forked import can_fork, tell
from batchaudit.probes.subject import Subject
from batchaudit.sources.torch_loader import has_indices
from batchaudit.strategies import Job, Strategy

NAME = "kept"
EPOCHS = 1
_MOST = 8  # samples


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where the framework puts batches together."""
    return subject.loader and can_fork()


def drive(job: Job, strategy: Strategy) -> None:
    """Makes some samples of one batch, and logs how many were overwritten."""
    loader = job.plain()
    if loader.batch_sampler is not None:  # else a sample is a batch
        tell(job, NAME, lambda _: _outcome(loader))


def _outcome(loader: Any) -> dict[str, Any]:
    samples, made = [], []
    for sample in _samples(loader):
        samples.append(sample)
        made.append(dict(_arrays(sample)))
    overwritten = [
        (number, where)
        for number, sample in enumerate(samples)
        for (where, address), holds in _arrays(sample)
        if holds != made[number].get((where, address))
        and any(holds == later.get((where, address)) for later in made[number + 1 :])
    ]
    return {
        "samples": len(samples),
        "overwritten": len({number for number, _ in overwritten}),
        "where": overwritten[0][1] if overwritten else "",
    }


def _samples(loader: Any) -> Iterator[Any]:
    dataset = loader.dataset
    if not has_indices(loader):
        return itertools.islice(iter(dataset), _MOST)
    # Each once: a sample that is drawn twice may well be one and the same.
    indices = list(dict.fromkeys(next(iter(loader.batch_sampler))))[:_MOST]
    many = getattr(dataset, "__getitems__", None)
    return (many([index])[0] if many else dataset[index] for index in indices)


def _arrays(sample: Any, where: str = "") -> Iterator[tuple[tuple[str, int], tuple[int, int]]]:
    """The arrays and tensors in a sample: where in it, at which address, and the digest of what they hold."""
    if isinstance(sample, dict):
        parts = [(f"[{key!r}]", part) for key, part in sample.items()]
    elif isinstance(sample, (list, tuple)):
        parts = [(f"[{number}]", part) for number, part in enumerate(sample)]
    else:
        address = _address(sample)
        if address is not None:
            seen = fingerprint(sample, strict=False)
            yield (where, address), (seen.digest_hi, seen.digest_lo)
        return
    for name, part in parts:
        yield from _arrays(part, where + name)


def _address(part: Any) -> int | None:
    """Where the memory of an array or a tensor begins; None for anything else."""
    if isinstance(part, np.ndarray):
        return int(part.ctypes.data)
    try:
        return int(part.data_ptr())
    except (AttributeError, RuntimeError):  # no tensor, or one without memory of its own
        return None
