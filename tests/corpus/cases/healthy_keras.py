"""Healthy loaders of Keras 3 and tf_keras, with what looks like a defect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tf_keras

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Healthy
from tests.corpus.pictures import A_MOMENT, BATCH, BATCHES, COUNT, IMAGES, Batch, brighter, pictures
from tests.corpus.runs import audited, trained


class Pictures(keras.utils.PyDataset):
    def __init__(self, first: int = 0, **settings: Any) -> None:
        super().__init__(**settings)
        self.order = np.arange(first, first + COUNT)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        return pictures(index, self.order)


class ShuffledByNumpy(Pictures):
    """NumPy's global stream moves between the epochs, in the parent; its copies in the workers do not."""

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)


class RandomData(Pictures):
    """Data made up when it is constructed, without a seed; nothing is drawn later."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.images = np.random.rand(COUNT, 8, 8).astype(np.float32)

    def __getitem__(self, index: int) -> Batch:
        _, labels = super().__getitem__(index)
        return self.images[index * BATCH : (index + 1) * BATCH], labels


class SeededAugmentation(tf_keras.utils.Sequence):
    """A stream for each (epoch, batch): equal states in all workers, and never equal draws."""

    epoch = 0

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        images, labels = pictures(index)
        np.random.seed([7, self.epoch, index])
        return brighter(images, np.random.normal(size=len(images))), labels

    def on_epoch_end(self) -> None:
        self.epoch += 1


def augmenting_generator() -> Iterator[Batch]:
    """A seeded stream of the generator's own, which goes on from epoch to epoch."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(COUNT)
        for index in range(BATCHES):
            images, labels = pictures(index, order)
            yield brighter(images, rng.normal(size=len(images))), labels


def with_replacement() -> Iterator[Batch]:
    """An endless stream of random pictures: many come again, and some never."""
    rng = np.random.default_rng()
    while True:
        rows = rng.integers(COUNT, size=BATCH)
        yield IMAGES[rows], rows.astype(np.float32)


def fit(source: Any, validation: Any = None, **options: Any) -> bare.Epochs:
    return bare.fit(keras, source, validation_data=validation, **options)


def live(make: Callable[[], Any], **options: Any) -> ba.Report:
    def train(audit: ba.Audit) -> None:
        fit(audit.wrap(make(), name="train"), **options)

    return trained(train)


def with_validation(audit: ba.Audit) -> None:
    validation = audit.wrap(Pictures(COUNT, workers=2), name="val")
    fit(audit.wrap(ShuffledByNumpy(), name="train"), validation)


HEALTHY = (
    Healthy(
        "shuffled-by-numpy",
        "keras 3",
        "NumPy's stream is the same in all workers, and only moves in the parent",
        lambda: audited(ShuffledByNumpy, "keras-processes:4"),
    ),
    Healthy(
        "random-data",
        "keras 3",
        "random data without a seed, made at construction",
        lambda: audited(RandomData, "keras-processes:4"),
    ),
    Healthy(
        "epoch-index-seed",
        "tf_keras",
        "np.random is seeded with (epoch, batch)",
        lambda: audited(SeededAugmentation, "tf_keras-processes:4"),
    ),
    Healthy(
        "private-stream",
        "keras 3",
        "a generator with a seeded stream that goes on",
        lambda: live(augmenting_generator, steps=BATCHES),
    ),
    Healthy(
        "endless-sample",
        "keras 3",
        "an endless stream, sampled with replacement",
        lambda: live(with_replacement, steps=BATCHES),
    ),
    Healthy(
        "validation-in-order",
        "keras 3",
        "a validation without a shuffle in each epoch of a fit",
        lambda: trained(with_validation),
    ),
)
