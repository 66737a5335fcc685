"""The most that a strategy could give, from what a batch costs."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchaudit.advice import Costs, bounds
from tests.advice.made import MS, costs, sp, timing

FAMILIES = (*bounds.THREADS, *bounds.PROCESSES, *bounds.LOADER)


def most(family, workers, make, busy, its):
    found = bounds.bound(family, workers, timing(make, busy), its)
    return None if found is None else (pytest.approx(found[0]), found[1])


def test_threads_that_wait_are_as_many_times_as_fast_as_there_are():
    assert most("threads", 4, 20 * MS, 0.1 * MS, costs(together=2.0)) == (4.0, "4 workers")


def test_threads_that_compute_are_held_by_the_cores():
    assert most("threads", 4, 20 * MS, 20 * MS, costs(together=2.0)) == (2.0, "2 cores")


def test_threads_that_hold_the_interpreter_give_what_two_give():
    factor, by = most("threads", 4, 20 * MS, 20 * MS, costs(together=1.02))
    assert factor == 1.02
    assert by == "two threads make 1.0× as many as one"


def test_threads_that_hinder_each_other_are_bound_by_one_alone():
    assert most("threads", 4, 20 * MS, 20 * MS, costs(together=0.6))[0] == 1.0


def test_tf_data_runs_one_python_call_a_core():
    its = costs(together=2.0, cores=3)
    assert most("tf.data", 8, 20 * MS, 0.1 * MS, its) == (3.0, "TensorFlow runs 3 calls at once, one a core")
    assert most("tf.data", 2, 20 * MS, 0.1 * MS, its)[0] == 2.0


def test_processes_pay_for_sending():
    # 4 workers, each 20 + 5 ms; the two cores busy for 0.1 + 5 + 5 ms; the consumer for 5 ms.
    its = costs(send=5 * MS)
    factor, by = most("fork", 4, 20 * MS, 0.1 * MS, its)
    assert factor == 4 * 20 / 25
    assert by == "4 workers, each 25 ms a batch with sending it"
    assert most("fork", 4, 20 * MS, 20 * MS, its) == (2 * 20 / 30, "2 cores")
    its = Costs(64, 1, sp(0.1 * MS), sp(10 * MS))
    factor, by = most("fork", 8, 20 * MS, 20 * MS, its)
    assert (factor, by) == (2.0, "receiving a batch takes the consumer 10 ms")


def test_a_loader_is_held_by_its_workers_and_the_cores():
    assert most("torch", 4, 20 * MS, 20 * MS, costs())[0] == 2.0
    assert most("torch", 1, 20 * MS, 20 * MS, costs())[0] == 1.0


@pytest.mark.parametrize(
    ("family", "workers", "its"),
    [
        ("threads", 4, Costs()),
        ("fork", 4, costs(send=None)),
        ("as-is", 4, costs()),
        ("serial", 0, costs()),
        ("threads", 0, costs()),
    ],
)
def test_what_is_not_known_has_no_bound(family, workers, its):
    assert bounds.bound(family, workers, timing(20 * MS, 20 * MS), its) is None
    assert bounds.bound("threads", 4, timing(20 * MS), costs()) is None  # not clocked


def test_a_batch_that_costs_nothing_to_send_does_no_harm():
    nothing = Costs(2, 10, sp(0.0), sp(0.0))
    factor, _ = bounds.bound("fork", 4, timing(1 * MS, 0.0), nothing)
    assert factor == pytest.approx(4.0)


TIMES = st.floats(1e-6, 1.0)


@given(
    st.sampled_from(FAMILIES), TIMES, st.floats(0, 1), TIMES, st.floats(0.5, 2), st.integers(1, 64)
)  # fmt: skip
def test_more_workers_never_give_less(family, make, share, send, together, cores):
    its = costs(send=send, together=together, cores=cores)
    found = [bounds.bound(family, workers, timing(make, share * make), its) for workers in range(1, 9)]
    factors = [one[0] for one in found if one is not None]
    assert len(factors) == 8
    assert factors == sorted(factors)


@given(
    st.sampled_from(FAMILIES), TIMES, TIMES, st.floats(0.5, 2), st.integers(1, 16), st.floats(0.1, 20),
    st.floats(0.01, 20),
)  # fmt: skip
def test_enough_is_never_more_than_there_are(family, make, send, together, workers, gave, wanted):
    serial, its = timing(make, make), costs(send=send, together=together)
    measured = gave / make
    assume(wanted <= gave)
    found = bounds.enough(family, workers, serial, its, measured, wanted / make)
    assert found is not None
    assert 1 <= found <= workers
    # Fewer would not do: the bound says so.
    if found > 1:
        fewer = bounds.bound(family, found - 1, serial, its)[0]
        of_all = bounds.bound(family, workers, serial, its)[0]
        assert fewer * min(1.0, gave / of_all) < wanted * (1 + 1e-9)


def test_enough_workers_for_what_is_wanted():
    serial, its = timing(20 * MS, 0.1 * MS), costs(together=2.0)
    assert bounds.enough("threads", 8, serial, its, 8 / (20 * MS), 3 / (20 * MS)) == 3
    # Measured at half the bound: twice as many are needed.
    assert bounds.enough("threads", 8, serial, its, 4 / (20 * MS), 3 / (20 * MS)) == 6
    assert bounds.enough("as-is", 8, serial, its, 400.0, 150.0) is None
