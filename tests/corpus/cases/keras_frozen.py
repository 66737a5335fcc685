"""Keras augmentation that is bound to a sample or kept in a cache."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    A_MOMENT,
    BATCH,
    BATCHES,
    COUNT,
    IMAGES,
    LABELS,
    Batch,
    brighter,
    draws_of,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited, trained

Train = Callable[[Any], bare.Epochs]


def live(make: Callable[[], Any], train: Train) -> ba.Report:
    """A live audit of a training with one source."""
    return trained(lambda audit: _discard(train(audit.wrap(make(), name="train"))))


def _discard(_: object) -> None: ...


def fit_keras(source: Any) -> bare.Epochs:
    return bare.fit(keras, source)


# -- frozen augmentation ----------------------------------------------------------------------------


class Augmenting(keras.utils.PyDataset):
    """Shuffled each epoch, every picture with a brightness of its own: `noise` says which."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rng, self.order = np.random.default_rng(3), np.arange(COUNT)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        rows = self.order[index * BATCH : (index + 1) * BATCH]
        return np.stack([self.picture(row) for row in rows]), LABELS[rows]

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)

    def picture(self, row: int) -> np.ndarray:
        return IMAGES[row] + np.float32(self.noise(row))

    def noise(self, row: int) -> float:
        return float(np.random.normal())


class SeededByItem(Augmenting):
    """Seeds NumPy's stream with the item's number, "to be reproducible"."""

    def noise(self, row: int) -> float:
        np.random.seed(row)
        return float(np.random.normal())


class GeneratorOfItem(Augmenting):
    """The same with a new generator for each item."""

    def noise(self, row: int) -> float:
        return float(np.random.default_rng(row).normal())


class PythonSeededByItem(Augmenting):
    """The same with Python's stream."""

    def noise(self, row: int) -> float:
        random.seed(int(row))
        return random.gauss(0, 1)


class SeededByEpochAndItem(Augmenting):
    """The repair."""

    epoch = 0

    def noise(self, row: int) -> float:
        return float(np.random.default_rng([7, self.epoch, row]).normal())

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.epoch += 1


class CachedAfterwards(Augmenting):
    """Keeps each picture as it was augmented the first time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.cache: dict[int, np.ndarray] = {}

    def picture(self, row: int) -> np.ndarray:
        if row not in self.cache:
            self.cache[row] = super().picture(row)
        return self.cache[row]


class CachedBefore(CachedAfterwards):
    """The repair: what is read is kept, and augmented each time."""

    def picture(self, row: int) -> np.ndarray:
        if row not in self.cache:
            self.cache[row] = IMAGES[row].copy()
        return self.cache[row] + np.float32(self.noise(row))


def augmented_batches() -> Iterator[Batch]:
    for index in range(BATCHES):
        images, labels = pictures(index)
        yield brighter(images, np.random.normal(size=len(images))), labels


def cycled() -> Iterator[Batch]:
    """`itertools.cycle` keeps what the first pass gave."""
    yield from itertools.cycle(augmented_batches())


def begun_anew() -> Iterator[Batch]:
    while True:
        yield from augmented_batches()


def fit_endless(source: Any) -> bare.Epochs:
    return bare.fit(keras, source, steps=BATCHES)


def fit_processes(source: Any) -> bare.Epochs:
    source.workers, source.use_multiprocessing = 4, True
    return bare.fit(keras, source)


def frozen(sick: Callable[[], Any], healthy: Callable[[], Any], train: Train) -> str:
    """Every picture has one draw for ever; repaired, a new one in each epoch."""
    one, new = (_draws_a_picture(train(make())) for make in (sick, healthy))
    assert set(one) == {1}
    assert set(new) == {3}
    return "1 draw a picture in 3 epochs; repaired: 3"


def _draws_a_picture(epochs: bare.Epochs) -> list[int]:
    draws: dict[int, set[float]] = {}
    for number, draw in zip(numbers_of(flat(epochs)), draws_of(flat(epochs)), strict=True):
        draws.setdefault(number, set()).add(draw)
    assert len(draws) == COUNT
    return [len(values) for values in draws.values()]


FROZEN = frozenset({"frozen-augmentation"})

CASES = (
    Case(
        "item-seed",
        "keras 3",
        "np.random.seed(index) before each augmentation",
        FROZEN,
        lambda: audited(SeededByItem, "keras-processes:4"),
        lambda: audited(SeededByEpochAndItem, "keras-processes:4"),
        lambda: frozen(SeededByItem, SeededByEpochAndItem, fit_processes),
    ),
    Case(
        "item-seed-python",
        "keras 3",
        "random.seed(index) before each augmentation, in the fit",
        FROZEN,
        lambda: live(PythonSeededByItem, fit_keras),
        lambda: live(SeededByEpochAndItem, fit_keras),
        lambda: frozen(PythonSeededByItem, SeededByEpochAndItem, fit_keras),
    ),
    Case(
        "item-generator",
        "keras 3",
        "default_rng(index) for each augmentation",
        FROZEN,
        lambda: audited(GeneratorOfItem, "keras-processes:4"),
        lambda: audited(SeededByEpochAndItem, "keras-processes:4"),
        lambda: frozen(GeneratorOfItem, SeededByEpochAndItem, fit_processes),
    ),
    Case(
        "augmented-cache",
        "keras 3",
        "a cache of augmented pictures",
        FROZEN,
        lambda: audited(CachedAfterwards, "keras-threads:1"),
        lambda: audited(CachedBefore, "keras-threads:1"),
        lambda: frozen(CachedAfterwards, CachedBefore, fit_keras),
    ),
    Case(
        "cycle-cache",
        "keras 3",
        "itertools.cycle over augmented batches",
        FROZEN,
        lambda: live(cycled, fit_endless),
        lambda: live(begun_anew, fit_endless),
        lambda: frozen(cycled, begun_anew, fit_endless),
    ),
)
