"""Numbers in the place of values say what NumPy's own functions say, of whatever values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from batchaudit.analysis import codes

TOP = 2**63
FEW = {
    "small": (np.int64, st.integers(-3, 3)),
    "below zero and above": (np.int64, st.sampled_from([-(2**63), -1, 0, 2**63 - 1])),
    "far apart": (np.int64, st.sampled_from([k * 2**40 for k in range(-4, 5)])),
    "any": (np.int64, st.integers(-(2**63), 2**63 - 1)),
    "unsigned, around 2**63": (np.uint64, st.integers(TOP - 3, TOP + 3)),
    "unsigned, at the ends": (np.uint64, st.sampled_from([0, 1, TOP - 1, TOP, 2**64 - 2, 2**64 - 1])),
    # Equal in the high bits, which are sorted first, and different in the low ones.
    "unsigned, alike above": (np.uint64, st.integers(2**64 - 40, 2**64 - 1) | st.integers(0, 40)),
    "unsigned, any": (np.uint64, st.integers(0, 2**64 - 1)),
    "short": (np.int32, st.integers(-(2**31), 2**31 - 1)),
}


def columns(most=60, least=0):
    def of(kind):
        dtype, values = FEW[kind]
        return hnp.arrays(dtype, st.integers(least, most), elements=values)

    return st.sampled_from(sorted(FEW)).flatmap(of)


def tables():
    def of(rows):
        one = st.sampled_from(sorted(FEW)).flatmap(
            lambda kind: hnp.arrays(FEW[kind][0], rows, elements=FEW[kind][1])
        )
        return st.lists(one, min_size=1, max_size=4)

    return st.integers(0, 40).flatmap(of)


small = hnp.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 6))


def alike(numbers, values):
    """Whether the numbers are equal where the values are, and there alone."""
    first = {}
    for number, value in zip(numbers.tolist(), values, strict=True):
        first.setdefault(value, number)
    return len(set(first.values())) == len(first) and numbers.tolist() == [first[value] for value in values]


@given(columns())
def test_one_column(values):
    numbers, below = codes.numbered(values)
    assert numbers.dtype == np.int64 and numbers.shape == values.shape
    assert alike(numbers, np.unique(values, return_inverse=True)[1].tolist())
    assert not len(numbers) or 0 <= numbers.min() <= numbers.max() < below <= 4 * len(values)


@given(tables())
def test_several_columns(several):
    rows = list(zip(*(column.tolist() for column in several), strict=True))
    numbers, below = codes.numbered(*several)
    assert alike(numbers, rows)
    assert not rows or 0 <= numbers.min() <= numbers.max() < below <= 4 * len(rows)


@given(tables())
def test_rows_that_come_again(several):
    rows = list(zip(*(column.tolist() for column in several), strict=True))
    assert codes.several(*several).tolist() == [rows.count(row) > 1 for row in rows]


def test_rows_that_are_mixed_into_one_number_stay_apart():
    """(0, m) and (1, 0) are mixed alike for one m, which the code's own constant gives."""
    odd = 0x9E3779B97F4A7C15
    met = odd ^ (odd >> 32)  # of 1; of 0 the mixture is 0
    first, second = np.array([0, 1, 0, 1] * 9, np.uint64), np.array([met, 0, 0, met] * 9, np.uint64)
    mixed = codes._mixed([first, second])
    assert mixed[0] == mixed[1], "the mixture has changed: choose another pair"
    assert alike(codes.numbered(first, second)[0], list(zip(first.tolist(), second.tolist(), strict=True)))
    apart = slice(0, 2)
    assert not codes.several(first[apart], second[apart]).any()


@given(columns(least=1))
def test_rows_are_sorted_as_numpy_sorts_them(values):
    words = codes._words(values)
    rows, in_order = codes._sorted(words)
    assert rows.tolist() == np.argsort(words, kind="stable").tolist()
    assert in_order.tolist() == np.sort(words).tolist()


def test_many_rows_of_which_some_are_alike_in_the_bits_that_are_sorted_first():
    spread = np.random.default_rng(3).integers(0, 2**64, 3_000, dtype=np.uint64)
    words = np.concatenate([spread, spread ^ np.uint64(1), spread, spread ^ np.uint64(2)])
    rows, in_order = codes._sorted(words)
    assert np.array_equal(rows, np.argsort(words, kind="stable"))
    assert np.array_equal(in_order, np.sort(words))


def test_missing_values_are_equal_to_each_other():
    values = pd.Series([3, pd.NA, 2**64 - 1, pd.NA, 3], dtype=object).to_numpy()
    numbers, _ = codes.numbered(values)
    assert alike(numbers, [3, None, 2**64 - 1, None, 3])
    beside = np.array([0, 1, 0, 1, 1])
    assert alike(codes.numbered(beside, values)[0], [(0, 3), (1, None), (0, 2**64 - 1), (1, None), (1, 3)])


@given(columns())
def test_different_values_in_order(values):
    assert np.array_equal(codes.distinct(values), np.unique(values))
    different, places = codes.ranked(values)
    expected, inverse = np.unique(values, return_inverse=True)
    assert np.array_equal(different, expected) and np.array_equal(places, inverse)
    different, places = codes.ranked(np.sort(values))
    assert np.array_equal(different, expected) and np.array_equal(places, np.sort(inverse))


@given(st.data(), small)
def test_what_came_in_which_group(data, groups):
    items = data.draw(hnp.arrays(np.int64, len(groups), elements=st.sampled_from([0, 1, 5, 2**40])))
    came = list(zip(groups.tolist(), items.tolist(), strict=True))
    found = codes.pairs(groups, items)
    rows = list(zip(*(each.tolist() for each in found), strict=True))
    assert rows == [(*pair, came.count(pair)) for pair in sorted(set(came))]
    counted = [len({item for group, item in came if group == number}) for number in range(8)]
    assert codes.different(groups, items, 8).tolist() == counted


@given(st.data(), small)
def test_least_of_each_number(data, numbers):
    values = data.draw(hnp.arrays(np.int64, len(numbers), elements=st.integers(-5, 5)))
    found = codes.least(numbers, values, 8)
    none = np.iinfo(np.int64).max
    assert found.tolist() == [min(values[numbers == number].tolist(), default=none) for number in range(8)]


@given(small)
def test_rows_of_numbers(numbers):
    listed = numbers.tolist()
    assert codes.count_within(numbers).tolist() == [listed[:row].count(one) for row, one in enumerate(listed)]
    assert codes.first_rows(numbers).tolist() == sorted({listed.index(one) for one in listed})
    parts = codes.rows_of(numbers, 8)
    assert [part.tolist() for part in parts] == [
        np.flatnonzero(numbers == number).tolist() for number in range(8)
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4))))
def test_rows_of_spans(spans):
    firsts, counts = (np.array([span[each] for span in spans], np.int64) for each in (0, 1))
    expected = [row for first, count in spans for row in range(first, first + count)]
    assert codes.spans(firsts, counts).tolist() == expected


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_nothing(dtype):
    none = np.empty(0, dtype)
    assert codes.numbered(none)[0].tolist() == [] and codes.numbered(none, none)[1] == 0
    assert codes.several(none).tolist() == [] and codes.distinct(none).tolist() == []
    assert [each.tolist() for each in codes.ranked(none)] == [[], []]
