"""What a batch costs to send, what two threads make of a source, what a machine has."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading

import numpy as np
import pytest

from batchaudit.timing import cores, pair, sending, together
from batchaudit.timing.memory import Memory
from tests.loaders import NoPickle, Table, batch, empty, endless, numbers, raising

# The package's functions have taken the modules' names.
MACHINE = importlib.import_module("batchaudit.timing.machine")
TOGETHER = importlib.import_module("batchaudit.timing.together")


def test_a_batch_is_sent_several_times():
    found = sending(batch(3))
    assert found["bytes"] > sum(part.nbytes for part in batch(3))
    assert len(found["send"]) == len(found["receive"]) >= 5
    assert min(found["send"]) > 0 and min(found["receive"]) >= 0


def test_more_bytes_are_told_as_more():
    small, large = (sending(np.zeros(size, np.uint8))["bytes"] for size in (10, 1_000_000))
    assert large - small == pytest.approx(999_990, abs=100)


class Unreadable:
    """It can be sent, and not be made again."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise LookupError("made nowhere else")


class DiesWhenSent:
    def __reduce__(self):
        if multiprocessing.parent_process() is not None:
            os._exit(3)
        return str, ()


@pytest.mark.parametrize("made", [lambda: batch(0)[0].view(NoPickle), Unreadable, DiesWhenSent])
def test_what_cannot_be_sent_costs_nothing_that_is_known(made):
    assert sending(made()) is None


def test_where_nothing_can_be_forked_nothing_is_known(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert sending(batch(0)) is None


# -- two threads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Table, numbers, endless, lambda: Table(1)])
def test_two_threads_are_compared_with_one(make):
    found = together(make, 0.05)
    assert 1 <= len(found) <= 4
    assert min(found) > 0


@pytest.mark.parametrize("make", [empty, raising, lambda: 1 / 0])
def test_what_raises_or_yields_nothing_is_not_compared(make):
    assert together(make, 0.05) == []


def test_each_thread_has_a_source_of_its_own():
    made = []

    def new():
        made.append(numbers(1000))
        return made[-1]

    together(new, 0.02)
    assert len(made) >= 2


def test_a_source_of_which_there_can_be_one_at_a_time_holds_nothing_up(monkeypatch):
    monkeypatch.setattr(TOGETHER, "_GRACE", 0.2)
    only = threading.Lock()

    def exclusive():
        with only:
            yield from numbers(1000)

    assert together(exclusive, 0.1) == []
    assert only.acquire(timeout=60)  # whoever waited for it has ended
    only.release()


# -- the machine -----------------------------------------------------------------------------------


def test_two_threads_of_no_ones_source(monkeypatch):
    monkeypatch.setattr(MACHINE, "_ROUND_SECONDS", 0.005)
    found = pair()
    assert len(found) == 4
    assert min(found) > 0
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_without_affinity_all_cores_are_counted(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores() == os.cpu_count()


# -- memory ----------------------------------------------------------------------------------------


def _holds(size, ready, done):
    held = bytearray(os.urandom(1)) * size
    ready.set()
    done.wait(60)
    del held


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="only Linux tells")
def test_the_workers_own_memory_is_seen():
    context = multiprocessing.get_context("fork")
    events = [context.Event() for _ in range(3)]
    before = context.Process(target=_holds, args=(80_000_000, events[0], events[2]))
    before.start()
    assert events[0].wait(60)
    memory = Memory()
    assert memory.of_a_worker() is None
    worker = context.Process(target=_holds, args=(30_000_000, events[1], events[2]))
    worker.start()
    try:
        assert events[1].wait(60)
        memory.look()
    finally:
        events[2].set()
        worker.join()
        before.join()
    # Its own 30 MB; not those of a process that was there before.
    assert 30_000_000 <= memory.of_a_worker() < 70_000_000


def test_without_proc_nothing_is_known(monkeypatch):
    def none(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "scandir", none)
    memory = Memory()
    memory.look()
    assert memory.of_a_worker() is None
