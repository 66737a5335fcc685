"""serial, threads:N and fork:N: what is delivered, how often, and what happens when a worker fails."""

from __future__ import annotations

import itertools
import multiprocessing
import os

import numpy as np
import pytest

from batchaudit.errors import UsageError
from batchaudit.strategies import Skip
from tests.loaders import (
    Broken,
    BrokenNumbers,
    NoisyTable,
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
    private_noise,
    raising,
    slow,
    unsendable,
)

EIGHT = [content(batch(i)) for i in range(8)]
KINDS = {
    "generator": numbers,
    "iterator": Numbers,
    "map": lambda: map(batch, range(8)),
    "iterable": Passes,
    "list": lambda: [batch(i) for i in range(8)],
    "table": Table,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["serial", "as-is"])
def test_serial_delivers_each_batch_in_order_in_each_epoch(drive, kind, strategy):
    driven = drive(KINDS[kind], strategy, epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]
    assert list(driven.of("delivered").step) == [*range(8), *range(8)]


@pytest.mark.parametrize(
    "strategy", ["threads:3", "fork:3", "threads:1", "fork:1", "fork:2,queue=1", "threads:2,queue=1"]
)
@pytest.mark.parametrize("kind", ["list", "table"])
def test_indices_are_dealt_out_in_order(drive, kind, strategy):
    driven = drive(KINDS[kind], strategy, epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]
    assert list(driven.of("produced").sort_values("index")["index"]) == sorted([*range(8), *range(8)])


@pytest.mark.parametrize("kind", ["iterator", "map", "iterable"])
def test_one_thread_delivers_in_order(drive, kind):
    driven = drive(KINDS[kind], "threads:1", epochs=2)
    assert [driven.epoch(0), driven.epoch(1)] == [EIGHT, EIGHT]


def test_a_locked_iterator_loses_nothing_between_threads(drive):
    driven = drive(lambda: map(batch, range(8)), "threads:4", epochs=2)  # `map` moves on in one step
    assert [sorted(driven.epoch(0)), sorted(driven.epoch(1))] == [sorted(EIGHT), sorted(EIGHT)]


@pytest.mark.parametrize("kind", ["generator", "iterator", "map", "iterable"])
@pytest.mark.parametrize("strategy", ["fork:2", "fork:3,queue=2"])
def test_each_forked_replica_walks_the_whole_stream(drive, kind, strategy):
    workers = int(strategy[5])
    driven = drive(KINDS[kind], strategy, epochs=2)
    for epoch in (0, 1):
        assert sorted(driven.epoch(epoch)) == sorted(EIGHT * workers)
    by_worker = driven.of("produced").groupby("pid").digest_lo.apply(list)
    assert len(by_worker) == 2 * workers
    assert len({tuple(digests) for digests in by_worker}) == 1
    assert os.getpid() not in by_worker.index


@pytest.mark.parametrize("strategy", ["serial", "fork:2"])
def test_an_endless_source_goes_on_across_epochs(drive, strategy):
    driven = drive(endless, strategy, epochs=2, steps=4)
    workers = int(strategy.partition(":")[2] or 1)
    assert [len(driven.epoch(0)), len(driven.epoch(1))] == [4, 4]
    each = 8 // workers
    assert sorted(driven.epoch(0) + driven.epoch(1)) == sorted(EIGHT[:each] * workers)


@pytest.mark.parametrize("strategy", ["serial", "threads:2", "fork:2"])
@pytest.mark.parametrize("steps", [3, 8, 11])
def test_an_epoch_of_steps_goes_on_where_the_last_one_stopped(drive, strategy, steps):
    driven = drive(Table, strategy, epochs=3, steps=steps)
    stream = [item for _, _, item in driven.delivered]
    if steps == 3:  # the pass ends within the third epoch, and the epoch with it
        assert (stream, [len(driven.epoch(epoch)) for epoch in range(3)]) == (EIGHT, [3, 3, 2])
    elif steps == 8:
        assert stream == EIGHT * 3
    else:  # a pass that is too short ends its epoch
        assert [len(driven.epoch(epoch)) for epoch in range(3)] == [8, 8, 8]


def test_a_finite_generator_that_cannot_be_made_anew_ends_the_run(drive):
    driven = drive(numbers, "serial", epochs=3, renewable=False)
    assert [len(driven.epoch(epoch)) for epoch in range(3)] == [8, 0, 0]


def test_hooks_are_called_once_an_epoch_in_the_parent(drive):
    for strategy in ("serial", "threads:2", "fork:2"):
        table = Table()
        driven = drive(lambda table=table: table, strategy, epochs=3, renewable=False)
        assert table.begun == table.ended == [os.getpid()] * 3
        assert list(driven.of("hook").text) == ["on_epoch_begin", "on_epoch_end"] * 3


@pytest.mark.parametrize("strategy", ["serial", "threads:2", "fork:2"])
def test_a_source_without_batches_is_said_to_have_none(drive, strategy):
    for make in (empty, list, lambda: Table(0)):
        driven = drive(make, strategy, fails=UsageError)
        assert "no batch" in str(driven.error)


def test_an_endless_source_needs_the_length_of_its_epoch(drive, monkeypatch):
    monkeypatch.setattr("batchaudit.strategies.job.MOST_BATCHES", 20)
    driven = drive(endless, "serial", fails=UsageError)
    assert "steps_per_epoch" in str(driven.error)


# -- what becomes of NumPy's stream in a worker ---------------------------------------------------


def draws(driven):
    return [x for _, _, ((_, _, x), _) in driven.delivered]


def test_inherited_streams_are_clones(drive):
    driven = drive(numpy_noise, "fork:2,seed=inherit")
    assert len(set(draws(driven))) == 8 == len(draws(driven)) // 2


