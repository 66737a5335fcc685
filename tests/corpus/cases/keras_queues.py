"""Keras and tf_keras between making and training: peeks, queues, buffers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tf_keras

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    A_MOMENT,
    BATCH,
    BATCHES,
    Batch,
    different,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited, trained

RACE = frozenset({"shared-state-race"})
LOSS = frozenset({"prefetch-loss"})


def generator_of_pictures() -> Iterator[Batch]:
    while True:
        for index in range(BATCHES):
            time.sleep(A_MOMENT)
            yield pictures(index)


# -- K12: looks ahead -------------------------------------------------------------------------------


class Asked(keras.utils.PyDataset):
    """Notes what it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked: list[int] = []

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        self.asked.append(index)
        return pictures(index)


class AskedSequence(tf_keras.utils.Sequence):
    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        self.asked.append(index)
        return pictures(index)


def peek_proof() -> str:
    of_keras, of_tf_keras = Asked(), AskedSequence()
    given = bare.fit(keras, of_keras, epochs=1)[0], bare.fit(tf_keras, of_tf_keras, epochs=1)[0]
    assert [different(batches) for batches in given] == [BATCHES, BATCHES]
    assert of_keras.asked.count(0) == 2
    assert of_tf_keras.asked.count(0) == 2
    return f"{len(of_keras.asked)} and {len(of_tf_keras.asked)} are made, {BATCHES} are trained on"


# -- K14, and a generator that ends: what is lost between two passes --------------------------------

STEPS = 8


def fit_twice(framework: Any, batches: Any) -> bare.Epochs:
    return [bare.fit(framework, batches, epochs=1, steps=STEPS)[0] for _ in range(2)]


def fit_once(framework: Any, batches: Any) -> bare.Epochs:
    return bare.fit(framework, batches, epochs=2, steps=STEPS)


def hole_proof(framework: Any) -> str:
    first, second = (numbers_of(epoch) for epoch in fit_twice(framework, generator_of_pictures()))
    hole = (second[0] - first[-1] - 1) // BATCH
    assert hole > 0
    assert numbers_of(flat(fit_once(framework, generator_of_pictures()))) == list(range(2 * STEPS * BATCH))
    return f"{hole} batches are between the last of the first fit and the first of the second; in one fit 0"


def one_pass() -> Iterator[Batch]:
    for index in range(BATCHES):
        yield pictures(index)


def fit_ended(batches: Any) -> bare.Epochs:
    return bare.fit(keras, batches, epochs=3)


def fit_endless(batches: Any) -> bare.Epochs:
    return bare.fit(keras, batches, epochs=3, steps=BATCHES)


def ended_proof() -> str:
    lengths = [len(epoch) for epoch in fit_ended(one_pass())]
    assert lengths[0] == BATCHES
    assert all(0 < length < BATCHES for length in lengths[1:])
    assert [len(epoch) for epoch in fit_endless(generator_of_pictures())] == [BATCHES] * 3
    return f"epochs of {lengths} batches: the peeked ones, replayed"


# -- K15: one buffer for all batches ----------------------------------------------------------------


def one_buffer() -> Iterator[Batch]:
    images, labels = pictures(0)
    while True:
        for index in range(BATCHES):
            images[:], labels[:] = pictures(index)
            yield images, labels


def copies() -> Iterator[Batch]:
    for images, labels in one_buffer():
        yield images.copy(), labels.copy()


class OneBuffer(keras.utils.PyDataset):
    """Each thread fills one preallocated batch, and Keras' queue keeps references to it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.local = threading.local()

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        if not hasattr(self.local, "images"):
            self.local.images = np.zeros((BATCH, 8, 8), np.float32)
        self.local.images[:], labels = pictures(index)
        return self.local.images, labels


class Copies(OneBuffer):
    def __getitem__(self, index: int) -> Batch:
        images, labels = super().__getitem__(index)
        return images.copy(), labels


def live(make: Callable[[], Any], train: Callable[[Any], bare.Epochs]) -> ba.Report:
    def given(audit: ba.Audit) -> None:
        train(audit.wrap(make(), name="train"))

    return trained(given)


def fit_dataset(source: Any) -> bare.Epochs:
    return bare.fit(keras, source, shuffle=False)


def alias_proof(sick: Callable[[], bare.Epochs], healthy: Callable[[], bare.Epochs]) -> str:
    """Every batch is made, and in some epoch not every one is trained on: which one depends on who is faster."""
    given = [epoch for _ in range(3) for epoch in sick()]
    repaired = [epoch for _ in range(3) for epoch in healthy()]
    assert {len(epoch) for epoch in (*given, *repaired)} == {BATCHES}
    fewest = min(different(epoch) for epoch in given)
    assert fewest < BATCHES
    assert {different(epoch) for epoch in repaired} == {BATCHES}
    return f"{fewest} of {BATCHES} batches of an epoch are different; repaired: all"


def buffers_proof() -> str:
    return alias_proof(lambda: fit_dataset(OneBuffer(workers=2)), lambda: fit_dataset(Copies(workers=2)))


CASES = (
    Case(
        "K12",
        "keras 3",
        "two batches are made only to see their shapes: benign",
        frozenset(),
        lambda: live(Asked, fit_dataset),
        lambda: live(AskedSequence, lambda source: bare.fit(tf_keras, source)),
        peek_proof,
    ),
    Case(
        "K14",
        "keras 3",
        "two fits on one generator",
        LOSS,
        lambda: live(generator_of_pictures, lambda batches: fit_twice(keras, batches)),
        lambda: live(generator_of_pictures, lambda batches: fit_once(keras, batches)),
        lambda: hole_proof(keras),
    ),
    Case(
        "K14b",
        "tf_keras",
        "two fits on one generator",
        LOSS,
        lambda: live(generator_of_pictures, lambda batches: fit_twice(tf_keras, batches)),
        lambda: live(generator_of_pictures, lambda batches: fit_once(tf_keras, batches)),
        lambda: hole_proof(tf_keras),
    ),
    Case(
        "ended-generator",
        "keras 3",
        "a generator of one epoch, trained on for three",
        LOSS,
        lambda: live(one_pass, fit_ended),
        lambda: live(generator_of_pictures, fit_endless),
        ended_proof,
        allowed=frozenset({"tail-drop"}),
    ),
    Case(
        "K15",
        "keras 3",
        "a generator that yields one buffer again and again",
        frozenset({"buffer-alias"}),
        lambda: live(one_buffer, fit_endless),
        lambda: live(copies, fit_endless),
        lambda: alias_proof(lambda: fit_endless(one_buffer()), lambda: fit_endless(copies())),
    ),
    Case(
        "K15b",
        "keras 3",
        "a PyDataset whose threads each fill one preallocated batch",
        frozenset({"buffer-alias"}),
        lambda: live(lambda: OneBuffer(workers=2), fit_dataset),
        lambda: live(lambda: Copies(workers=2), fit_dataset),
        buffers_proof,
        allowed=RACE,
    ),
    Case(
        "K15c",
        "keras 3",
        "the same before the fit",
        frozenset({"buffer-alias"}),
        lambda: audited(OneBuffer, "keras-threads:2"),
        lambda: audited(Copies, "keras-threads:2"),
        buffers_proof,
        allowed=RACE,
    ),
)
