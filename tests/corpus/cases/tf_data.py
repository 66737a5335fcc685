"""tf.data: splits, and random numbers in traces and caches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    BATCH,
    COUNT,
    IMAGES,
    LABELS,
    draws_of,
    flat,
    numbers_of,
)
from tests.corpus.runs import audited, trained

Dataset = tf.data.Dataset
SPEC = (tf.TensorSpec([None, 8, 8], tf.float32), tf.TensorSpec([None], tf.float32))


def stored() -> Dataset:
    """The pictures, one by one."""
    return Dataset.from_tensor_slices((IMAGES, LABELS))


# -- T01: a split of what is shuffled anew ----------------------------------------------------------


def split(reshuffle: bool) -> tuple[Dataset, Dataset]:
    shuffled = stored().shuffle(COUNT, seed=1, reshuffle_each_iteration=reshuffle)
    return shuffled.take(COUNT // 4 * 3).batch(BATCH), shuffled.skip(COUNT // 4 * 3).batch(BATCH)


def fit_split(training: Dataset, validation: Dataset) -> None:
    bare.fit(keras, training, validation_data=validation)


def live_split(reshuffle: bool) -> ba.Report:
    def train(audit: ba.Audit) -> None:
        training, validation = split(reshuffle)
        fit_split(audit.wrap(training, name="train"), audit.wrap(validation, name="val"))

    return trained(train)


def split_proof() -> str:
    seen = []
    for reshuffle in (True, False):
        training, validation = (set(numbers_of(flat(bare.loop(part)))) for part in split(reshuffle))
        seen.append(len(training & validation))
    assert seen[0] > 0 == seen[1]
    return f"{seen[0]} pictures are trained and validated on in 3 epochs; without reshuffling {seen[1]}"


# -- T03, T04, caches: random numbers in a graph ----------------------------------------------------


def with_numpys_number() -> Dataset:
    """NumPy is asked once, while the map is traced."""
    return stored().shuffle(COUNT).map(lambda x, y: (x + np.float32(np.random.normal()), y)).batch(BATCH)


def random_brightness(image: Any, label: Any) -> Any:
    return image + tf.random.normal([]), label


def with_tensorflows_number() -> Dataset:
    return stored().shuffle(COUNT).map(random_brightness).batch(BATCH)


def cached_afterwards() -> Dataset:
    return stored().map(random_brightness).cache().shuffle(COUNT).batch(BATCH)


def cached_before() -> Dataset:
    return stored().cache().shuffle(COUNT).map(random_brightness).batch(BATCH)


def seeded_brightness() -> Dataset:
    """Each iterator begins the operation's random numbers anew."""
    tf.random.set_seed(1)
    return stored().map(random_brightness).batch(BATCH)


def brightness_of_a_generator() -> Dataset:
    """The repair: a `tf.random.Generator` goes on from iterator to iterator."""
    generator = tf.random.Generator.from_seed(1)
    return stored().map(lambda x, y: (x + generator.normal([]), y)).batch(BATCH)


def constant_proof() -> str:
    one, many = (
        len(set(draws_of(flat(bare.loop(make()))))) for make in (with_numpys_number, with_tensorflows_number)
    )
    assert one == 1
    assert many == 3 * COUNT
    return f"1 draw for all {COUNT} pictures of 3 epochs; in TensorFlow {many}"


def cache_proof() -> str:
    draws = [len(set(draws_of(flat(bare.loop(make()))))) for make in (cached_afterwards, cached_before)]
    assert draws == [COUNT, 3 * COUNT]
    return f"{draws[0]} draws in 3 epochs of {COUNT} pictures; cached before {draws[1]}"


def reset_proof() -> str:
    draws = [
        len(set(draws_of(flat(bare.loop(make()))))) for make in (seeded_brightness, brightness_of_a_generator)
    ]
    repeated = len(set(draws_of(bare.loop(seeded_brightness().repeat(3), epochs=1)[0])))
    assert draws == [COUNT, 3 * COUNT]
    assert repeated == 3 * COUNT
    return f"{draws[0]} draws in 3 epochs of {COUNT} pictures, {repeated} under repeat(3)"


FROZEN = frozenset({"frozen-augmentation"})


CASES = (
    Case(
        "T01",
        "tf.data",
        "take and skip of what is shuffled anew each epoch",
        frozenset({"split-leak"}),
        lambda: live_split(reshuffle=True),
        lambda: live_split(reshuffle=False),
        split_proof,
    ),
    Case(
        "T03",
        "tf.data",
        "np.random in a map: traced once",
        FROZEN,
        lambda: audited(with_numpys_number, "as-is"),
        lambda: audited(with_tensorflows_number, "as-is"),
        constant_proof,
    ),
    Case(
        "T04",
        "tf.data",
        "tf.random.set_seed, and an iterator for each epoch",
        frozenset({"rng-epoch-reset"}),
        lambda: audited(seeded_brightness, "as-is"),
        lambda: audited(brightness_of_a_generator, "as-is"),
        reset_proof,
    ),
    Case(
        "cached-map",
        "tf.data",
        "a random map before cache()",
        FROZEN,
        lambda: audited(cached_afterwards, "as-is"),
        lambda: audited(cached_before, "as-is"),
        cache_proof,
    ),
)
