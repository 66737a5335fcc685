"""Keras and tf_keras with worker processes that have copies of a random state."""

from __future__ import annotations

import ctypes
import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tf_keras.preprocessing.image import ImageDataGenerator

from tests.corpus.case import Case
from tests.corpus.keras_sources import PicturesOfKeras, PicturesOfTfKeras, fit_processes, live
from tests.corpus.pictures import (
    A_MOMENT,
    BATCH,
    COUNT,
    IMAGES,
    LABELS,
    brighter,
    draws_of,
    flat,
)
from tests.corpus.runs import audited

CLONE_AND_RESET = frozenset({"rng-clone", "rng-epoch-reset"})

# -- K05 and its relatives: copies of a random state ------------------------------------------------


class NumpyNoise:
    """Brightness drawn from NumPy's global stream: every worker has a copy of its state, again every epoch."""

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        return brighter(images, np.random.normal(size=len(images)))


class HeldRandom:
    """Brightness from a `random.Random` of the dataset's own, which no worker seeds anew."""

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(0)

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        return brighter(images, [self.random.gauss(0, 1) for _ in images])


class CppNoise:
    """As an augmentation library in C++ keeps it: 8 bytes of state that nothing in Python can read as a stream."""

    def __init__(self) -> None:
        super().__init__()
        self.state = (ctypes.c_uint64 * 1)(88172645463325252)

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        return brighter(images, [self._next() for _ in images])

    def _next(self) -> float:
        state = self.state[0]
        for shift in (13, -7, 17):
            state ^= (state << shift if shift > 0 else state >> -shift) & (2**64 - 1)
        self.state[0] = state
        return state / 2**64


class NoiseOfTheEpochAndBatch:
    """The repair: a stream for each (seed, epoch, batch), whoever makes it."""

    epoch = 0

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        rng = np.random.default_rng([7, self.epoch, index])
        return brighter(images, rng.normal(size=len(images)))

    def on_epoch_end(self) -> None:
        self.epoch += 1


class KerasNumpyNoise(NumpyNoise, PicturesOfKeras): ...


class KerasHeldRandom(HeldRandom, PicturesOfKeras): ...


class KerasCppNoise(CppNoise, PicturesOfKeras): ...


class KerasOwnNoise(NoiseOfTheEpochAndBatch, PicturesOfKeras): ...


class TfKerasNumpyNoise(NumpyNoise, PicturesOfTfKeras): ...


class TfKerasOwnNoise(NoiseOfTheEpochAndBatch, PicturesOfTfKeras): ...


def cloned(sick: Callable[[], Any], healthy: Callable[[], Any]) -> str:
    """Draws repeat inside an epoch, and again in the next; the repaired ones never do."""
    first, second = (draws_of(epoch) for epoch in fit_processes(sick(), epochs=2))
    repaired = draws_of(flat(fit_processes(healthy(), epochs=2)))
    assert len(set(first)) <= COUNT / 2, len(set(first))
    again = len(set(first) & set(second)) / len(set(second))
    assert again > 0.5
    assert len(set(repaired)) == 2 * COUNT
    return f"{len(set(first))} draws for {COUNT} pictures, {again:.0%} of them again in epoch 1; repaired: {2 * COUNT}"


def drawn(image: np.ndarray) -> np.ndarray:
    """The user's `preprocessing_function`."""
    time.sleep(A_MOMENT / BATCH)
    return image + np.random.normal()


class SeededInEachProcess(PicturesOfTfKeras):
    """What the image generator's users write instead: a stream of the process' own, seeded from the system."""

    def __init__(self) -> None:
        self.pid, self.rng = os.getpid(), np.random.default_rng()

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        if self.pid != os.getpid():
            self.pid, self.rng = os.getpid(), np.random.default_rng()
        return brighter(images, self.rng.normal(size=len(images)))


def image_generator() -> Any:
    return ImageDataGenerator(preprocessing_function=drawn).flow(IMAGES[..., None], LABELS, batch_size=BATCH)


def image_generator_proof() -> str:
    given = draws_of(np.asarray(batch)[..., 0] for batch in fit_processes(image_generator())[0])
    repaired = draws_of(fit_processes(SeededInEachProcess())[0])
    assert len(set(given)) <= COUNT / 2 < len(set(repaired)) == COUNT
    return (
        f"{len(set(given))} draws for {COUNT} pictures; with a stream for each process {len(set(repaired))}"
    )


CASES = (
    Case(
        "K05",
        "keras 3",
        "np.random in a PyDataset with processes",
        CLONE_AND_RESET,
        lambda: audited(KerasNumpyNoise, "keras-processes:4"),
        lambda: audited(KerasOwnNoise, "keras-processes:4"),
        lambda: cloned(KerasNumpyNoise, KerasOwnNoise),
    ),
    Case(
        "K05b",
        "tf_keras",
        "np.random in a Sequence with processes, in the fit",
        CLONE_AND_RESET,
        lambda: live(TfKerasNumpyNoise),
        lambda: live(TfKerasOwnNoise),
        lambda: cloned(TfKerasNumpyNoise, TfKerasOwnNoise),
    ),
    Case(
        "held-random",
        "keras 3",
        "a random.Random(0) held by a PyDataset",
        CLONE_AND_RESET,
        lambda: audited(KerasHeldRandom, "keras-processes:4"),
        lambda: audited(KerasOwnNoise, "keras-processes:4"),
        lambda: cloned(KerasHeldRandom, KerasOwnNoise),
    ),
    Case(
        "hidden-cpp",
        "keras 3",
        "an augmentation with a stream that cannot be read",
        CLONE_AND_RESET,
        lambda: audited(KerasCppNoise, "keras-processes:4"),
        lambda: audited(KerasOwnNoise, "keras-processes:4"),
        lambda: cloned(KerasCppNoise, KerasOwnNoise),
    ),
    Case(
        "image-generator",
        "tf_keras",
        "ImageDataGenerator.flow with 4 processes: np.random in its preprocessing",
        frozenset({"rng-clone"}),
        lambda: audited(image_generator, "tf_keras-processes:4"),
        lambda: audited(SeededInEachProcess, "tf_keras-processes:4"),
        image_generator_proof,
    ),
)
