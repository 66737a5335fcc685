"""The recorder that looks at the clocks alone."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from batchaudit import strategies
from batchaudit.timing import Stopwatch
from tests.loaders import Numbers, Table, numbers


def of(events, stage):
    return events[events["stage"] == stage]


@pytest.mark.parametrize("strategy", ["serial", "threads:2", "fork:2", "spawn:2"])
def test_every_batch_is_noted_once_on_each_side(watched, strategy):
    one = watched(Table)
    strategies.drive(one.job, strategies.parse(strategy))
    events = one.events()
    made, handed = of(events, "produced"), of(events, "delivered")
    assert (len(made), len(handed)) == (8, 8)
    assert sorted(made["index"]) == list(range(8))
    assert handed["step"].tolist() == list(range(8))
    assert set(handed["ticket"]) == set(made["ticket"])
    assert (made["ended_ns"] >= made["began_ns"]).all()
    figures = made["text"].str.split(expand=True).astype(int)
    assert figures.shape == (8, 2)
    assert (figures >= 0).all(axis=None)


def test_nothing_is_read_of_a_stream_or_of_any_batch_but_the_second(watched):
    class Untouchable:
        def __array__(self, *args, **kwargs):
            raise AssertionError("it was read")

        def __iter__(self):
            raise AssertionError("it was walked")

    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    one = watched(lambda: iter([Untouchable(), np.zeros((8, 4)), Untouchable()]))
    strategies.drive(one.job, strategies.parse("serial"))
    events = one.events()
    assert one.job.recorder.hashing > 0
    assert len(of(events, "produced")) == 3
    assert (of(events, "produced")[["digest_lo", "nbytes", "samples"]] == 0).all(axis=None)
    assert np.random.get_state()[1].tolist() == before


def test_what_cannot_be_hashed_is_timed_all_the_same(watched):
    class Broken:
        def __array__(self, *args, **kwargs):
            raise ValueError("no content")

    one = watched(lambda: iter([Broken(), Broken(), Broken()]))
    strategies.drive(one.job, strategies.parse("serial"))
    assert len(of(one.events(), "delivered")) == 3
    assert one.job.recorder.hashing is None


def test_the_busy_thread_is_told_from_its_process(watched):
    """Another thread computes while this one waits for it: the process is busy, the thread is not."""

    class Helped(Table):
        def __getitem__(self, index):
            helper = threading.Thread(target=sum, args=(range(2_000_000),))
            helper.start()
            helper.join()
            return super().__getitem__(index)

    one = watched(Helped)
    strategies.drive(one.job, strategies.parse("serial"))
    figures = of(one.events(), "produced")["text"].str.split(expand=True).astype(int)
    assert (figures[1] > figures[0]).all()


def test_what_raises_is_raised_and_noted_as_no_batch(watched):
    one = watched(Table)

    def broken():
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        one.stopwatch.produce(broken)
    assert one.stopwatch.produce(lambda: 7) == 7
    assert len(of(one.events(), "produced")) == 1


def test_a_batch_made_of_others_is_one(watched):
    one = watched(Table)
    assert one.stopwatch.produce(lambda: one.stopwatch.produce(lambda: 3) + 1) == 4
    assert len(of(one.events(), "produced")) == 1


def test_a_look_ahead_is_not_noted(watched):
    one = watched(Table)
    with one.stopwatch.probing():
        one.stopwatch.produce(lambda: 1)
    one.stopwatch.deliver(1, epoch=0, step=0, probe=True)
    one.stopwatch.produce(lambda: 1)
    events = one.events()
    assert (len(of(events, "produced")), len(of(events, "delivered"))) == (1, 0)


def test_a_source_needs_no_recorder_of_its_own(watched):
    one = watched(Table)
    assert one.stopwatch.bind(object()) is one.stopwatch


def test_it_goes_to_a_worker(watched):
    one = watched(Numbers)
    copy = pickle.loads(pickle.dumps(one.stopwatch))
    assert type(copy) is Stopwatch
    copy.produce(lambda: 1)
    copy.bind(object()).deliver(1, epoch=0, step=0)
    assert len(one.events()) == 2


def test_a_generator_is_timed_batch_by_batch(watched):
    one = watched(numbers)
    strategies.drive(one.job, strategies.parse("serial"))
    assert len(of(one.events(), "produced")) == 8
