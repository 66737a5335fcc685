"""Plain Python: multiprocessing, generators, iterables, closures."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

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
    different,
    draws_of,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited

# -- P16: NumPy's stream in forked processes --------------------------------------------------------


class Walks:
    """Simulates its training data: random walks from NumPy's global stream."""

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        steps = self.rng(index).normal(size=(BATCH, 8, 8)).astype(np.float32)
        return steps.cumsum(axis=1), steps.sum(axis=(1, 2))

    def rng(self, index: int) -> Any:
        return np.random


class WalksOfTheEpochAndBatch(Walks):
    """The repair: a stream for each (seed, epoch, batch)."""

    epoch = 0

    def rng(self, index: int) -> Any:
        return np.random.default_rng([7, self.epoch, index])

    def on_epoch_end(self) -> None:
        self.epoch += 1


# -- a stream that cannot be read -------------------------------------------------------------------


def hash_counter(seed: bytes) -> Callable[[int], np.ndarray]:
    """Draws from a counter that is hashed; the counter is 8 bytes in a closure.

    Args:
        seed: what else is hashed.
    """
    counter = bytearray(8)

    def draw(count: int) -> np.ndarray:
        values = []
        for _ in range(count):
            counter[:] = (int.from_bytes(counter, "little") + 1).to_bytes(8, "little")
            values.append(int.from_bytes(hashlib.blake2b(seed + counter).digest()[:4], "little") / 2**32)
        return np.array(values)

    return draw


class Hashed:
    """Augments with it: forked workers have copies of the counter."""

    def __init__(self) -> None:
        self.draw = hash_counter(b"7")

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        images, labels = pictures(index)
        return brighter(images, self.draw(len(images))), labels


class HashedByEpochAndBatch(Hashed):
    """The repair: a counter for each (epoch, batch)."""

    epoch = 0

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        images, labels = pictures(index)
        return brighter(images, hash_counter(b"7 %d %d" % (self.epoch, index))(len(images))), labels

    def on_epoch_end(self) -> None:
        self.epoch += 1


def forked_pool(source: Any, epochs: int = 2) -> bare.Epochs:
    """The standard library's pool: what comes of 4 forked processes, forked anew for each epoch."""
    given: bare.Epochs = []
    for _ in range(epochs):
        with multiprocessing.get_context("fork").Pool(4, _keep, (source,)) as pool:
            given.append([images for images, _ in pool.map(_item, range(len(source)), chunksize=1)])
        if hasattr(source, "on_epoch_end"):
            source.on_epoch_end()
    return given


_kept: list[Any] = []


def _keep(source: Any) -> None:
    _kept[:] = [source]


def _item(index: int) -> Batch:
    batch: Batch = _kept[0][index]
    return batch


def cloned_walks() -> str:
    np.random.seed(5)  # from NumPy 2 on there is nothing to copy until the parent has used its stream
    given, repaired = (forked_pool(make()) for make in (Walks, WalksOfTheEpochAndBatch))
    assert different(given[0]) <= BATCHES / 2
    assert different(flat(given)) <= BATCHES
    assert different(flat(repaired)) == 2 * BATCHES
    return f"{different(flat(given))} of {2 * BATCHES} simulated batches are different; repaired: all"


def cloned_hashes() -> str:
    given, repaired = (draws_of(flat(forked_pool(make()))) for make in (Hashed, HashedByEpochAndBatch))
    assert len(set(given)) <= COUNT
    assert len(set(repaired)) == 2 * COUNT
    return f"{len(set(given))} draws for {2 * COUNT} pictures; repaired: {2 * COUNT}"


# -- a seed where an epoch begins -------------------------------------------------------------------


class SeededInIter:
    """Each pass begins the same stream."""

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        order = rng.permutation(COUNT)
        for index in range(BATCHES):
            images, labels = pictures(index, order)
            yield brighter(images, rng.normal(size=len(images))), labels