@pytest.mark.parametrize("seed", ["fresh", "7"])
def test_seeded_streams_differ(drive, seed):
    assert len(set(draws(drive(numpy_noise, f"fork:2,seed={seed}")))) == 16


def test_a_number_makes_the_run_repeat(drive):
    first, again, other = (sorted(draws(drive(numpy_noise, f"fork:2,seed={seed}"))) for seed in (7, 7, 9))
    assert first == again != other


def test_a_private_stream_is_not_seeded(drive):
    assert len(set(draws(drive(private_noise, "fork:2,seed=fresh")))) == 8


@pytest.mark.parametrize("strategy", ["fork:2,seed=5", "fork:2"])
def test_the_parent_draws_on_as_if_nothing_had_been(drive, strategy):
    np.random.seed(3)
    expected = np.random.random(2)
    np.random.seed(3)
    first = np.random.random()
    drive(NoisyTable, strategy)
    assert [first, np.random.random()] == list(expected)


# -- mishaps --------------------------------------------------------------------------------------

DEATHS = {"exit 3": "exit code 3", "exit 0": "exit code 0", "kill": "SIGKILL"}
FAILING = {
    "generator": lambda kind: lambda: broken(kind, os.getpid()),
    "iterator": lambda kind: lambda: BrokenNumbers(kind),
    "table": lambda kind: lambda: Broken(kind),
}


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("source", FAILING)
def test_a_dead_worker_is_an_error_that_says_how_it_died(drive, source, death):
    driven = drive(FAILING[source](death), "fork:2", fails=True)
    assert DEATHS[death] in str(driven.error)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("source", FAILING)
def test_a_worker_that_raises_is_an_error_with_its_own_traceback(drive, source):
    driven = drive(FAILING[source]("raise"), "fork:2", fails=True)
    text = str(driven.error)
    assert "ValueError: the third batch is broken" in text
    assert 'loaders.py", line' in text
    assert 'raise ValueError("the third batch is broken")' in text
    assert "ValueError" in set(driven.of("raised").text)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("source", FAILING)
def test_a_worker_that_hangs_is_given_up_after_the_timeout(drive, source):
    driven = drive(FAILING[source]("hang"), "fork:2", timeout=1.0, fails=True)
    assert "1 s" in str(driven.error)
    assert multiprocessing.active_children() == []


class HangingTable(Table):
    def __init__(self, release):
        super().__init__()
        self.release = release

    def __getitem__(self, index):
        if index == 2:
            self.release.wait()
        return batch(index)


def hanging(release):
    for number in range(8):
        if number == 2:
            release.wait()
        yield batch(number)


@pytest.mark.parametrize("make", [HangingTable, hanging])
def test_a_thread_that_hangs_is_given_up_after_the_timeout(drive, make):
    import threading

    release = threading.Event()
    try:
        driven = drive(lambda: make(release), "threads:2", timeout=0.5, fails=True)
        assert "0.5 s" in str(driven.error)
    finally:
        release.set()


class RaisingTable(Table):
    def __getitem__(self, index):
        if index == 2:
            raise TimeoutError("the disk is asleep")
        return batch(index)


@pytest.mark.parametrize(("make", "words"), [(RaisingTable, "the disk is asleep"), (raising, "third batch")])
def test_a_thread_that_raises_is_an_error_with_its_traceback(drive, make, words):
    driven = drive(make, "threads:2", fails=True)
    assert words in str(driven.error)
    assert f"raise {'TimeoutError' if make is RaisingTable else 'ValueError'}(" in str(driven.error)


def test_a_generator_shared_by_threads_that_collide_is_noted(drive):
    driven = drive(slow, "threads:4", steps=20)
    assert len(driven.delivered) == 20
    assert set(driven.of("raised").text) == {"ValueError: generator already executing"}


def test_a_batch_that_cannot_be_sent_is_an_error_that_says_so(drive):
    driven = drive(unsendable, "fork:2", fails=True)
    assert "TypeError: this array stays where it is" in str(driven.error)


def test_a_worker_killed_in_the_middle_of_a_batch(drive):
    def large():
        for number in itertools.count():
            if number == 2:
                os.kill(os.getpid(), 9)
            yield np.full((1000, 1000), number)

    driven = drive(large, "fork:1,queue=1", steps=5, fails=True)
    assert "SIGKILL" in str(driven.error)


def test_more_indices_than_a_pipe_holds_beside_large_batches(drive):
    class Large(Table):
        def __getitem__(self, index):
            return np.full((300, 300), index)

    driven = drive(lambda: Large(1500), "fork:1,queue=10000")
    assert len(driven.delivered) == 1500


def test_a_generator_cannot_be_sent_to_a_spawned_worker(drive):
    for strategy in ("spawn:2", "forkserver:2"):
        driven = drive(numbers, strategy, fails=Skip)
        assert strategy.partition(":")[0] in str(driven.error)
        assert "generator" in str(driven.error)


@pytest.mark.parametrize("strategy", ["spawn:2", "forkserver:2"])
@pytest.mark.parametrize("make", [Numbers, Table])
def test_what_pickles_runs_in_spawned_workers(drive, strategy, make):
    driven = drive(make, strategy)
    copies = 2 if make is Numbers else 1
    assert sorted(driven.epoch(0)) == sorted(EIGHT * copies)
    assert driven.of("produced").pid.nunique() == 2


@pytest.mark.parametrize("kind", ["raise", "exit 3"])
def test_a_spawned_worker_that_fails_is_an_error(drive, kind):
    driven = drive(lambda: BrokenNumbers(kind), "spawn:2", fails=True)
    assert {"raise": 'raise ValueError("the third batch', "exit 3": "exit code 3"}[kind] in str(driven.error)
