"""tf_keras' own machinery, watched, against the same machinery unwatched."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf_keras")
pytest.importorskip("keras")

from batchaudit.errors import UsageError
from batchaudit.journal.layout import Flag
from batchaudit.strategies import Skip
from tests.loaders import (
    BrokenNumbers,
    Numbers,
    Passes,
    Table,
    batch,
    broken,
    content,
    empty,
    endless,
    numbers,
    numpy_noise,
    raising,
    slow,
)
from tests.strategies.frameworks import BrokenTfTable, NoisyTfTable, PyTable, TfTable

EIGHT = [content(batch(i)) for i in range(8)]


def fit(source, epochs, steps=None, workers=1, processes=False, shuffle=False):
    """What tf_keras' own `fit` would train on: its data handler over the user's own source."""
    from tf_keras.src.engine.data_adapter import DataHandler

    handler = DataHandler(
        source,
        epochs=epochs,
        steps_per_epoch=steps,
        workers=workers,
        use_multiprocessing=processes,
        shuffle=shuffle,
    )
    seen = []
    for _, batches in handler.enumerate_epochs():
        seen.append([])
        with handler.catch_stop_iteration():
            for _ in handler.steps():
                seen[-1].append(content(next(batches)))
    return seen


def seeded(run):
    np.random.seed(2)
    random.seed(2)
    return run()


@pytest.mark.parametrize("make", [TfTable, NoisyTfTable])
def test_sequences_are_equal_watched_and_unwatched(drive, make):
    plain = seeded(lambda: fit(make(), 2))
    driven = seeded(lambda: drive(make, "tf_keras-threads:1", epochs=2))
    assert [driven.epoch(0), driven.epoch(1)] == plain


# tf_keras itself waits 5 s at the end of each epoch of a Sequence that has workers: so one epoch.
@pytest.mark.parametrize("strategy", ["tf_keras-threads:3", "tf_keras-processes:2"])
def test_sequences_with_workers_are_equal_watched_and_unwatched(drive, strategy):
    plain = fit(TfTable(), 1, workers=int(strategy[-1]), processes="processes" in strategy)
    assert [drive(TfTable, strategy).epoch(0)] == plain == [EIGHT]


def test_shuffled_order_is_the_same(drive):
    plain = seeded(lambda: fit(TfTable(), 2, shuffle=True))
    driven = seeded(lambda: drive(TfTable, "tf_keras-threads:1,shuffle", epochs=2))
    assert [driven.epoch(0), driven.epoch(1)] == plain
    assert plain[0] != EIGHT


@pytest.mark.parametrize("make", [numbers, numpy_noise, Numbers])
def test_iterators_of_one_worker_are_equal_watched_and_unwatched(drive, make):
    plain = seeded(lambda: fit(make(12), 3, steps=4))
    driven = seeded(lambda: drive(lambda: make(12), "tf_keras-threads:1", epochs=3, steps=4))
    assert [driven.epoch(epoch) for epoch in range(3)] == plain


@pytest.mark.parametrize("strategy", ["tf_keras-processes:1", "tf_keras-processes:2"])
def test_forked_replicas_deliver_the_stream_each_with_the_peek_again(drive, strategy):
    workers = int(strategy[-1])
    driven = drive(numbers, strategy)
    produced = driven.of("produced")
    replayed = driven.flagged(Flag.REPLAYED)
    peeked = driven.flagged(Flag.PROBE)
    assert list(peeked.pid) == [os.getpid()]
    assert replayed.pid.is_unique
    assert set(replayed.digest_lo) == set(peeked.digest_lo)
    assert set(replayed.pid) == set(produced.pid) - {os.getpid()}
    assert len(replayed) <= workers
    # A worker that has come to the end ends the epoch: the others' last batches may be lost.
    assert set(driven.epoch(0)) <= set(EIGHT)
    assert 8 <= len(driven.epoch(0)) <= 8 * workers


def test_a_finite_generator_is_new_in_each_epoch(drive):
    driven = drive(numbers, "tf_keras-threads:1", epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]


@pytest.mark.parametrize("strategy", ["tf_keras-threads:1", "tf_keras-processes:2"])
def test_an_endless_generator_goes_on_across_epochs(drive, strategy):
    driven = drive(slow, strategy, epochs=2, steps=4)
    assert [len(driven.epoch(0)), len(driven.epoch(1))] == [4, 4]
    if strategy == "tf_keras-threads:1":
        assert driven.epoch(0) + driven.epoch(1) == EIGHT


@pytest.mark.parametrize("steps", [3, 6])
def test_steps_that_are_not_the_length_are_as_tf_keras_has_them(drive, steps):
    plain = fit(TfTable(), 3, steps=steps)
    driven = drive(TfTable, "tf_keras-threads:1", epochs=3, steps=steps)
    assert [driven.epoch(epoch) for epoch in range(3)] == plain


def test_the_peek_at_a_sequence_is_a_probe_and_not_delivered(drive):
    driven = drive(TfTable, "tf_keras-threads:1")
    probes = driven.flagged(Flag.PROBE)
    assert list(probes["index"]) == [0]
    assert not set(probes.ticket) & set(driven.of("delivered").ticket)


def test_the_peek_at_a_generator_is_delivered_by_one_worker(drive):
    driven = drive(numbers, "tf_keras-threads:1")
    probes = driven.flagged(Flag.PROBE)
    assert list(driven.of("delivered").ticket[:1]) == list(probes.ticket)
    assert len(driven.of("produced")) == 8


def test_hooks_are_called_as_without_us(drive):
    plain, watched = TfTable(), TfTable()
    fit(plain, 2)
    drive(lambda: watched, "tf_keras-threads:1", epochs=2, renewable=False)
    assert (watched.begun, watched.ended) == (plain.begun, plain.ended)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_other_start_methods(drive, start):
    driven = drive(TfTable, f"tf_keras-processes:1,start={start}")
    assert driven.epoch(0) == EIGHT
    assert multiprocessing.get_start_method(allow_none=True) in (None, "fork")


SKIPPED = {
    "a generator, spawned": (numbers, "tf_keras-processes:2,start=spawn", "generator"),
    "a generator, from a server": (numbers, "tf_keras-processes:2,start=forkserver", "generator"),
    "a dataset of Keras 3": (PyTable, "tf_keras-processes:2", "PyTable"),
    "a plain table": (Table, "tf_keras-threads:2", "Table"),
    "an iterable": (Passes, "tf_keras-threads:2", "Passes"),
}


@pytest.mark.parametrize("case", SKIPPED)
def test_what_tf_keras_does_not_take_is_skipped_with_a_reason(drive, case):
    make, strategy, word = SKIPPED[case]
    assert word in str(drive(make, strategy, fails=Skip).error)


@pytest.mark.parametrize("make", [lambda: TfTable(0), empty])
def test_a_source_without_batches_is_said_to_have_none(drive, make):
    assert "no batch" in str(drive(make, "tf_keras-threads:1", fails=UsageError).error)


# -- mishaps --------------------------------------------------------------------------------------

FAILING = {
    "generator": lambda kind: lambda: broken(kind, os.getpid()),
    "iterator": lambda kind: lambda: BrokenNumbers(kind),
    "sequence": lambda kind: lambda: BrokenTfTable(kind),
}


def no_process_is_left():
    return [child for child in multiprocessing.active_children() if child.name.startswith("Keras")] == []


@pytest.mark.parametrize(
    ("kind", "words"), [("exit 3", "exit code 3"), ("exit 0", "exit code 0"), ("kill", "SIGKILL")]
)
@pytest.mark.parametrize("source", FAILING)
def test_a_dead_worker_is_an_error_that_says_how_it_died(drive, source, kind, words):
    driven = drive(FAILING[source](kind), "tf_keras-processes:2", fails=True)
    assert words in str(driven.error)
    assert no_process_is_left()


@pytest.mark.parametrize("source", FAILING)
def test_a_worker_that_raises_is_an_error_with_its_own_traceback(drive, source):
    driven = drive(FAILING[source]("raise"), "tf_keras-processes:2", fails=True)
    assert 'raise ValueError("the third batch is broken")' in str(driven.error)
    assert 'loaders.py", line' in str(driven.error)
    assert no_process_is_left()


@pytest.mark.parametrize("source", ["generator", "sequence"])
def test_a_worker_that_hangs_is_given_up_after_the_timeout(drive, source):
    driven = drive(FAILING[source]("hang"), "tf_keras-processes:2", timeout=2.0, fails=True)
    assert "2 s" in str(driven.error)
    assert no_process_is_left()


def test_threads_that_collide_in_a_generator_are_told_so(drive):
    driven = drive(slow, "tf_keras-threads:4", steps=20, fails=True)
    assert "thread-safe" in str(driven.error) or "already executing" in str(driven.error)


def test_a_generator_that_raises_is_an_error_with_its_own_traceback(drive):
    driven = drive(raising, "tf_keras-threads:1", fails=True)
    assert 'raise ValueError("the third batch is broken")' in str(driven.error)


def test_an_endless_generator_needs_the_length_of_its_epoch(drive, monkeypatch):
    monkeypatch.setattr("batchaudit.strategies.job.MOST_BATCHES", 20)
    driven = drive(endless, "tf_keras-threads:1", fails=UsageError)
    assert "steps_per_epoch" in str(driven.error)


def larger_than_a_pipe():
    while True:
        yield np.zeros((32, 64, 64))


def test_workers_that_still_have_batches_to_send_end_in_time():
    # `Pool.terminate` waits for ever for a lock that a worker holds whose batch nobody takes any more: before it
    # was done without, one audit in four or so hung here.
    import batchaudit as ba

    for _ in range(3):
        (run,) = ba.audit(larger_than_a_pipe, ["tf_keras-processes:4"], epochs=1, steps_per_epoch=32).runs
        assert run.error is None
    assert multiprocessing.active_children() == []


# -- beside what the program itself does ----------------------------------------------------------


def test_a_queue_that_the_program_still_has_is_neither_sent_nor_disturbed(drive):
    from tf_keras.src.utils.data_utils import GeneratorEnqueuer

    own = GeneratorEnqueuer(iter(range(10**6)))
    own.start(workers=1, max_queue_size=1)
    try:
        taken = own.get()
        before = [next(taken) for _ in range(3)]
        assert drive(TfTable, "tf_keras-threads:2").epoch(0) == EIGHT
        assert [*before, *(next(taken) for _ in range(5))] == list(range(8))
    finally:
        own.stop()


def test_a_queue_of_the_program_s_that_cannot_be_sent_holds_up_nobody(drive):
    from tf_keras.src.utils.data_utils import GeneratorEnqueuer

    own = GeneratorEnqueuer(i for i in range(10**6))  # a generator: it does not pickle
    own.start(workers=1, max_queue_size=1)
    try:
        assert drive(TfTable, "tf_keras-processes:1,start=spawn").epoch(0) == EIGHT
    finally:
        own.stop()


class Guarded(TfTable):
    def __len__(self):
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("not from this thread")
        return super().__len__()


def test_what_the_thread_raises_that_fills_the_queue_is_told(drive):
    driven = drive(Guarded, "tf_keras-processes:2", fails=True)
    assert "thread that feeds the workers" in str(driven.error) and "not from this thread" in str(
        driven.error
    )
