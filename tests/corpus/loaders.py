"""The corpus' loaders, as their reports describe them, each beside its repaired twin.

Module-level, so that workers of every start method can import them. Frameworks are imported where they are
needed. Sources of dynamic pools take a few milliseconds a batch, so that the pool spreads the work.
"""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from typing import Any

import numpy as np

BATCH = 8
STORED = np.arange(256 * 4, dtype=np.float32).reshape(256, 4)
A_MOMENT = 0.004  # seconds of work a batch


def stored(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch `index` of the stored samples, from the start again after the last."""
    rows = (np.arange(BATCH) + index * BATCH) % len(STORED)
    return STORED[rows], rows


# -- K01, K02, P18, P19, P29: a plain stream, replicated --------------------------------------------


def endless_stream():
    for index in itertools.count():
        time.sleep(A_MOMENT)
        yield stored(index)


def finite_stream():
    for index in range(16):
        yield stored(index)


def stream_shuffled_in_each_worker():
    rng = np.random.default_rng()
    while True:
        order = rng.permutation(len(STORED))
        for start in range(0, len(STORED), BATCH):
            yield STORED[order[start : start + BATCH]]


class Iterable:
    """An `IterableDataset` that knows nothing of its worker (P18)."""

    def __iter__(self):
        return iter([stored(index) for index in range(12)])


class SequenceAroundAGenerator:
    """Looks indexable, but every worker advances a copy of one generator (K01 in a Sequence's clothes)."""

    def __init__(self) -> None:
        self._stream = (stored(index) for index in itertools.count())

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        return next(self._stream)


class Indexed:
    """The repair of all of these: batch i is batch i, whoever makes it."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        time.sleep(A_MOMENT)
        return stored(index)


# -- K05, P01 - P08, P11, P16, P39: random states that are shared or start over ---------------------


class NoiseFromNumpysGlobalStream(Indexed):
    def __getitem__(self, index: int) -> Any:
        rows, ids = super().__getitem__(index)
        return rows + np.random.normal(size=rows.shape), ids


class NoiseFromAnAttribute(Indexed):
    """P07: every global stream differs between workers, the one that matters does not."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index: int) -> Any:
        rows, ids = super().__getitem__(index)
        return rows + self.rng.normal(size=rows.shape), ids


class NoiseFromAnAttributeOutOfOrder(NoiseFromAnAttribute):
    """With threads, batch 0 draws after batch 1 in the first epoch, whatever the machine does."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = threading.Event()

    def __getitem__(self, index: int) -> Any:
        if index == 0 and threading.current_thread() is not threading.main_thread():
            self.drawn.wait(60)
        made = super().__getitem__(index)
        if index == 1:
            self.drawn.set()
        return made


class NoiseFromPythonsRandom(Indexed):
    """P16's twin: CPython seeds its stream anew in every forked child."""

    def __getitem__(self, index: int) -> Any:
        rows, ids = super().__getitem__(index)
        return rows + random.random(), ids


class NoiseFromAStreamForEachBatch(Indexed):
    """The repair: a stream of the (epoch, index)'s own."""

    def __init__(self) -> None:
        self.epoch = 0

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> Any:
        rows, ids = super().__getitem__(index)
        return rows + np.random.default_rng([7, self.epoch, index]).normal(size=rows.shape), ids


class NoiseSeededOnceInEachWorker(Indexed):
    """Another repair: the first batch of a process seeds its stream."""

    pid = os.getpid()

    def __getitem__(self, index: int) -> Any:
        if self.pid != os.getpid():
            self.pid = os.getpid()
            np.random.seed(self.pid)
        rows, ids = super().__getitem__(index)
        return rows + np.random.normal(size=rows.shape), ids


class ShuffledEachEpoch(Indexed):
    """Healthy; epochs shorter than its length hold parts of two orders (K10)."""

    def __init__(self) -> None:
        self.order = np.arange(24)

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(self.order[index])


class NoiseSeededByIndex(Indexed):
    """Seeds the global stream for each batch: equal states, but by design, and no clone."""

    def __getitem__(self, index: int) -> Any:
        np.random.seed(index)
        rows, ids = super().__getitem__(index)
        return rows + np.random.normal(size=rows.shape), ids


def drawn_from_numpys_global_stream():
    while True:
        time.sleep(A_MOMENT)
        yield STORED[np.random.randint(len(STORED), size=BATCH)]


def drawn_with_one_seed_in_every_worker():
    """P11, P39: seeded where the worker starts, with a constant."""
    rng = np.random.default_rng(0)
    while True:
        yield STORED[rng.integers(len(STORED), size=BATCH)]


def drawn_with_a_seed_of_the_worker():
    rng = np.random.default_rng([0, os.getpid()])
    while True:
        yield STORED[rng.integers(len(STORED), size=BATCH)]


# -- K04: one iterator, several threads -------------------------------------------------------------


class Unlocked:
    """Reads its position, works, writes it back: two threads get the same batch, and one is lost."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self):
        return self

    def __next__(self) -> Any:
        position = self.position
        time.sleep(A_MOMENT)
        self.position = position + 1
        return stored(position)


class Locked(Unlocked):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __next__(self) -> Any:
        with self.lock:
            return super().__next__()


class OneBufferForAllThreads(Indexed):
    """Rows of two batches in one: the buffer is written by every thread."""

    def __init__(self) -> None:
        self.buffer = np.zeros((BATCH, 4), np.float32)

    def __getitem__(self, index: int) -> Any:
        rows, ids = stored(index)
        for row in range(BATCH):
            self.buffer[row] = rows[row]
            time.sleep(0)
            time.sleep(A_MOMENT / BATCH)
        return self.buffer.copy(), ids


# -- G01: duplicates that are the data's own --------------------------------------------------------


def repeats_by_design():
    """Every stored batch twice, one after the other."""
    for index in itertools.count():
        yield stored(index // 2)


def constant():
    return iter([np.zeros((BATCH, 2))] * 24)


# -- the frameworks' own classes --------------------------------------------------------------------


def keras(cls: type, **settings: Any) -> Any:
    """A Keras 3 PyDataset that behaves as one of the classes above."""
    import keras

    class Dataset(cls, keras.utils.PyDataset):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            keras.utils.PyDataset.__init__(self, **settings)
            if cls.__init__ is not object.__init__:
                cls.__init__(self)

    return Dataset()


def tf_keras(cls: type) -> Any:
    """A tf_keras Sequence that behaves as one of the classes above."""
    import tf_keras

    class Dataset(cls, tf_keras.utils.Sequence):  # type: ignore[misc, valid-type]
        pass

    return Dataset()
