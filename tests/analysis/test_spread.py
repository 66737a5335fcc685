"""A figure with its spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.analysis.spread import Spread, spread

FIGURES = st.floats(1e-6, 1e6)


def test_the_middle_and_the_tenths():
    found = spread(range(101))
    assert (found.low, found.middle, found.high, found.count) == (10, 50, 90, 101)


def test_of_nothing_there_is_none():
    assert spread([]) is None
    assert spread([float("nan"), float("inf")]) is None


def test_what_is_not_finite_is_left_out():
    assert spread([1.0, float("nan"), float("inf")]) == Spread(1, 1, 1, 1)


@given(st.lists(FIGURES, min_size=1))
def test_it_is_ordered_and_within_what_was_measured(values):
    found = spread(values)
    tiny = 1e-9 * max(values)
    assert min(values) - tiny <= found.low <= found.middle + tiny
    assert found.middle <= found.high + tiny <= max(values) + 2 * tiny


def test_a_ratio_has_the_ends_of_the_worst_cases():
    assert Spread(4, 3, 5, 10).over(Spread(2, 1, 2.5, 7)) == Spread(2, 1.2, 5, 7)


@given(st.lists(FIGURES, min_size=1, max_size=9))
def test_over_itself_it_is_one_within_its_ends(values):
    found = spread(values)
    ratio = found.over(found)
    assert ratio.middle == pytest.approx(1)
    assert ratio.low <= 1 + 1e-9 and ratio.high >= 1 - 1e-9


def test_over_nothing_it_is_finite():
    assert Spread(1, 1, 1, 1).over(Spread(0, 0, 0, 1)).middle == pytest.approx(1e12)
