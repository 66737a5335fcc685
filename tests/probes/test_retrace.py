"""What the probe `retrace` sees in the stages of tf.data pipelines."""

from __future__ import annotations

import random

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.stages import pipeline
from batchaudit.analysis.tables import tables
from batchaudit.capture.rng import StreamReader
from batchaudit.journal.reader import load

tf = pytest.importorskip("tensorflow")

GENERATOR = tf.random.Generator.from_seed(1)


def numbers():
    return tf.data.Dataset.range(8)


def by_numpy(x):
    return tf.cast(x, tf.float64) + np.random.normal()


def by_a_generator_with_one_seed(x):
    return tf.cast(x, tf.float64) + np.random.default_rng(0).normal()


def by_python(x):
    return x + random.randint(0, 10**6)


def unseeded(x):
    return tf.cast(x, tf.float32) + tf.random.uniform([])


def seeded(x):
    return tf.cast(x, tf.float32) + tf.random.uniform([], seed=3)


def stateless(x):
    return tf.cast(x, tf.float32) + tf.random.stateless_uniform([], seed=[x, 1])


def generator(x):
    return tf.cast(x, tf.float32) + GENERATOR.uniform([])


def numpy_function(x):
    return tf.numpy_function(lambda y: y + np.random.normal(), [tf.cast(x, tf.float64)], tf.float64)


def nothing(x):
    return x + 1


def seen(folder, make):
    ba.audit(make, ["as-is"], epochs=1, probes=["retrace"], out=folder)
    log = load(folder)
    rows = log.events[log.events["strategy"].astype(str) == "probe retrace, serial"]
    return [(stage.name, set(stage.says)) for stage in pipeline(tables(rows, log.samples))]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (by_numpy, {"constant"}),
        (by_a_generator_with_one_seed, {"constant"}),
        (by_python, {"constant"}),
        (unseeded, {"random"}),
        (seeded, {"seeded"}),
        (stateless, {"stateless"}),
        (generator, {"generator"}),
        (numpy_function, {"python"}),
        (nothing, set()),
    ],
)
def test_what_a_function_draws(tmp_path, function, says):
    assert seen(tmp_path, lambda: numbers().map(function)) == [("Range", set()), ("Map", says)]


def test_the_stages_in_their_order(tmp_path):
    found = seen(
        tmp_path, lambda: numbers().map(nothing).cache().shuffle(4).map(unseeded).batch(2).prefetch(1)
    )
    assert [name for name, _ in found] == ["Range", "Map", "Cache", "Shuffle", "Map", "Batch", "Prefetch"]
    assert found[4][1] == {"random"}


def test_a_parallel_map_is_a_map(tmp_path):
    found = seen(tmp_path, lambda: numbers().map(unseeded, num_parallel_calls=2))
    assert found[-1] == ("Map", {"random"})


def test_a_function_that_makes_a_pipeline(tmp_path):
    found = seen(tmp_path, lambda: numbers().interleave(lambda i: tf.data.Dataset.range(3).map(seeded)))
    assert found[-1] == ("Interleave", {"seeded"})


def test_a_global_seed_seeds_what_has_none(tmp_path):
    def make():
        tf.random.set_seed(1)
        return numbers().map(unseeded)

    try:
        assert seen(tmp_path, make)[-1] == ("Map", {"seeded"})
    finally:
        tf.random.set_seed(None)


def test_a_branch_is_looked_into(tmp_path):
    def sometimes(x):
        if tf.random.uniform([]) > 0.5:
            return tf.cast(x, tf.float32) + 1.0
        return tf.cast(x, tf.float32)

    assert seen(tmp_path, lambda: numbers().map(sometimes))[-1] == ("Map", {"random"})


def test_streams_are_as_they_were(tmp_path):
    before = StreamReader().read()
    seen(tmp_path, lambda: numbers().map(nothing))
    assert StreamReader().read() == before


def test_a_python_source_is_not_traced(tmp_path):
    assert seen(tmp_path, lambda: [np.zeros((2, 2))] * 4) == []
