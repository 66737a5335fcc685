"""Numbers in the place of values, so that equal ones are counted with arrays alone. Requires pandas.

Everything here sorts: NumPy sorts 64-bit numbers several times faster than any table of hashes finds them,
and in time that grows with their number. Where the rows have to be known, they are sorted with the numbers,
in the low bits of the same 64: NumPy takes ten times as long to say how numbers are to be sorted as to sort
them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_WIDTH = np.uint64(64)
_DIRECT = 4
"""Whole numbers that span no more than so many times their count are numbers already."""


class Pairs(NamedTuple):
    """What came in which group.

    Attributes:
        group: int64, rising: the group of each different pair.
        item: int64: its item, rising within a group.
        times: int64: how often the pair came.
    """

    group: Array
    item: Array
    times: Array


def starts(values: Array) -> Array:
    """Where the runs of equal values begin.

    Args:
        values: in which equal ones lie together, shape (n,).

    Returns:
        int64: the rows, rising.
    """
    found: Array = np.flatnonzero(_new(values))
    return found


def distinct(values: Array) -> Array:
    """The different values, sorted. `numpy.unique` says the same, of many different numbers far slower."""
    in_order = np.sort(values)
    return in_order[_new(in_order)]


def ranked(values: Array) -> tuple[Array, Array]:
    """The different values, sorted, and the place of each value among them."""
    if (values[1:] >= values[:-1]).all():
        begins = starts(values)
        return values[begins], np.repeat(np.arange(len(begins)), np.diff(begins, append=len(values)))
    different = distinct(values)
    return different, np.searchsorted(different, values)


def numbered(*columns: Array) -> tuple[Array, int]:
    """Numbers the rows of a table alike that are equal in all of its columns.

    Args:
        columns: whole numbers, each of shape (n,).

    Returns:
        int64, shape (n,), and a number that all of them are below: no more than a few times n.
    """
    if len(columns[0]) == 0:
        return np.zeros(0, np.int64), 0
    columns = tuple(map(_whole, columns))
    together = _together(columns)
    if together is not None:
        return together
    words = [_words(column) for column in columns]
    order, in_order = _sorted(words[0] if len(words) == 1 else _mixed(words))
    new = _new(in_order)
    for word in words if len(words) > 1 else []:
        different = word[order]
        different = different[1:] != different[:-1]
        if (different & ~new[1:]).any():  # two rows that are not equal were mixed into one number
            order = np.lexsort(words)
            new = np.logical_or.reduce([_new(each[order]) for each in words])
            break
    new[0] = False
    count = np.cumsum(new)
    codes = np.empty(len(order), np.int64)
    codes[order] = count
    return codes, int(count[-1]) + 1


def several(*columns: Array) -> Array:
    """Which rows of a table are equal in all of its columns to another row.

    Args:
        columns: as for `numbered`.

    Returns:
        Bool, shape (n,).
    """
    columns = tuple(map(_whole, columns))
    together = _together(columns) if len(columns[0]) else None
    if together is None:
        words = [_words(column) for column in columns]
        if _new(np.sort(words[0] if len(words) == 1 else _mixed(words))).all():
            return np.zeros(len(columns[0]), bool)
        together = numbered(*columns)
    codes, count = together
    alone: Array = np.bincount(codes, minlength=count)[codes] > 1
    return alone


def pairs(groups: Array, items: Array) -> Pairs:
    """Counts what came in which group.

    Args:
        groups: int64, from 0, shape (n,).
        items: int64, from 0, shape (n,).
    """
    keys, bits = _packed(groups, items)
    first = starts(keys)
    group, item = _unpacked(keys[first], bits)
    return Pairs(group, item, np.diff(first, append=len(keys)))


def different(groups: Array, items: Array, count: int) -> Array:
    """How many different items came in each group.

    Args:
        groups: int64, from 0, shape (n,).
        items: int64, from 0, shape (n,).
        count: how many groups there are.

    Returns:
        int64, shape (count,).
    """
    keys, bits = _packed(groups, items)
    found: Array = np.bincount(keys[_new(keys)] >> bits, minlength=count)
    return found


def least(codes: Array, values: Array, count: int) -> Array:
    """The least value of each number.

    Args:
        codes: int64, from 0, shape (n,).
        values: int64, shape (n,).
        count: how many numbers there are.

    Returns:
        int64, shape (count,); the greatest int64 for a number that never came.
    """
    found: Array = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(found, codes, values)
    return found


def count_within(numbers: Array) -> Array:
    """How many rows before each one have its number: 0, 1, 2 ... within each number.

    Args:
        numbers: int64, from 0, shape (n,).

    Returns:
        int64, shape (n,).
    """
    rows = np.arange(len(numbers))
    number, row = _unpacked(*_packed(numbers, rows))
    begins = starts(number)
    places = np.empty(len(rows), np.int64)
    places[row] = rows - np.repeat(begins, np.diff(begins, append=len(rows)))
    return places


def first_rows(numbers: Array) -> Array:
    """The rows in which each number comes first, rising.

    Args:
        numbers: int64, from 0, shape (n,).
    """
    row = np.full(int(numbers.max(initial=-1)) + 1, -1)
    row[numbers[::-1]] = np.arange(len(numbers))[::-1]
    return np.sort(row[row >= 0])


def rows_of(numbers: Array, count: int) -> list[Array]:
    """The rows of each number, rising.

    Args:
        numbers: int64, from 0, shape (n,).
        count: what all of them are below.

    Returns:
        For each number an array; empty where it never came.
    """
    number, row = _unpacked(*_packed(numbers, np.arange(len(numbers))))
    return np.split(row, np.searchsorted(number, np.arange(1, count)))


def spans(firsts: Array, counts: Array) -> Array:
    """The rows first, first + 1, ... of several spans, one span after the other.

    Args:
        firsts: int64, shape (n,): the first row of each.
        counts: int64, shape (n,): how many rows each has.

    Returns:
        int64.
    """
    ends = np.cumsum(counts)
    rows: Array = np.arange(int(counts.sum())) + np.repeat(firsts - (ends - counts), counts)
    return rows


def in_one_piece(firsts: Array, counts: Array) -> bool:
    """Whether such spans lie one after the other, without a gap."""
    return bool((firsts[1:] == (firsts + counts)[:-1]).all())


def _new(values: Array) -> Array:
    """Which values are not equal to the one before."""
    new = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _packed(high: Array, low: Array) -> tuple[Array, int]:
    """Two small numbers of each row as one, sorted; how many bits of it are the low one's."""
    bits = int(low.max(initial=0)).bit_length()
    packed = high << bits
    packed |= low
    packed.sort()
    return packed, bits


