from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from batchaudit.capture.passes import Pass, Passes


def test_a_pass_is_an_epoch():
    passes = Passes()
    first, second = Pass(passes), Pass(passes)
    assert [first.take(), first.take(), second.take()] == [(0, 0), (0, 1), (1, 0)]
    assert (first.epoch, first.taken, second.taken) == (0, 2, 1)


@given(st.integers(1, 7), st.integers(0, 40))
def test_a_pass_without_an_end_is_cut_into_epochs(steps, batches):
    one = Pass(Passes(steps))
    assert [one.take() for _ in range(batches)] == [divmod(n, steps) for n in range(batches)]


def test_what_a_framework_calls_an_epoch_is_one_however_long():
    one = Pass(Passes(2), one_epoch=True)
    assert [one.take() for _ in range(5)] == [(0, step) for step in range(5)]


@given(st.permutations(range(6)))
def test_an_index_that_comes_again_begins_an_epoch(order):
    one = Pass(Passes())
    epochs = [one.take(index)[0] for index in [*range(6), *order]]
    assert epochs == [0] * 6 + [1] * 6


def test_who_made_the_count_consumes_until_somebody_claims():
    passes = Passes()
    assert passes.here and passes.free
    passes.owners += 1
    assert not passes.here and not passes.free


def test_another_process_makes_for_somebody_else():
    sent = pickle.loads(pickle.dumps(Passes(3)))
    assert sent.free and not sent.here and sent.steps_per_epoch == 3
