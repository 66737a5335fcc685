"""Compares two sequences of items that are cut into epochs: what moved, what one of them lacks.

Requires numpy and pandas. Everything is done on whole columns: no Python object an item.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.codes import numbered

Array = np.ndarray[Any, Any]

COUNTS = ("a", "b", "equal", "moved", "missing", "extra", "unknown")
"""The figures of a comparison, see `Likeness`."""


@dataclass(frozen=True)
class Sequence:
    """Items in order.

    Attributes:
        epochs: int64, shape (n,), never falling: the epoch of each item.
        codes: int64, shape (n,), from 0: equal for equal items, also between two sequences that are compared.
        known: bool, shape (n,): whether the item's content is known; what is not known equals nothing.
    """

    epochs: Array
    codes: Array
    known: Array

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def ordinals(self) -> Array:
        """The place of each item within its epoch, from 0."""
        ordinals: Array = np.arange(len(self)) - np.searchsorted(self.epochs, self.epochs)
        return ordinals


@dataclass(frozen=True)
class Likeness:
    """How alike two sequences A and B are.

    Attributes:
        same: whether they are equal, item by item; None where what is not known could decide it.
        cut_alike: whether they are compared epoch by epoch. Where more items are equal when the epochs'
            boundaries are not looked at, they are compared as one long sequence, in the epochs of A.
        counts: of all epochs together: `a` and `b`, the items of each; `equal`, at the same place; `moved`,
            in both at another place; `missing`, in A and not in B; `extra`, in B and not in A, both as often
            as the other lacks them; `unknown`, places where the content of one is not known.
        epochs: the same, a row an epoch. What moved into another epoch is missing in one and extra in the
            other.
        first: the row of the first difference in A and in B, -1 where one has nothing there; None for none.
    """

    same: bool | None
    cut_alike: bool
    counts: dict[str, int]
    epochs: pd.DataFrame
    first: tuple[int, int] | None


def codes(a: list[Any], b: list[Any]) -> tuple[Array, Array]:
    """Numbers the items of two sequences alike.

    Args:
        a: columns that hold the content of the items of A.
        b: the same of B.

    Returns:
        int64, shapes (len(A),) and (len(B),): equal where all columns are.
    """
    together, _ = numbered(*(_joined(ours, theirs) for ours, theirs in zip(a, b, strict=True)))
    return together[: len(a[0])], together[len(a[0]) :]


def _joined(ours: Any, theirs: Any) -> Array:
    """Two columns as one, of whole numbers: of what is no number, or is missing in places, one each."""
    columns = [pd.Series(column) for column in (ours, theirs)]
    kinds = {str(column.dtype).lower() for column in columns}
    if kinds in ({"int64"}, {"uint64"}) and not any(column.hasnans for column in columns):
        return np.concatenate([column.to_numpy(kinds.copy().pop()) for column in columns])
    number: Array = pd.factorize(pd.concat(columns, ignore_index=True))[0]
    return number


def compare(a: Sequence, b: Sequence) -> Likeness:
    """Compares two sequences.

    Args:
        a: the one that the other is measured against.
        b: the other.

    Returns:
        How alike they are.
    """
    by_epoch, as_one = _by_epoch(a, b), _as_one(a, b)
    pairs = as_one if as_one.equal.sum() > by_epoch.equal.sum() else by_epoch
    labels = np.union1d(pairs.a.epochs, pairs.b.epochs)
    every = pairs.tally(np.zeros(len(a), np.int64), np.zeros(len(b), np.int64), 1)
    each = pairs.tally(
        np.searchsorted(labels, pairs.a.epochs), np.searchsorted(labels, pairs.b.epochs), len(labels)
    )
    return Likeness(
        same=pairs.same,
        cut_alike=pairs is by_epoch,
        counts={name: int(values[0]) for name, values in every.items()},
        epochs=pd.DataFrame({"epoch": labels, **each}),
        first=pairs.first(),
    )


@dataclass(frozen=True)
class _Pairs:
    """Two sequences of which each item has at most one partner, that at the same place.

    Attributes:
        a: one sequence.
        b: the other, in the epochs in which it is compared.
        place_a: int64, rising: where each item of A stands.
        place_b: the same for B.
        to_b: the row in B of the partner of each item of A, -1 for none.
        to_a: the same the other way.
    """

    a: Sequence
    b: Sequence
    place_a: Array
    place_b: Array
    to_b: Array
    to_a: Array

    @cached_property
    def _comparable(self) -> Array:
        """Whose content is known on both sides, of A; also where there is no partner."""
        alone = self.to_b < 0
        comparable: Array = self.a.known & (alone | self._of_b(self.b.known, False))
        return comparable

    @cached_property
    def _comparable_b(self) -> Array:
        """The same of B."""
        alone = self.to_a < 0
        known = np.zeros(len(self.b), bool) if not len(self.a) else self.a.known[self.to_a]
        return self.b.known & (alone | known)

    @cached_property
    def equal(self) -> Array:
        """Bool, a value an item of A: whether its partner is equal."""
        partner = self._of_b(self.b.codes, -1)
        equal: Array = self._comparable & (self.to_b >= 0) & (partner == self.a.codes)
        return equal

    @cached_property
    def _differs(self) -> Array:
        differs: Array = (self.to_b < 0) | (self._comparable & ~self.equal)
        return differs

    def _of_b(self, values: Array, missing: Any) -> Array:
        """The partner's value, for each item of A."""
        if not len(self.b):
            return np.full(len(self.a), missing)
        found: Array = np.where(self.to_b >= 0, values[self.to_b], missing)
        return found

    @cached_property
    def same(self) -> bool | None:
        if self._differs.any() or (self.to_a < 0).any():
            return False
        return True if self._comparable.all() else None

    def first(self) -> tuple[int, int] | None:
        """The rows of the first place where the two differ."""
        in_a, in_b = np.flatnonzero(self._differs), np.flatnonzero(self.to_a < 0)
        if not len(in_a) and not len(in_b):
            return None
        if len(in_a) and (not len(in_b) or self.place_a[in_a[0]] < self.place_b[in_b[0]]):
            return int(in_a[0]), int(self.to_b[in_a[0]])
        return -1, int(in_b[0])

    def tally(self, group_a: Array, group_b: Array, groups: int) -> dict[str, Array]:
        """The counts of each group of items; partners are of one group."""

        def count(group: Array, chosen: Array) -> Array:
            counted: Array = np.bincount(group[chosen], minlength=groups)
            return counted

        comparable_a, comparable_b = self._comparable, self._comparable_b
        items = int(max(self.a.codes.max(initial=-1), self.b.codes.max(initial=-1))) + 1
        own, theirs = (
            group[chosen] * items + sequence.codes[chosen]
            for group, chosen, sequence in (
                (group_a, comparable_a, self.a),
                (group_b, comparable_b, self.b),
            )
        )
        number, cells = pd.factorize(np.concatenate([own, theirs]))
        in_a = np.bincount(number[: len(own)], minlength=len(cells))
        in_b = np.bincount(number[len(own) :], minlength=len(cells))
        group = cells // max(items, 1)

        def total(times: Array) -> Array:
            summed: Array = np.bincount(group, weights=times, minlength=groups).astype(np.int64)
            return summed

        equal = count(group_a, self.equal)
        return {
            "a": count(group_a, np.ones(len(self.a), bool)),
            "b": count(group_b, np.ones(len(self.b), bool)),
            "equal": equal,
            "moved": total(np.minimum(in_a, in_b)) - equal,
            "missing": total(np.maximum(in_a - in_b, 0)),
            "extra": total(np.maximum(in_b - in_a, 0)),
            "unknown": count(group_a, ~comparable_a) + count(group_b, ~comparable_b & (self.to_a < 0)),
        }


def _by_epoch(a: Sequence, b: Sequence) -> _Pairs:
    """Pairs items of the same epoch and the same place within it."""
    longest = int(max(a.ordinals.max(initial=0), b.ordinals.max(initial=0))) + 1
    place_a, place_b = (sequence.epochs * longest + sequence.ordinals for sequence in (a, b))
    return _Pairs(a, b, place_a, place_b, _found(place_a, place_b), _found(place_b, place_a))


def _as_one(a: Sequence, b: Sequence) -> _Pairs:
    """Pairs items of the same place in the whole sequence; B is then told in the epochs of A."""
    place_a, place_b = np.arange(len(a)), np.arange(len(b))
    if len(a):
        b = Sequence(a.epochs[np.minimum(place_b, len(a) - 1)], b.codes, b.known)
    return _Pairs(a, b, place_a, place_b, _found(place_a, place_b), _found(place_b, place_a))


def _found(wanted: Array, there: Array) -> Array:
    """The row in `there`, which rises, of each of `wanted`; -1 where it is not."""
    if not len(there):
        return np.full(len(wanted), -1)
    rows = np.searchsorted(there, wanted).clip(max=len(there) - 1)
    return np.where(there[rows] == wanted, rows, -1)
