"""Keras 3's own machinery, watched, against the same machinery unwatched."""

from __future__ import annotations

import multiprocessing
import random

import numpy as np
import pytest

pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tf_keras")

from batchaudit.errors import UsageError  # noqa: E402
from batchaudit.journal.layout import Flag  # noqa: E402
from batchaudit.strategies import Skip  # noqa: E402
from tests.loaders import Numbers, Table, batch, content, empty, numbers, numpy_noise, raising  # noqa: E402
from tests.strategies.frameworks import (  # noqa: E402
    BrokenPyTable,
    EndlessPyTable,
    NoisyPyTable,
    NoSuper,
    PyTable,
    TfTable,
)

EIGHT = [content(batch(i)) for i in range(8)]
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def fit(source, epochs, steps=None, shuffle=False):
    """What Keras' own `fit` would train on: its epoch iterator over the user's own source."""
    from keras.src.trainers.epoch_iterator import EpochIterator

    options = {"x": source, "steps_per_epoch": steps, "shuffle": shuffle}
    if ON_TENSORFLOW:
        import tensorflow as tf
        from keras.src.backend.tensorflow.trainer import TFEpochIterator

        iterator = TFEpochIterator(distribute_strategy=tf.distribute.get_strategy(), **options)
    else:
        iterator = EpochIterator(**options)
    iterator.reset()
    seen = []
    for _ in range(epochs):
        seen.append([])
        with iterator.catch_stop_iteration():
            for _, _, batches in iterator:
                for item in batches if isinstance(batches, list) else [next(batches)]:
                    seen[-1].append(content(item))
    return seen


def seeded(run):
    np.random.seed(2)
    random.seed(2)
    return run()


@pytest.mark.parametrize("make", [PyTable, NoisyPyTable])
@pytest.mark.parametrize("strategy", ["keras-threads:1", "keras-threads:3", "keras-processes:2"])
def test_watched_and_unwatched_are_equal(drive, make, strategy):
    workers, processes = int(strategy[-1]), "processes" in strategy
    plain = seeded(lambda: fit(make(workers=workers, use_multiprocessing=processes), 2))
    driven = seeded(lambda: drive(make, strategy, epochs=2))
    watched = [driven.epoch(0), driven.epoch(1)]
    if make is PyTable or strategy == "keras-threads:1":
        assert watched == plain  # which worker draws first is nobody's promise
    rows = [[item[1] for item in epoch] for epoch in watched]
    assert rows == [[item[1] for item in epoch] for epoch in plain]


def test_shuffled_order_is_the_same(drive):
    plain = seeded(lambda: fit(PyTable(), 2, shuffle=True))
    driven = seeded(lambda: drive(PyTable, "keras-threads:1,shuffle", epochs=2))
    assert [driven.epoch(0), driven.epoch(1)] == plain
    assert plain[0] != EIGHT


@pytest.mark.parametrize("make", [numbers, numpy_noise])
def test_a_generator_of_steps_is_equal_peeks_and_all(drive, make):
    plain = seeded(lambda: fit(make(12), 3, steps=4))
    driven = seeded(lambda: drive(lambda: make(12), "keras-threads:1", epochs=3, steps=4))
    assert [driven.epoch(epoch) for epoch in range(3)] == plain


def test_a_finite_generator_is_new_in_each_epoch(drive):
    driven = drive(numbers, "keras-threads:1", epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]


@pytest.mark.parametrize("steps", [3, 6])
def test_steps_that_are_not_the_length_are_as_keras_has_them(drive, steps):
    plain = fit(PyTable(), 3, steps=steps)
    driven = drive(PyTable, "keras-threads:1", epochs=3, steps=steps)
    assert [driven.epoch(epoch) for epoch in range(3)] == plain


def test_an_endless_dataset_runs_by_its_steps(drive):
    driven = drive(EndlessPyTable, "keras-threads:2", epochs=2, steps=3)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT[:3], EIGHT[3:6]]


def test_peeks_are_probes_and_not_delivered(drive):
    driven = drive(PyTable, "keras-threads:2", epochs=1)
    probes = driven.flagged(Flag.PROBE)
    assert list(probes["index"]) == ([0, 1] if ON_TENSORFLOW else [])
    assert not set(probes.ticket) & set(driven.of("delivered").ticket)
    assert len(driven.of("produced")) == 8 + len(probes)


