"""Healthy loaders in plain Python, with what looks like a defect."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.corpus.case import Healthy
from tests.corpus.pictures import A_MOMENT, BATCH, BATCHES, COUNT, IMAGES, LABELS, Batch, pictures
from tests.corpus.runs import audited

TEXT = b"the cat sat on the mat and the dog sat on the cat " * 8


class Batches:
    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Any:
        time.sleep(A_MOMENT)
        return self.batch(index)

    def batch(self, index: int) -> Any:
        return pictures(index)


class TinyRows(Batches):
    """Two small numbers a row: there are nine different ones."""

    def batch(self, index: int) -> Any:
        rows = np.arange(index * BATCH, (index + 1) * BATCH)
        return np.stack([rows * 7 % 3, rows * 11 // 5 % 3], axis=1).astype(np.int8)


class OneLabel(Batches):
    def batch(self, index: int) -> Batch:
        images, labels = pictures(index)
        return images, np.zeros_like(labels)


class Windows(Batches):
    """Windows of a text that says the same again and again."""

    def batch(self, index: int) -> Any:
        starts = np.arange(index * BATCH, (index + 1) * BATCH)
        return np.stack([np.frombuffer(TEXT, np.uint8, 12, int(start)) for start in starts])


class Bucketed(Batches):
    """Sorted by brightness once, for batches of a kind: one order in all epochs, and not that of the data."""

    def __init__(self) -> None:
        self.order = np.argsort(IMAGES.mean(axis=(1, 2)))

    def batch(self, index: int) -> Batch:
        return pictures(index, self.order)


class LastPart(Batches):
    def __len__(self) -> int:
        return BATCHES + 1

    def batch(self, index: int) -> Batch:
        return pictures(index, count=COUNT + 5)


def random_crops() -> Iterator[Batch]:
    """Endless, with a seed of its own in every worker: pictures repeat, and crops do not."""
    rng = np.random.default_rng([0, os.getpid()])
    while True:
        time.sleep(A_MOMENT)
        rows, left = rng.integers(COUNT, size=BATCH), rng.integers(3, size=2)
        crops = IMAGES[rows, left[0] : left[0] + 6, left[1] : left[1] + 6]
        yield crops + rng.normal(scale=0.01, size=(BATCH, 1, 1)).astype(np.float32), LABELS[rows]


HEALTHY = (
    Healthy(
        "tiny-rows",
        "python",
        "rows that are equal because they are tiny",
        lambda: audited(TinyRows, "fork:4"),
    ),
    Healthy("one-label", "python", "all labels are equal", lambda: audited(OneLabel, "fork:4")),
    Healthy(
        "text-windows", "python", "windows of a text that repeats", lambda: audited(Windows, "threads:4")
    ),
    Healthy(
        "bucketed",
        "python",
        "one order in all epochs, not that of the data",
        lambda: audited(Bucketed, "fork:2"),
    ),
    Healthy(
        "python-last-part", "python", "a last batch that is shorter", lambda: audited(LastPart, "fork:4")
    ),
    Healthy(
        "random-crops",
        "python",
        "endless replicas, each with a seed of its own",
        lambda: audited(random_crops, "fork:4", steps_per_epoch=BATCHES),
    ),
)
