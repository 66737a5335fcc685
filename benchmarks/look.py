"""The whole look at a small batch: worker, streams before and after, digests, one record on disk.

The baseline is what people write by hand: a generator that appends the md5 of each batch to a list. It knows
of no sample, no worker, no stream, and forgets everything in a forked worker.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import batchaudit as ba
from batchaudit.capture.recorder import Recorder
from batchaudit.journal.writer import JournalWriter
from benchmarks.lines import Line, Target, compared
from benchmarks.measure import Effort, in_turns

_TARGET = Target(25, "ours")
_HAND_WRITTEN = "md5(x.tobytes()) into a list"
_WARM = 300  # the searches for private streams are rare by then
Batch = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    np.random.rand()  # as in any program that augments; NumPy's global stream is read from then on
    assert "numpy.random" in sys.modules
    batch: Batch = (np.random.default_rng(0).random((32, 28, 28), np.float32), np.arange(32))
    with tempfile.TemporaryDirectory() as folder:
        yield _recorded(batch, Path(folder) / "recorder", effort)
        yield _wrapped(batch, Path(folder) / "wrap", effort)


def _recorded(batch: Batch, folder: Path, effort: Effort) -> Line:
    recorder = Recorder(JournalWriter(folder, source="s", strategy="serial", run="r"))
    theirs = _by_hand(itertools.repeat(batch))

    def make() -> Batch:
        return batch

    for _ in range(_WARM):
        recorder.produce(make)
    ours, baseline = in_turns(
        lambda: recorder.produce(make), lambda: next(theirs), rounds=effort.rounds(41), repeats=300
    )
    return compared(
        "32x28x28 float32 with labels: Recorder.produce",
        ours,
        baseline,
        unit="µs",
        against=_HAND_WRITTEN,
        target=_TARGET,
    )


def _wrapped(batch: Batch, folder: Path, effort: Effort) -> Line:
    def generate() -> Iterator[Batch]:
        noise = np.random.default_rng(1)  # a private stream, which is found and read
        while True:
            noise.random()
            yield batch

    theirs = _by_hand(generate())
    with ba.Audit(folder) as audit:
        watched = audit.wrap(generate(), name="train", steps_per_epoch=1000)
        for _ in range(_WARM):
            next(watched)
        ours, baseline = in_turns(
            lambda: next(watched), lambda: next(theirs), rounds=effort.rounds(41), repeats=300
        )
    return compared(
        "32x28x28 float32 with labels: next() of a watched generator that has a stream of its own",
        ours,
        baseline,
        unit="µs",
        against=_HAND_WRITTEN,
        target=_TARGET,
    )


def _by_hand(batches: Iterator[Batch]) -> Iterator[Batch]:
    digests = []
    for batch in batches:
        digests.append(hashlib.md5(batch[0].tobytes()).hexdigest())
        yield batch
