from __future__ import annotations

import time

import numpy as np
import pytest

from batchaudit.journal.layout import Flag
from batchaudit.sources import kind_of, watch
from batchaudit.sources.kinds import Kind
from batchaudit.sources.tf_data import noting
from tests.loaders import content, numbers

tf = pytest.importorskip("tensorflow")

ROWS = np.arange(12, dtype=np.int64)


def from_generator():
    return tf.data.Dataset.from_generator(
        numbers, output_signature=(tf.TensorSpec([None, 3], tf.float32), tf.TensorSpec([None], tf.int64))
    )


def ragged():
    lengths = tf.ragged.constant([[1, 2], [3], [], [4, 5, 6]])
    return tf.data.Dataset.from_tensor_slices((lengths, ROWS[:4])).batch(2)


def sparse():
    matrix = tf.sparse.from_dense(np.eye(6, dtype=np.float32))
    return tf.data.Dataset.from_tensor_slices({"x": matrix, "y": ROWS[:6]}).batch(2)


def nested():
    parts = {"a": (ROWS, {"b": ROWS * 2.0}), "c": np.array([str(i) for i in ROWS])}
    return tf.data.Dataset.from_tensor_slices(parts).batch(4)


def shuffled():
    tf.random.set_seed(11)
    return tf.data.Dataset.from_tensor_slices(ROWS).shuffle(12).batch(3)


def drawn_in_the_graph():
    tf.random.set_seed(12)
    return tf.data.Dataset.from_tensor_slices(ROWS).map(lambda i: (i, tf.random.uniform([]))).batch(3)


def with_none():
    return tf.data.Dataset.from_tensor_slices((ROWS, ROWS)).batch(3).map(lambda x, y: (x, None, y))


def parallel():
    return (
        tf.data.Dataset.from_tensor_slices(ROWS)
        .map(lambda i: i * i, num_parallel_calls=2)
        .batch(3)
        .prefetch(2)
    )


def deferred():
    """Of shapes that are known only when the elements are there."""
    return tf.data.Dataset.from_tensor_slices(ROWS).padded_batch(5).map(lambda x: tf.boolean_mask(x, x > 1))


DATASETS = [
    from_generator,
    ragged,
    sparse,
    nested,
    shuffled,
    drawn_in_the_graph,
    with_none,
    parallel,
    deferred,
]


def two_passes(dataset):
    return [[content(element) for element in dataset] for _ in range(2)]


@pytest.mark.parametrize("make", DATASETS)
def test_watched_and_unwatched_are_equal(make, recorder, events):
    plain = two_passes(make())
    watched = two_passes(watch(make(), recorder))
    assert watched == plain
    assert len(events.produced) == sum(map(len, plain)) > 0
    assert all(event.flags & Flag.UNHASHABLE == 0 for event in events.produced)


@pytest.mark.parametrize("make", DATASETS)
def test_its_type_and_what_it_is_made_of_stay(make, recorder):
    dataset = make()
    watched = watch(dataset, recorder)
    assert isinstance(watched, tf.data.Dataset)
    assert kind_of(watched) is Kind.DATASET
    assert watched.element_spec == dataset.element_spec
    assert int(watched.cardinality()) == int(dataset.cardinality())
    for element, same in zip(dataset.take(1), watched, strict=False):
        tf.nest.assert_same_structure(element, same, expand_composites=True)
        assert tf.nest.map_structure(type, element) == tf.nest.map_structure(type, same)


def test_each_iterator_is_noted(recorder, events):
    two_passes(watch(shuffled(), recorder))
    assert [event.text for event in events if event.text] == ["iterator", "iterator"]


def test_the_consumer_may_be_compiled(recorder, events):
    watched = watch(nested(), recorder)
    iterator = iter(watched)

    @tf.function
    def train_step():
        return tf.reduce_sum(next(iterator)["a"][0])

    assert [int(train_step()) for _ in range(3)] == [6, 22, 38]
    assert len(events.produced) == 3


def test_an_error_in_the_pipeline_stays_the_same_error(recorder):
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).map(
        lambda i: tf.debugging.check_numerics(1.0 / tf.cast(5 - i, tf.float32), "no")
    )
    watched = watch(dataset, recorder)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(dataset)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(watched)


# -- a stage that tells ---------------------------------------------------------------------------


def with_optional():
    return tf.data.Dataset.from_tensor_slices(ROWS).map(lambda x: (x, tf.experimental.Optional.from_value(x)))


def windows():
    return tf.data.Dataset.from_tensor_slices(ROWS).window(4)


def by_value(element):
    """What `content` makes of an element, without what has none: datasets and optionals."""
    if isinstance(element, tuple):
        return tuple(by_value(part) for part in element)
    if isinstance(element, (tf.data.Dataset, tf.experimental.Optional)):
        return None
    return content(element)


@pytest.mark.parametrize("make", [*DATASETS, with_optional, windows])
def test_what_is_told_is_what_passes(make):
    told = []
    dataset = make()
    staged = noting(dataset, lambda element, waited_ns: told.append((by_value(element), waited_ns)))
    assert staged.element_spec == dataset.element_spec
    assert int(staged.cardinality()) == int(dataset.cardinality())
    passed = [by_value(element) for element in staged]
    assert [element for element, _ in told] == passed
    assert len(passed) > 0
    assert all(waited >= 0 for _, waited in told)


@pytest.mark.parametrize("make", [*DATASETS, windows])
def test_no_more_is_told_than_was_taken(make):
    told = []
    iterator = iter(noting(make(), lambda element, waited_ns: told.append(element)))
    next(iterator), next(iterator)
    assert len(told) == 2


def test_what_the_told_one_raises_is_nobodys():
    def note(element, waited_ns):
        raise ValueError("not the user's")

    assert [row.numpy() for row in noting(tf.data.Dataset.range(3), note)] == [0, 1, 2]


def test_the_pipelines_own_prefetch_stays_where_it_was():
    def made_ahead(wrap):
        made = []

        def rows():
            for row in range(100):
                made.append(row)
                yield row

        ended = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec([], tf.int64))
        iterator = iter(wrap(ended))
        taken = [int(next(iterator)) for _ in range(3)]
        deadline = time.monotonic() + 20
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        return taken, len(made) >= 4

    assert made_ahead(lambda dataset: dataset) == made_ahead(lambda dataset: noting(dataset, lambda *_: None))


def test_a_distributed_dataset_is_left_alone():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    distributed = strategy.experimental_distribute_dataset(tf.data.Dataset.range(4).batch(2))
    assert noting(distributed, lambda *_: None) is distributed