class SeededInInit(SeededInIter):
    """The repair: one stream for all passes."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __iter__(self) -> Iterator[Batch]:
        order = self.rng.permutation(COUNT)
        for index in range(BATCHES):
            images, labels = pictures(index, order)
            yield brighter(images, self.rng.normal(size=len(images))), labels


class GlobalSeedInIter:
    """ "To be reproducible" each pass seeds NumPy's global stream; the order is another in each."""

    def __init__(self) -> None:
        self.orders = np.random.default_rng(3)

    def __iter__(self) -> Iterator[Batch]:
        np.random.seed(0)
        order = self.orders.permutation(COUNT)
        for index in range(BATCHES):
            images, labels = pictures(index, order)
            yield brighter(images, np.random.normal(size=len(images))), labels


class GlobalSeedInInit(GlobalSeedInIter):
    def __init__(self) -> None:
        super().__init__()
        np.random.seed(0)

    def __iter__(self) -> Iterator[Batch]:
        order = self.orders.permutation(COUNT)
        for index in range(BATCHES):
            images, labels = pictures(index, order)
            yield brighter(images, np.random.normal(size=len(images))), labels


def reset_proof(sick: Callable[[], Any], healthy: Callable[[], Any]) -> str:
    given, repaired = ([draws_of(epoch) for epoch in bare.loop(make())] for make in (sick, healthy))
    assert given[0] == given[1] == given[2]
    assert len({draw for epoch in repaired for draw in epoch}) == 3 * COUNT
    return "the draws of 3 epochs are equal, position by position; repaired: none is"


# -- replicas of a generator ------------------------------------------------------------------------


def shuffled_stream() -> Iterator[Batch]:
    """Every worker shuffles all of it, in an order of its own."""
    rng = np.random.default_rng()
    while True:
        order = rng.permutation(COUNT)
        for index in range(BATCHES):
            time.sleep(A_MOMENT)
            yield pictures(index, order)


def copies_of_a_generator(epochs: int = 1) -> list[int]:
    """What 4 processes with a generator each make of an epoch's work of one."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        shares = pool.map(_a_pass, range(4), chunksize=1)
    return [number for share in shares for number in share]


def _a_pass(_: int) -> list[int]:
    batches = shuffled_stream()
    return numbers_of(next(batches)[0] for _ in range(BATCHES))


def stream_proof() -> str:
    seen = copies_of_a_generator()
    assert all(seen.count(number) == 4 for number in range(COUNT))
    alone = numbers_of(images for images, _ in (Stored()[index] for index in range(BATCHES)))
    assert sorted(alone) == list(range(COUNT))
    return "each picture comes 4 times from 4 workers; from an indexed source once"


class Stored:
    """The repair: a batch is made once, whoever makes it."""

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        here = slice(index * BATCH, (index + 1) * BATCH)
        return IMAGES[here], LABELS[here]


BOTH = frozenset({"rng-clone", "rng-epoch-reset"})

CASES = (
    Case(
        "P16",
        "python",
        "data simulated from np.random in forked processes",
        BOTH,
        lambda: audited(Walks, "fork:4"),
        lambda: audited(WalksOfTheEpochAndBatch, "fork:4"),
        cloned_walks,
    ),
    Case(
        "hidden-closure",
        "python",
        "an augmentation whose stream is a counter in a closure",
        BOTH,
        lambda: audited(Hashed, "fork:4"),
        lambda: audited(HashedByEpochAndBatch, "fork:4"),
        cloned_hashes,
    ),
    Case(
        "seed-in-iter",
        "python",
        "default_rng(0) where each pass begins",
        frozenset({"rng-epoch-reset"}),
        lambda: audited(SeededInIter, "serial"),
        lambda: audited(SeededInInit, "serial"),
        lambda: reset_proof(SeededInIter, SeededInInit),
        allowed=frozenset({"stale-epoch"}),
    ),
    Case(
        "global-seed-in-iter",
        "python",
        "np.random.seed(0) where each pass begins",
        frozenset({"rng-epoch-reset"}),
        lambda: audited(GlobalSeedInIter, "serial"),
        lambda: audited(GlobalSeedInInit, "serial"),
        lambda: reset_proof(GlobalSeedInIter, GlobalSeedInInit),
    ),
    Case(
        "shuffled-replicas",
        "python",
        "a generator that each of 4 workers shuffles for itself",
        frozenset({"unsharded-replica"}),
        lambda: audited(shuffled_stream, "fork:4", steps_per_epoch=4 * BATCHES),
        lambda: audited(Stored, "fork:4"),
        stream_proof,
    ),
)