def _unpacked(packed: Array, bits: int) -> tuple[Array, Array]:
    return packed >> bits, packed & ((1 << bits) - 1)


def _sorted(words: Array) -> tuple[Array, Array]:
    """The rows of some numbers in rising order, equal ones in that of the rows; and the numbers so.

    As many high bits of each number as fit are sorted with its row below them. What lies within one pattern
    of these bits is put in order afterwards: next to nothing of digests, which are spread over all numbers.
    """
    low = words.min()
    spare = np.uint64(64 - int(words.max() - low).bit_length())
    bits = np.uint64((len(words) - 1).bit_length())
    packed = words - low
    packed <<= spare if spare < _WIDTH else np.uint64(0)
    packed >>= bits
    packed <<= bits
    packed |= np.arange(len(words), dtype=np.uint64)
    packed.sort()
    if spare < bits:
        high = packed >> bits
    packed &= (np.uint64(1) << bits) - np.uint64(1)
    rows = packed.view(np.int64)
    values = words.take(rows, mode="clip")  # none is out of bounds; this way NumPy does not look
    if spare < bits:
        _settle(high, rows, values)
    return rows, values


def _settle(high: Array, rows: Array, values: Array) -> None:
    """Puts the rows in order, in place, that are in order of their high bits alone."""
    same = high[1:] == high[:-1]
    same &= values[1:] != values[:-1]
    if not same.any():
        return
    mixed = distinct(high[1:][same])
    first = np.searchsorted(high, mixed)
    here = spans(first, np.searchsorted(high, mixed, side="right") - first)
    order = np.argsort(values[here], kind="stable")
    rows[here], values[here] = rows[here][order], values[here][order]


def _together(columns: tuple[Array, ...]) -> tuple[Array, int] | None:
    """The product of columns that hold small numbers; None where it has too many values."""
    codes, count = None, 1
    for column in columns:
        low, high = int(column.min()), int(column.max())
        count *= high - low + 1
        if count > _DIRECT * len(column):
            return None
        if low == high and len(columns) > 1:
            continue
        # Unsigned numbers above 2**63 have a span of their own that is as small.
        code = column if low == 0 and column.dtype == np.int64 else _from_zero(column, low)
        codes = code if codes is None else codes * (high - low + 1) + code
    return np.zeros(len(columns[0]), np.int64) if codes is None else codes, count


def _from_zero(column: Array, low: int) -> Array:
    code: Array = (column - column.dtype.type(low)).astype(np.int64, copy=False)
    return code


def _whole(column: Array) -> Array:
    """A column of whole numbers; one of objects holds missing values, which are equal to each other."""
    return pd.factorize(column)[0] if column.dtype == object else column


def _words(column: Array) -> Array:
    return column.astype(np.uint64) if column.dtype.itemsize < 8 else column.view(np.uint64)


def _mixed(words: list[Array]) -> Array:
    mixed = words[0] * _ODD
    for word in words[1:]:
        mixed ^= mixed >> _HALF
        mixed ^= word
        mixed *= _ODD
    return mixed
