from __future__ import annotations

import gc
import random

import numpy as np
import pytest

from batchaudit.errors import UsageError
from batchaudit.probes.forked import in_fork
from batchaudit.strategies import Skip
from tests.loaders import (
    NoisyTable,
    Numbers,
    Passes,
    Table,
    batch,
    content,
    empty,
    endless,
    numbers,
    numpy_noise,
    raising,
)

tf = pytest.importorskip("tensorflow")

EIGHT = [content(batch(i)) for i in range(8)]
KINDS = {"generator": numbers, "iterator": Numbers, "iterable": Passes, "table": Table, "noise": numpy_noise}


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_is_the_source_itself(drive, kind):
    np.random.seed(4)
    plain = [content(item) for item in KINDS[kind]()] if kind != "table" else EIGHT
    np.random.seed(4)
    driven = drive(KINDS[kind], "tf.data:1", epochs=2)
    if kind != "noise":  # the first look, for the types, has drawn
        assert [driven.epoch(0), driven.epoch(1)] == [plain, plain]
    assert [item[1] for item in driven.epoch(1)] == [item[1] for item in plain]


def test_indices_are_mapped_in_order(drive):
    driven = drive(Table, "tf.data:3", epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]


def test_copies_of_a_generator_are_interleaved(drive):
    driven = drive(numbers, "tf.data:3")
    assert sorted(driven.epoch(0)) == sorted(EIGHT * 3)
    assert sorted(
        driven.of("delivered").merge(driven.of("produced"), on="ticket").framework_worker_y
    ) == sorted([0, 1, 2] * 8)


def test_an_endless_generator_has_epochs_of_its_steps(drive):
    driven = drive(endless, "tf.data:1", epochs=2, steps=4)
    assert driven.epoch(0) + driven.epoch(1) == EIGHT


def dataset():
    tf.random.set_seed(3)
    return tf.data.Dataset.range(12).shuffle(12).batch(3)


@pytest.mark.parametrize("strategy", ["serial", "as-is"])
def test_a_dataset_runs_as_it_is(drive, strategy):
    made = dataset()
    plain = [[content(item) for item in made] for _ in range(2)]
    assert plain[0] != plain[1]
    driven = drive(dataset, strategy, epochs=2, renewable=False)
    assert [driven.epoch(0), driven.epoch(1)] == plain


@pytest.mark.parametrize("strategy", ["fork:2", "threads:2", "tf.data:2"])
def test_a_dataset_is_skipped_with_a_reason_by_what_cannot_run_it(drive, strategy):
    assert "as-is" in str(drive(dataset, strategy, fails=Skip).error)


def test_what_cannot_be_made_anew_cannot_be_copied(drive):
    assert "callable" in str(drive(numbers, "tf.data:2", renewable=False, fails=Skip).error)


def test_what_tensorflow_has_no_type_for_is_skipped(drive):
    assert "no type" in str(drive(lambda: iter([(batch(0)[0], None)]), "tf.data:1", fails=Skip).error)


def test_a_source_without_batches_is_said_to_have_none(drive):
    for make in (empty, list):
        assert "no batch" in str(drive(make, "tf.data:1", fails=UsageError).error)


class RaisingTable(Table):
    def __getitem__(self, index):
        if index == 2:
            raise ValueError("the third batch is broken")
        return batch(index)


@pytest.mark.parametrize("make", [raising, RaisingTable])
def test_a_source_that_raises_is_an_error_with_its_own_traceback(drive, make):
    driven = drive(make, "tf.data:2", fails=True)
    assert 'raise ValueError("the third batch is broken")' in str(driven.error)


def test_python_and_numpy_draw_on_as_if_nothing_had_been(drive):
    np.random.seed(1), random.seed(1)
    expected = np.random.random(), random.random()
    np.random.seed(1), random.seed(1)
    drive(NoisyTable, "tf.data:2")
    assert (np.random.random(), random.random()) == expected


class Collecting:
    """Its workers run the collector."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        gc.collect()
        return np.full((2, 3), index)


def leave_garbage():
    """A pass that was not ended, in a cycle; the collector has to be off, or it may be gone by the fork."""
    pipeline = (
        tf.data.Dataset.range(10_000).map(lambda n: n * 2, num_parallel_calls=4).shuffle(100).prefetch(4)
    )
    left = [iter(pipeline)]
    next(left[0])
    left.append(left)


@pytest.fixture
def without_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    assert gc.get_freeze_count() == 0


def test_what_a_pass_left_behind_is_not_destroyed_in_a_forked_worker(drive, without_collector):
    leave_garbage()
    assert len(drive(Collecting, "fork:2").delivered) == 4


def test_nor_in_a_process_that_is_forked_for_a_probe(without_collector):
    leave_garbage()
    assert in_fork(lambda: gc.collect() >= 0, seconds=60)
