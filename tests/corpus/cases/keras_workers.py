"""Keras and tf_keras with worker processes: replicas of generators, copies of an order, a shared file."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tf_keras
from tf_keras.preprocessing.image import ImageDataGenerator

from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.keras_sources import PicturesOfTfKeras, fit_processes, live
from tests.corpus.pictures import (
    A_MOMENT,
    ALL,
    BATCH,
    BATCHES,
    COUNT,
    IMAGES,
    LABELS,
    Batch,
    different,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited

# -- K01, K02, K19's zip: generators, replicated ----------------------------------------------------


def generator_of_pictures() -> Iterator[Batch]:
    while True:
        for index in range(BATCHES):
            time.sleep(A_MOMENT)
            yield pictures(index)


def data_generator() -> Iterator[Batch]:
    """Mask R-CNN's: one endless loop that shuffles where it begins and fills one batch after the other."""
    image_ids, image_index, filled = np.arange(COUNT), -1, 0
    while True:
        image_index = (image_index + 1) % COUNT
        if image_index == 0:
            np.random.shuffle(image_ids)
        if filled == 0:
            images, labels = np.zeros((BATCH, 8, 8), np.float32), np.zeros(BATCH, np.float32)
        images[filled], labels[filled] = IMAGES[image_ids[image_index]], LABELS[image_ids[image_index]]
        filled += 1
        if filled == BATCH:
            time.sleep(A_MOMENT)
            yield images, labels
            filled = 0


class ShuffledSequence(tf_keras.utils.Sequence):
    """Mask R-CNN's generator as the Sequence that replaced it."""

    def __init__(self) -> None:
        self.image_ids = np.random.permutation(COUNT)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        return pictures(index, self.image_ids)

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.image_ids)


def train_generator() -> Iterator[Batch]:
    """U-Net's: pictures and masks from two flows with one seed, zipped."""
    augmented = {"horizontal_flip": True, "vertical_flip": True}
    pairs = zip(
        ImageDataGenerator(**augmented).flow(IMAGES[..., None], batch_size=BATCH, seed=1),
        ImageDataGenerator(**augmented).flow(IMAGES[..., None] > 0.5, batch_size=BATCH, seed=1),
        strict=False,
    )
    for images, masks in pairs:
        time.sleep(A_MOMENT)
        yield images[..., 0], masks[:, 4, 4, 0]


def replicated(sick: Callable[[], Any], healthy: Callable[[], Any]) -> str:
    """Each worker process walks the generator from its start; the Sequence's share the work."""
    given = flat(fit_processes(sick()))
    repaired = fit_processes(healthy())
    assert different(given) <= len(given) / 2, different(given)
    assert all(different(epoch) == BATCHES for epoch in repaired)
    return (
        f"{different(given)} of {len(given)} trained batches are different; as a Sequence {BATCHES} an epoch"
    )


def unet_proof() -> str:
    given = flat(fit_processes(train_generator()))
    alone = flat(bare.fit(tf_keras, train_generator(), steps=BATCHES))
    assert different(given) <= len(given) / 2 < different(alone)
    return f"{different(given)} of {len(given)} batches are different with 4 processes, {different(alone)} with none"


# -- one file handle for all workers ----------------------------------------------------------------