def test_a_generators_peeks_are_delivered(drive):
    driven = drive(numbers, "keras-threads:1", epochs=1)
    probes = driven.flagged(Flag.PROBE)
    assert len(probes) == 2
    assert list(driven.of("delivered").ticket[:2]) == list(probes.ticket)
    assert len(driven.of("produced")) == 8


def test_as_is_is_the_datasets_own_settings(drive):
    driven = drive(lambda: PyTable(workers=2, use_multiprocessing=True), "as-is", epochs=1)
    inside = driven.of("produced").drop(driven.flagged(Flag.PROBE).index)
    assert driven.epoch(0) == EIGHT
    assert inside.pid.nunique() <= 2
    assert not set(inside.pid) & set(driven.of("delivered").pid)


def test_a_datasets_settings_are_given_back(drive):
    dataset = PyTable(workers=3, max_queue_size=5)
    drive(lambda: dataset, "keras-processes:2,queue=4", renewable=False)
    assert (dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size) == (3, False, 5)


@pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call")
@pytest.mark.parametrize("strategy", ["keras-threads:2", "serial", "fork:2", "as-is"])
def test_a_dataset_that_forgets_super_is_driven_all_the_same(drive, strategy):
    assert drive(NoSuper, strategy).epoch(0) == EIGHT


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_other_start_methods(drive, start):
    driven = drive(PyTable, f"keras-processes:1,start={start}")
    assert driven.epoch(0) == EIGHT
    assert multiprocessing.get_start_method(allow_none=True) in (None, "fork")


SKIPPED = {
    "a generator under processes": (numbers, "keras-processes:2", "generator"),
    "a generator under threads": (numbers, "keras-threads:2", "generator"),
    "an iterator": (Numbers, "keras-threads:1", "Numbers"),
    "a plain table": (Table, "keras-threads:2", "Table"),
    "a Sequence of tf_keras": (TfTable, "keras-processes:2", "TfTable"),
    "what does not pickle": (lambda: _unpicklable(), "keras-processes:2,start=spawn", "spawn"),
}


def _unpicklable():
    table = PyTable()
    table.hook = lambda: None
    return table


@pytest.mark.parametrize("case", SKIPPED)
def test_what_keras_does_not_take_is_skipped_with_a_reason(drive, case):
    make, strategy, word = SKIPPED[case]
    assert word in str(drive(make, strategy, fails=Skip).error)


@pytest.mark.parametrize("make", [lambda: PyTable(0), empty])
def test_a_source_without_batches_is_said_to_have_none(drive, make):
    assert "no batch" in str(drive(make, "keras-threads:1", fails=UsageError).error)


# -- mishaps --------------------------------------------------------------------------------------


def no_process_is_left():
    return [child for child in multiprocessing.active_children() if child.name.startswith("Keras")] == []


@pytest.mark.parametrize(
    ("kind", "words"), [("exit 3", "exit code 3"), ("exit 0", "exit code 0"), ("kill", "SIGKILL")]
)
def test_a_dead_worker_is_an_error_that_says_how_it_died(drive, kind, words):
    driven = drive(lambda: BrokenPyTable(kind), "keras-processes:2", fails=True)
    assert words in str(driven.error)
    assert no_process_is_left()


def test_a_worker_that_raises_is_an_error_with_its_own_traceback(drive):
    driven = drive(lambda: BrokenPyTable("raise"), "keras-processes:2", fails=True)
    assert 'raise ValueError("the third batch is broken")' in str(driven.error)
    assert 'loaders.py", line' in str(driven.error)
    assert no_process_is_left()


def test_a_worker_that_hangs_is_given_up_after_the_timeout(drive):
    driven = drive(lambda: BrokenPyTable("hang"), "keras-processes:2", timeout=2.0, fails=True)
    assert "2 s" in str(driven.error)
    assert no_process_is_left()


def test_a_generator_that_raises_is_an_error_with_its_own_traceback(drive):
    driven = drive(raising, "keras-threads:1", fails=True)
    assert 'raise ValueError("the third batch is broken")' in str(driven.error)


class RaisingPyTable(PyTable):
    def __getitem__(self, index):
        if index == 5:
            raise ValueError("the sixth batch is broken")
        return batch(index)


def test_a_thread_that_raises_is_an_error_with_its_own_traceback(drive):
    driven = drive(RaisingPyTable, "keras-threads:2", fails=True)
    assert 'raise ValueError("the sixth batch is broken")' in str(driven.error)
