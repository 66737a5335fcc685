"""Healthy tf.data pipelines, with what looks like a defect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Healthy
from tests.corpus.pictures import ALL, ALL_LABELS, BATCH, BATCHES, COUNT
from tests.corpus.runs import audited, trained

Dataset = tf.data.Dataset


def stored(count: int = COUNT) -> Dataset:
    return Dataset.from_tensor_slices((ALL[:count], ALL_LABELS[:count].astype("float32")))


def shuffled_then_repeated() -> Dataset:
    return stored().shuffle(COUNT).repeat().batch(BATCH)


def repeated_then_shuffled() -> Dataset:
    """Epochs flow into each other: some pictures come twice in one, and then in the next not at all."""
    return stored().repeat().shuffle(COUNT // 2).batch(BATCH)


def cached() -> Dataset:
    return stored().cache().shuffle(COUNT).batch(BATCH).prefetch(2)


def last_part() -> Dataset:
    return stored(COUNT + 5).shuffle(COUNT).batch(BATCH)


def any_order() -> Dataset:
    """Four calls at a time, and whichever is ready first is next."""
    calls = {"num_parallel_calls": 4, "deterministic": False}
    return stored().map(lambda x, y: (x * 2 - 1, y), **calls).batch(BATCH)


def as_dictionaries() -> Dataset:
    return stored().shuffle(COUNT).map(lambda x, y: {"image": x, "label": y}).batch(BATCH)


def ragged() -> Dataset:
    rows = tf.ragged.range([3 + index % 11 for index in range(COUNT)])
    return Dataset.from_tensor_slices((rows, tf.range(COUNT))).shuffle(COUNT).batch(BATCH)


def fresh_noise() -> Dataset:
    return stored().shuffle(COUNT).map(lambda x, y: (x + tf.random.normal([]), y)).batch(BATCH)


def live(make: Callable[[], Any], steps: int | None = None) -> ba.Report:
    def train(audit: ba.Audit) -> None:
        bare.fit(keras, audit.wrap(make(), name="train"), steps=steps)

    return trained(train)


def as_is(make: Callable[[], Any]) -> ba.Report:
    return audited(make, "as-is")


HEALTHY = (
    Healthy("shuffle-repeat", "tf.data", "shuffle().repeat()", lambda: live(shuffled_then_repeated, BATCHES)),
    Healthy("repeat-shuffle", "tf.data", "repeat().shuffle()", lambda: live(repeated_then_shuffled, BATCHES)),
    Healthy("cached-data", "tf.data", "a cache of what is not augmented", lambda: as_is(cached)),
    Healthy("last-part", "tf.data", "a last batch that is shorter", lambda: as_is(last_part)),
    Healthy("any-order", "tf.data", "an order that depends on who is first", lambda: as_is(any_order)),
    Healthy("dictionaries", "tf.data", "batches are dictionaries", lambda: as_is(as_dictionaries)),
    Healthy("ragged", "tf.data", "ragged tensors", lambda: as_is(ragged)),
    Healthy("tf-noise", "tf.data", "new random numbers in the graph each time", lambda: live(fresh_noise)),
)
