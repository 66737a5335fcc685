"""tf_keras with threads over one generator, one iterator, one random stream; and a fixed seed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tf_keras
from tf_keras.preprocessing.image import ImageDataGenerator

from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    A_MOMENT,
    ALL,
    BATCH,
    BATCHES,
    IMAGES,
    LABELS,
    Batch,
    different,
    draws_of,
    pictures,
)
from tests.corpus.runs import audited

RACE = frozenset({"shared-state-race"})


# -- K04: one generator, or one iterator, for several threads ---------------------------------------


def generator_of_pictures() -> Iterator[Batch]:
    for index in range(len(ALL) // BATCH):
        time.sleep(A_MOMENT)
        yield pictures(index, count=len(ALL))


class Reader:
    """Reads, works, and only then moves on: two threads read at one place."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> Batch:
        position = self.position
        time.sleep(A_MOMENT)
        self.position = position + 1
        return pictures(position, count=len(ALL))


class ThreadSafe:
    """The lock that everybody was told to write around an iterator."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches, self.lock = batches, threading.Lock()

    def __iter__(self) -> ThreadSafe:
        return self

    def __next__(self) -> Batch:
        with self.lock:
            return next(self.batches)


def locked_generator() -> ThreadSafe:
    return ThreadSafe(generator_of_pictures())


def locked_reader() -> ThreadSafe:
    return ThreadSafe(Reader())


def fit_threads(source: Any, workers: int = 4, epochs: int = 1) -> bare.Epochs:
    return bare.fit(tf_keras, source, steps=BATCHES, epochs=epochs, workers=workers)


def executing_proof() -> str:
    try:
        fit_threads(generator_of_pictures())
    except Exception as error:
        assert "already executing" in str(error)
    else:
        raise AssertionError("four threads used one generator, and nothing came of it")
    assert different(fit_threads(locked_generator())[0]) == BATCHES
    return "ValueError: generator already executing; with a lock: none"


def reader_proof() -> str:
    given, repaired = fit_threads(Reader())[0], fit_threads(locked_reader())[0]
    assert different(given) < len(given) == different(repaired)
    return f"{different(given)} of {len(given)} batches are different; with a lock {different(repaired)}"


# -- K18, K19: the image generator's seed -----------------------------------------------------------


def drawn(image: np.ndarray) -> np.ndarray:
    """The user's `preprocessing_function`."""
    time.sleep(A_MOMENT / BATCH)
    return image + np.random.normal()


def seeded_flow() -> Any:
    made = ImageDataGenerator(preprocessing_function=drawn)
    return made.flow(IMAGES[..., None], LABELS, batch_size=BATCH, seed=1)


def unseeded_flow() -> Any:
    return ImageDataGenerator(preprocessing_function=drawn).flow(IMAGES[..., None], LABELS, batch_size=BATCH)


def _draws(flow: Any, workers: int) -> list[float]:
    return draws_of(np.asarray(batch)[..., 0] for batch in fit_threads(flow, workers)[0])


def seeded_threads_proof() -> str:
    racing, alone = ([_draws(seeded_flow(), workers) for _ in range(2)] for workers in (4, 1))
    assert racing[0] != racing[1]
    assert alone[0] == alone[1]
    return "with seed=1 two runs on 4 threads draw otherwise; on 1 thread alike"


def seeded_runs_proof() -> str:
    alike, other = ([_draws(make(), 1) for _ in range(2)] for make in (seeded_flow, unseeded_flow))
    assert alike[0] == alike[1]
    assert other[0] != other[1]
    return "with seed=1 every run draws alike; its epochs do not"


CASES = (
    Case(
        "K04",
        "tf_keras",
        "one generator for 4 threads",
        RACE,
        lambda: audited(generator_of_pictures, "tf_keras-threads:4", steps_per_epoch=BATCHES),
        lambda: audited(locked_generator, "tf_keras-threads:4", steps_per_epoch=BATCHES),
        executing_proof,
    ),
    Case(
        "K04b",
        "tf_keras",
        "one iterator that locks nothing, for 4 threads",
        RACE,
        lambda: audited(Reader, "tf_keras-threads:4", steps_per_epoch=BATCHES),
        lambda: audited(locked_reader, "tf_keras-threads:4", steps_per_epoch=BATCHES),
        reader_proof,
    ),
    Case(
        "K18",
        "tf_keras",
        "ImageDataGenerator with a seed, and 4 threads that draw from one stream",
        RACE,
        lambda: audited(seeded_flow, "tf_keras-threads:4"),
        lambda: audited(seeded_flow, "tf_keras-threads:1"),
        seeded_threads_proof,
    ),
    Case(
        "K19",
        "tf_keras",
        "a seed that makes every run alike: no defect of a run",
        frozenset(),
        lambda: audited(seeded_flow, "tf_keras-threads:1"),
        lambda: audited(unseeded_flow, "tf_keras-threads:1"),
        seeded_runs_proof,
    ),
)
