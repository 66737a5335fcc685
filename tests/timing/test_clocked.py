"""A strategy is driven until enough was seen, and no longer."""

from __future__ import annotations

import time

import pytest

from batchaudit import strategies
from batchaudit.errors import WorkerError
from batchaudit.strategies import Skip
from batchaudit.timing import EPOCHS, clock
from batchaudit.timing import clocked as module
from batchaudit.timing.clocked import Limit
from tests.loaders import Broken, Table, endless, numbers, raising


def of(events, stage):
    return events[events["stage"] == stage]


class Clock:
    """A clock that goes on by as much at each look."""

    def __init__(self, step):
        self.step, self.now = step, 1000.0
        self.monotonic_ns = time.monotonic_ns  # what is only noted is the real time

    def monotonic(self):
        self.now += self.step
        return self.now


@pytest.fixture
def clocked(watched, monkeypatch):
    """Clocks a source until some ten batches came, however long those take."""
    monkeypatch.setattr(module, "time", Clock(1.0))

    def _clocked(make, strategy="serial", round_=0, **options):
        one = watched(make, **options)
        spec = strategies.parse(strategy)
        told = clock(one.job, spec, 10.0, round_, spec.workers)
        return told, one.events()

    return _clocked


@pytest.mark.parametrize(
    ("each", "seconds", "warm_up", "batches"),
    [
        pytest.param(0.01, 1.0, 2, 102, id="many batches: the time ends it"),
        pytest.param(0.5, 1.0, 2, 10, id="slow ones: until there are enough"),
        pytest.param(2.0, 1.0, 2, 5, id="very slow ones: until six times the time is over"),
        pytest.param(100.0, 1.0, 2, 2, id="ones that take for ever: the second ends it"),
    ],
)
def test_when_enough_was_seen(monkeypatch, each, seconds, warm_up, batches):
    monkeypatch.setattr(module, "time", Clock(each))
    limit, count = Limit(seconds, warm_up), 1
    while not limit.count():
        count += 1
    assert abs(count - batches) <= 1  # sums of floats
    assert limit.is_over


@pytest.mark.parametrize("strategy", ["serial", "threads:2", "fork:2", "spawn:2"])
def test_a_short_source_is_driven_again_and_again(clocked, strategy):
    told, events = clocked(lambda: Table(3), strategy)
    handed = of(events, "delivered")
    assert handed["epoch"].max() > 0
    assert len(handed) >= 8
    assert set(of(events, "produced")["ticket"]) >= set(handed["ticket"])
    assert told["begin"] == 0
    assert told["warm_up"] == 2 * max(1, strategies.parse(strategy).workers)
    assert told["began"] <= events["began_ns"].min()
    assert told["ended"] >= handed["ended_ns"].max()


@pytest.mark.parametrize(("make", "options"), [(numbers, {}), (endless, {"steps_per_epoch": 4})])
def test_an_iterator_is_driven_until_enough_was_seen(clocked, make, options):
    _, events = clocked(make, "threads:2", **options)
    assert len(of(events, "delivered")) >= 8


def test_rounds_number_their_epochs_apart(clocked):
    told, events = clocked(Table, round_=3)
    assert told["begin"] == of(events, "delivered")["epoch"].min() == 3 * EPOCHS


def test_one_batch_an_epoch(clocked):
    _, events = clocked(lambda: Table(1))
    assert of(events, "delivered")["step"].unique().tolist() == [0]
    assert len(of(events, "delivered")) >= 8


def test_a_worker_that_dies_is_told(clocked):
    with pytest.raises(WorkerError, match="SIGKILL"):
        clocked(lambda: Broken("kill"), "fork:2")


def test_a_source_that_raises_is_told(clocked):
    with pytest.raises(ValueError, match="third batch is broken"):
        clocked(raising)


def test_a_strategy_that_cannot_run_it_is_told(clocked):
    with pytest.raises(Skip):
        clocked(numbers, "spawn:2")


def test_only_processes_have_memory_of_their_own(clocked):
    assert clocked(Table)[0]["memory"] is None
    assert clocked(Table, "threads:2")[0]["memory"] is None
