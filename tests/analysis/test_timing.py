"""What the times of events come to, on tables whose times are known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.analysis import timing
from batchaudit.analysis.tables import LIVE, Tables, tables
from tests.analysis.build import Batch, frames

MS = 1_000_000  # nanoseconds
LATER = 100_000  # the first epoch of the second round, as `timing.clocked` numbers them


def timed(
    batches: list[Batch],
    made: list[tuple[float, float]],
    handed: list[tuple[float, float]],
    hooks: list[dict[str, Any]] = (),
    busy: float | None = None,
    process: float | None = None,
    strategy: str = "fork:4",
) -> Tables:
    """Batches with their times in milliseconds: when each was begun and made, asked for and had."""
    events, samples = frames(batches)
    events["strategy"] = strategy
    # Rows come in pairs; see build.py. What was never delivered has none of its own.
    times = iter(handed)
    for row, stage in enumerate(events["stage"]):
        number = int(events.loc[row, "ticket"]) - 1
        began, ended = made[number] if stage == "produced" else next(times)
        events.loc[row, ["began_ns", "ended_ns"]] = int(began * MS), int(ended * MS)
        if busy is not None and stage == "produced":
            own = busy if process is None else process
            events.loc[row, "text"] = f"{int(busy * MS)} {int(own * MS)}"
    told = [
        {**events.iloc[0].to_dict(), "stage": "hook", "text": f"clock {json.dumps(one)}", "ticket": 0}
        for one in hooks
    ]
    return tables(pd.concat([events, pd.DataFrame(told)], ignore_index=True) if told else events, samples)


def a_round(
    begin: int = 0,
    began: float = 0.0,
    ended: float = 1e6,
    warm_up: int = 2,
    memory: int | None = None,
    hashing: int | None = None,
) -> dict[str, Any]:
    """What `timing.clock` tells of a round; its times in milliseconds."""
    at = {"began": int(began * MS), "ended": int(ended * MS)}
    return {**at, "begin": begin, "warm_up": warm_up, "memory": memory, "hashing": hashing}


def serially(count: int, make: float = 10, gap: float = 0, since: float = 0, epoch: int = 0, **more: Any):
    """One worker that makes a batch each time it is asked for one."""
    at = [since + number * (make + gap) for number in range(count)]
    made = [(start, start + make) for start in at]
    return [Batch(1, number, epoch, **more) for number in range(count)], made, [(b, b) for _, b in made]


def approx(value: float):
    return pytest.approx(value, rel=1e-6)


# -- the clocked rounds ----------------------------------------------------------------------------


def test_a_steady_serial_round():
    found = timing.clocked(timed(*serially(20), hooks=[a_round()], busy=4), "clock")
    assert found.clocked
    assert (found.batches, found.workers) == (18, 1)
    assert (found.rate.low, found.rate.middle, found.rate.high) == (approx(100),) * 3
    assert found.make.middle == approx(0.010)
    assert found.busy.middle == approx(0.004)
    assert found.idle == approx(0.6)
    assert found.cores == approx(0.4)
    assert found.waited.middle == approx(0.010)
    assert found.queued.high == 0
    assert (found.start, found.memory) == (approx(0), None)


def test_threads_of_its_own_keep_several_cores_busy():
    found = timing.clocked(timed(*serially(20), hooks=[a_round()], busy=9, process=19), "clock")
    assert found.cores == approx(1.9)


def test_what_the_warm_up_took_does_not_count():
    batches, made, _ = serially(3, make=500)
    more, later, _ = serially(20, make=10, since=1500)
    both = [*made, *later]
    table = timed([*batches, *more], both, [(b, b) for _, b in both], hooks=[a_round(warm_up=3)], busy=4)
    found = timing.clocked(table, "clock")
    assert found.rate.low == approx(100)
    assert found.make.high == approx(0.010)
    assert found.batches == 20


def test_the_start_is_what_comes_before_the_first_batch_less_its_making():
    table = timed(*serially(20, since=250), hooks=[a_round(began=200)], busy=4)
    assert timing.clocked(table, "clock").start == approx(0.050)


@pytest.mark.parametrize("count", range(1, 8))
def test_very_few_batches(count):
    found = timing.clocked(timed(*serially(count), hooks=[a_round()], busy=4), "clock")
    if count < 3:
        assert found is None
    else:
        assert found.rate.middle == approx(100)


def test_without_its_hook_a_round_is_none():
    assert timing.clocked(timed(*serially(20), busy=4), "clock") is None
    table = timed(*serially(20), hooks=[a_round()], busy=4)
    assert timing.clocked(table, "costs") is None


def two_rounds(hooks):
    batches, made, handed = serially(20, make=10)
    more, later, given = serially(20, make=20, since=5000, epoch=LATER)
    return timed([*batches, *more], made + later, handed + given, hooks, busy=4)


def test_what_lies_between_two_rounds_does_not_count():
    hooks = [a_round(LATER, began=5000, memory=7, ended=5400), a_round(memory=5, ended=200)]
    found = timing.clocked(two_rounds(hooks), "clock")
    assert (found.batches, found.memory) == (36, 7)
    assert (found.rate.low, found.rate.high) == (approx(50), approx(100))
    assert found.waited.high == approx(0.020)
    assert found.start == approx(0)


def test_what_hashing_took_is_the_middle_of_the_rounds():
    hooks = [a_round(ended=200, hashing=2 * MS), a_round(LATER, began=5000, ended=5400, hashing=4 * MS)]
    assert timing.clocked(two_rounds(hooks), "clock").hashing.middle == approx(0.003)


def test_hashing_that_was_not_measured_has_no_figure():
    assert timing.clocked(two_rounds([a_round(ended=200)]), "clock").hashing is None


def test_a_round_that_came_to_no_end_does_not_count():
    found = timing.clocked(two_rounds([a_round(ended=200)]), "clock")
    assert found.batches == 18
    assert found.rate.low == approx(100)
    assert found.make.high == approx(0.010)
    assert found.waited.high == approx(0.010)


def side_by_side(count, workers, make, hand, pids=True):
    """Workers that make batches at once; the consumer takes one every `hand` milliseconds."""
    batches = [
        Batch(10 + number % workers if pids else 1, number, thread=1 if pids else 1 + number % workers)
        for number in range(count)
    ]
    made = [(number // workers * make, (number // workers + 1) * make) for number in range(count)]
    handed = [(0.0, make + number * hand) for number in range(count)]
    return batches, made, handed


def test_several_processes_have_cores_of_their_own():
    table = timed(*side_by_side(40, 4, 40, 10), hooks=[a_round(warm_up=8)], busy=20, process=40)
    found = timing.clocked(table, "clock")
    assert found.workers == 4
    assert found.rate.middle == approx(100)
    assert found.make.middle == approx(0.040)
    assert found.idle == approx(0.5)
    assert found.cores == approx(1.0)


def test_of_several_threads_in_a_process_none_is_told_apart():
    table = timed(*side_by_side(40, 4, 40, 10, pids=False), hooks=[a_round(warm_up=8)], busy=20, process=80)
    found = timing.clocked(table, "clock")
    assert (found.workers, found.cores) == (4, None)


def test_threads_that_are_started_anew_each_epoch_are_not_more_workers():
    batches = [Batch(1, number, number // 8, thread=2 * (number // 8) + number % 2) for number in range(40)]
    made = [(number // 2 * 10, number // 2 * 10 + 10) for number in range(40)]
    handed = [(0.0, 10.0 + number * 5) for number in range(40)]
    found = timing.clocked(timed(batches, made, handed, hooks=[a_round()], busy=4), "clock")
    assert found.workers == 2
    assert timing.seen(timed(batches, made, handed)).workers == 2


def test_what_lies_ready_is_queued():
    # All are made before the first is taken.
    batches = [Batch(10, number) for number in range(10)]
    made = [(number, number + 1) for number in range(10)]
    handed = [(0.0, 100 + 10 * number) for number in range(10)]
    found = timing.clocked(timed(batches, made, handed, hooks=[a_round(warm_up=0)], busy=1), "clock")
    assert (found.queued.low, found.queued.high) == (approx(0.9), approx(8.1))


@given(st.integers(3, 60), st.floats(0.1, 50), st.floats(0, 50))
def test_rates_are_those_of_the_consumer(count, make, gap):
    found = timing.clocked(timed(*serially(count, make, gap), hooks=[a_round()], busy=make / 2), "clock")
    if found is not None:
        assert found.rate.middle == pytest.approx(1000 / (make + gap), rel=1e-3)
        assert found.make.middle == pytest.approx(make / 1000, rel=1e-3)
        assert found.idle == pytest.approx(0.5, abs=1e-3)


@given(st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=80))
def test_rates_of_blocks_stay_between_those_of_single_batches(gaps):
    at = np.cumsum([0.0, *gaps])
    found = timing._rates(at)
    assert 2 <= len(found) <= 8
    single = np.maximum(np.diff(at), 1e-9)
    assert found.min() >= (1 / single).min() * (1 - 1e-6)
    assert found.max() <= (1 / single).max() * (1 + 1e-6)


# -- an ordinary run -------------------------------------------------------------------------------


def test_an_ordinary_run():
    batches, made, _ = serially(20)
    found = timing.seen(timed(batches, made, [(b - 3, b) for _, b in made]))
    assert not found.clocked
    assert (found.batches, found.workers) == (20, 1)
    assert found.rate.middle == approx(100)
    assert found.make.middle == approx(0.010)
    assert found.waited.middle == approx(0.003)
    assert found.busy is found.cores is found.start is found.memory is found.idle is None


def test_what_stands_between_two_epochs_is_no_batch():
    batches, made, handed = serially(10)
    more, later, given = serially(10, since=60_000, epoch=1)
    found = timing.seen(timed([*batches, *more], made + later, handed + given))
    assert found.rate.low == approx(100)
    assert found.batches == 20


@pytest.mark.parametrize(("count", "known"), [(1, False), (4, False), (5, True)])
def test_of_very_short_epochs_no_rate_is_known(count, known):
    assert (timing.seen(timed(*serially(count))) is not None) == known


# -- the steps of a training -----------------------------------------------------------------------


def trained(step: float, wait: float, count: int = 10, since: float = 0.0, epoch: int = 0):
    """Each batch is asked for when the step before is over, and comes after `wait`."""
    asked = [since + number * (step + wait) for number in range(count)]
    times = [(at, at + wait) for at in asked]
    return [Batch(1, number, epoch) for number in range(count)], times, times


def test_a_training_that_waits_half_of_its_time():
    found = timing.steps(timed(*trained(20, 20), strategy=LIVE))
    assert found.step.middle == approx(0.020)
    assert found.stalled == approx(0.5)


def test_a_training_that_hardly_waits():
    found = timing.steps(timed(*trained(99, 1), strategy=LIVE))
    assert found.stalled == approx(0.01)


def test_what_stands_between_two_epochs_is_no_step():
    batches, made, handed = trained(20, 20)
    more, later, given = trained(20, 20, since=60_000, epoch=1)
    found = timing.steps(timed([*batches, *more], made + later, handed + given, strategy=LIVE))
    assert found.step.high == approx(0.020)
    assert found.stalled == approx(0.5)


def test_what_shows_no_step():
    assert timing.steps(timed(*trained(20, 20))) is None  # an audit before any training
    assert timing.steps(timed(*trained(20, 20, count=4), strategy=LIVE)) is None
    assert timing.steps(timed(*trained(20, 0), strategy=LIVE)) is None  # nobody saw when one was asked for
