from __future__ import annotations

import pickle
import threading
import weakref

import numpy as np
import pytest

from batchaudit.capture.ids import sample_ids
from batchaudit.capture.passes import Passes
from batchaudit.capture.recorder import Recorder
from batchaudit.journal.layout import Event, Flag, Stage


class Events(list):
    """A journal in memory."""

    closed = off = False

    def append(self, event: Event) -> int:
        super().append(event)
        return len(self)


class Full:
    """A journal whose disk is full."""

    closed = off = False

    def append(self, event: Event) -> int:
        raise OSError("no space left on device")


@pytest.fixture
def events():
    return Events()


BATCH = (np.arange(6.0).reshape(3, 2), np.array([1, 2, 3]))


def test_a_batch_goes_through_untouched_and_is_noted(events):
    recorder = Recorder(events)
    assert recorder.produce(lambda: BATCH) is BATCH
    event = events[0]
    assert (event.stage, event.flags, event.index, event.nbytes) == (Stage.PRODUCED, 0, -1, 72)
    assert event.samples.shape == (3,)
    assert event.ended_ns >= event.began_ns > 0
    assert event.thread == threading.get_native_id()


def test_delivered_and_produced_have_the_same_digest(events):
    recorder = Recorder(events)
    recorder.produce(lambda: BATCH)
    recorder.deliver([array.copy() for array in BATCH], epoch=2, step=5, ticket=recorder.take_ticket())
    produced, delivered = events
    assert (delivered.digest_hi, delivered.digest_lo) == (produced.digest_hi, produced.digest_lo)
    assert (delivered.epoch, delivered.step, delivered.ticket) == (2, 5, 1)
    assert recorder.take_ticket() == 0


def test_tickets_belong_to_the_thread_that_produced(events):
    recorder = Recorder(events)
    thread = threading.Thread(target=lambda: recorder.produce(lambda: BATCH))
    thread.start()
    thread.join()
    assert recorder.take_ticket() == 0
    recorder.produce(lambda: BATCH)
    assert recorder.take_ticket() == 2


def test_a_full_disk_stops_nothing():
    recorder = Recorder(Full())
    assert recorder.produce(lambda: BATCH) is BATCH
    assert recorder.take_ticket() == 0
    recorder.deliver(BATCH, epoch=0, step=0)
    recorder.hook("on_epoch_end")


def test_what_cannot_be_hashed_is_flagged(events):
    recorder = Recorder(events)
    recorder.produce(lambda: {"x": BATCH[0], "handle": object()})
    assert events[0].flags & Flag.UNHASHABLE
    recorder.produce(lambda: 3.5)
    assert events[1].flags == Flag.NO_SAMPLES


def test_an_exception_is_noted_and_goes_on(events):
    error = ValueError("broken")

    def fail():
        raise error

    with pytest.raises(ValueError, match="broken") as caught:
        Recorder(events).produce(fail)
    assert caught.value is error
    assert [(event.stage, event.text) for event in events] == [(Stage.RAISED, "ValueError")]


@pytest.mark.parametrize("end", [StopIteration, IndexError, GeneratorExit])
def test_an_end_is_no_error(events, end):
    def stop():
        raise end

    recorder = Recorder(events)
    with pytest.raises(end):
        recorder.produce(stop)
    assert events == []
    recorder.produce(lambda: BATCH)  # and it looks again afterwards
    assert len(events) == 1


def test_what_is_made_of_a_batch_of_the_same_source_is_noted_once(events):
    recorder = Recorder(events)
    recorder.produce(lambda: recorder.produce(lambda: BATCH, index=4), index=7)
    assert [event.index for event in events] == [7]


def test_within_probing_a_batch_is_a_look_ahead(events):
    recorder = Recorder(events)
    with recorder.probing():
        recorder.produce(lambda: BATCH)
    recorder.produce(lambda: BATCH)
    recorder.replayed(BATCH)
    assert [event.flags for event in events] == [Flag.PROBE, 0, Flag.REPLAYED]


def test_no_batch_is_kept(events):
    class Weak(np.ndarray):
        pass

    recorder = Recorder(events)
    made = recorder.produce(lambda: np.zeros((2, 2)).view(Weak))
    alive = weakref.ref(made)
    recorder.deliver(made, epoch=0, step=0)
    del made
    assert alive() is None


def test_it_pickles_with_its_key():
    recorder = pickle.loads(pickle.dumps(Recorder(Events(), sample_ids)))
    assert recorder.produce(lambda: BATCH) is BATCH


# -- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (lambda batch: batch[1], [1, 2, 3]),
        (lambda batch: [-1, 0, 1], [-1, 0, 1]),
        (lambda batch: np.array([2**64 - 1, 0, 1], np.uint64), [2**64 - 1, 0, 1]),
    ],
)
def test_whole_numbers_are_ids_as_they_are(events, key, expected):
    Recorder(events, key).produce(lambda: BATCH)
    assert list(events[0].ids) == expected


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b", "a"],
        np.array(["a", "b", "a"]),
        [b"a", b"b", b"a"],
        [0.5, 1.5, 0.5],
        [(1, "x"), (2, "x"), (1, "x")],
    ],
)
def test_other_ids_are_told_apart_by_value(names):
    first, second, third = sample_ids(lambda batch: names, BATCH)
    assert first == third != second


@pytest.mark.parametrize(
    "key", [lambda batch: [1, 2], lambda batch: 1 / 0, lambda batch: None, lambda batch: 3]
)
def test_a_key_that_is_wrong_gives_no_ids_and_stops_nothing(events, key):
    assert Recorder(events, key).produce(lambda: BATCH) is BATCH
    assert events[0].ids is None


def test_what_a_framework_draws_ahead_is_consumed_by_nobody_here(events):
    recorder = Recorder(events, passes=Passes())
    recorder.produce(lambda: BATCH)
    with recorder.for_framework():
        recorder.produce(lambda: BATCH)
    with recorder.as_worker(0):
        recorder.produce(lambda: BATCH)
    recorder.produce(lambda: BATCH)
    assert [bool(event.flags & Flag.CONSUMED) for event in events] == [True, False, False, True]
    assert [event.step for event in events] == [0, -1, -1, 1]


def test_a_claimed_source_leaves_it_to_its_consumer(events):
    recorder = Recorder(events, passes=Passes())
    recorder.claim()
    recorder.produce(lambda: BATCH)
    recorder.release()
    recorder.produce(lambda: BATCH)
    assert [bool(event.flags & Flag.CONSUMED) for event in events] == [False, True]