class OneOpenFile(keras.utils.PyDataset):
    """Opened once: the forked workers share its position, too, and move it under each other's hands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self.file.write(ALL[: 2 * COUNT].tobytes())

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        size = ALL[0].nbytes
        self.file.seek(index * BATCH * size)
        self._read_slowly(index * BATCH * size)
        rows = []
        for _ in range(BATCH):
            rows.append(np.frombuffer(self.file.read(size), np.float32).reshape(8, 8))
            time.sleep(A_MOMENT / BATCH)  # decodes it
        return np.stack(rows), LABELS[index * BATCH : (index + 1) * BATCH]

    def _read_slowly(self, position: int) -> None:
        """Gives another worker the time to move the position, on a machine however slow to start one."""
        until = time.monotonic() + (0.2 if multiprocessing.parent_process() else 0)
        while self.file.tell() == position and time.monotonic() < until:
            time.sleep(A_MOMENT / BATCH)


class ReadAtAPlace(OneOpenFile):
    """The repair: `pread` has no position to share."""

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        size = ALL[0].nbytes * BATCH
        content = os.pread(self.file.fileno(), size, index * size)
        images = np.frombuffer(content, np.float32).reshape(BATCH, 8, 8)
        return images, LABELS[index * BATCH : (index + 1) * BATCH]


def shared_file_proof() -> str:
    given = [set(numbers_of(epoch)) for epoch in fit_processes(OneOpenFile(), epochs=2)]
    repaired = [sorted(numbers_of(epoch)) for epoch in fit_processes(ReadAtAPlace(), epochs=2)]
    missed = [COUNT - len(epoch & set(range(COUNT))) for epoch in given]
    assert min(missed) > COUNT / 10
    assert given[0] != given[1]
    assert repaired == [list(range(COUNT))] * 2
    return f"{missed[0]} and {missed[1]} of {COUNT} pictures are not trained on, other ones in each epoch"


# -- a copy of the order in each worker -------------------------------------------------------------


class ReshuffledAtItemZero(keras.utils.PyDataset):
    """It reshuffles where an epoch begins, item 0: in the one worker that is asked for it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rng, self.order = np.random.default_rng(3), np.arange(COUNT)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        if index == 0:
            self.rng.shuffle(self.order)
        time.sleep(A_MOMENT)
        return pictures(index, self.order)


class ReshuffledBetweenEpochs(ReshuffledAtItemZero):
    """The repair: the framework's own hook, in the process that the workers are forked from."""

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        return pictures(index, self.order)

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)


def divergent_proof() -> str:
    given = numbers_of(fit_processes(ReshuffledAtItemZero(), epochs=1)[0])
    repaired = numbers_of(fit_processes(ReshuffledBetweenEpochs(), epochs=1)[0])
    assert len(given) == COUNT > len(set(given))
    assert sorted(repaired) == list(range(COUNT))
    return f"{len(set(given))} of {COUNT} pictures are trained on in an epoch; repaired: all"


CASES = (
    Case(
        "K01",
        "tf_keras",
        "a generator, forked into 4 workers",
        frozenset({"unsharded-replica"}),
        lambda: audited(generator_of_pictures, "tf_keras-processes:4", steps_per_epoch=BATCHES),
        lambda: audited(PicturesOfTfKeras, "tf_keras-processes:4"),
        lambda: replicated(generator_of_pictures, PicturesOfTfKeras),
        allowed=frozenset({"prefetch-loss"}),
    ),
    Case(
        "K02",
        "tf_keras",
        "Mask R-CNN's data_generator with 4 processes, in the fit",
        frozenset({"unsharded-replica"}),
        lambda: live(data_generator),
        lambda: live(ShuffledSequence),
        lambda: replicated(data_generator, ShuffledSequence),
        allowed=frozenset({"rng-clone", "prefetch-loss"}),
    ),
    Case(
        "unet-zip",
        "tf_keras",
        "two seeded image flows, zipped, with 4 processes",
        frozenset({"unsharded-replica"}),
        lambda: audited(train_generator, "tf_keras-processes:4", steps_per_epoch=BATCHES),
        lambda: audited(train_generator, "tf_keras-threads:1", steps_per_epoch=BATCHES),
        unet_proof,
        allowed=frozenset({"rng-clone", "prefetch-loss"}),
    ),
    Case(
        "shared-file",
        "keras 3",
        "one open file for all forked workers",
        frozenset({"shared-state-race"}),
        lambda: audited(OneOpenFile, "keras-processes:4"),
        lambda: audited(ReadAtAPlace, "keras-processes:4"),
        shared_file_proof,
    ),
    Case(
        "shuffle-at-zero",
        "keras 3",
        "the worker that is asked for item 0 reshuffles its copy of the order",
        frozenset({"order-divergence"}),
        lambda: audited(ReshuffledAtItemZero, "keras-processes:4"),
        lambda: audited(ReshuffledBetweenEpochs, "keras-processes:4"),
        divergent_proof,
        allowed=frozenset({"stale-epoch", "rng-epoch-reset"}),
    ),
)
