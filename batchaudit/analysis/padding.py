"""Finds the copies that fill an epoch up to equal lengths. Frame in, figures out. Requires pandas.

An epoch's items are dealt out to takers: ranks, workers, or the one that takes them all. Put back into the
order in which they were dealt out, a padded epoch is N different items followed by its own head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]

WHOLE, ONE_BY_ONE, BY_BATCH, IN_BLOCKS = "to one", "one by one", "batch by batch", "in blocks"
HEAD, LAST, NEXT, OWN = "head", "last", "next", "own"
_MOSTLY = 0.9


@dataclass(frozen=True)
class Padding:
    """The copies at the end of one epoch.

    Attributes:
        items: N, how many different items there are.
        copies: how many items came again; (-N) mod `multiple`, of each taker where `filled` is "own".
        multiple: what the number of items was filled up to a multiple of.
        dealt: how the items were dealt out.
        filled: with what: "head", the head of the order; "last", its last item again; "next", the head of the
            next taker's share; "own", the head of the taker's own share.
        first: the row at which the first copied item came first.
        copy: the row of its copy.
    """

    items: int
    copies: int
    multiple: int
    dealt: str
    filled: str
    first: int
    copy: int


def copies(rows: pd.DataFrame) -> int:
    """How many items of an epoch came again."""
    return len(rows) - int(rows["item"].nunique())


def batch_size(rows: pd.DataFrame, taker: str) -> int:
    """How many items a batch has, where all have as many but the last of each taker; else 0.

    Args:
        rows: one epoch of `Walk.rows`.
        taker: the column that says who took an item.
    """
    sizes = rows.groupby([taker, "step"], sort=True).size()
    largest = int(sizes.max()) if len(sizes) else 0
    whole = sizes.groupby(level=0).cumcount(ascending=False) > 0
    return largest if bool((sizes[whole] == largest).all()) else 0


def padding(
    rows: pd.DataFrame,
    taker: str,
    multiples: Mapping[int, str],
    *,
    batch: int = 0,
    items: int | None = None,
    last: bool = False,
) -> Padding | None:
    """Looks whether an epoch was filled up with copies.

    Args:
        rows: one epoch of `Walk.rows`, in the order of delivery.
        taker: the column that says who took an item.
        multiples: what the number of items may have been filled up to a multiple of.
        batch: the batch size, to a multiple of which each taker may have filled up its own share; 0 for none.
        items: how many items there are, where another than the number of different ones may be true: data
            may hold equal items. None for the number of different ones.
        last: whether the last item again and again is padding, too. Rows of zeros would look so, by content.

    Returns:
        The padding; None where there is none.
    """
    rows = rows.reset_index(drop=True)
    takers = pd.factorize(rows[taker], sort=True)[0]
    sizes = np.bincount(takers)
    if len(sizes) == 1:
        return _filled(rows, {WHOLE: np.arange(len(rows))}, multiples, items, last)
    found = None
    if len(set(sizes)) == 1:  # that is what padding is for
        orders = _orders(rows, takers)
        found = _filled(rows, orders, multiples, items, last)
        found = found or _from_next(rows, takers, multiples)
        found = found or _from_own(rows, takers, multiples, 0)
    return found or (_from_own(rows, takers, {}, batch) if batch > 1 else None)


def goes_on(before: pd.DataFrame, after: pd.DataFrame, found: Padding) -> bool:
    """Whether the next epoch goes on where the copies end: a stream runs through, and none comes too often.

    Args:
        before: one epoch of `Walk.rows` in which `found` was found.
        after: the next epoch.
        found: the padding, of one taker.
    """
    if found.dealt != WHOLE or found.filled != HEAD:
        return False
    rest = before["item"].to_numpy()[found.copies : found.items]
    head = after["item"].to_numpy()[: len(rest)]
    return len(head) > 0 and bool(np.array_equal(rest[: len(head)], head))


def _orders(rows: pd.DataFrame, takers: Array) -> dict[str, Array]:
    """The rows in each of the orders in which they may have been dealt out."""
    by_taker = rows.groupby(takers)
    turn = by_taker.cumcount().to_numpy()
    batch = by_taker["step"].rank("dense").to_numpy()
    return {
        ONE_BY_ONE: np.lexsort((takers, turn)),
        BY_BATCH: np.lexsort((turn, takers, batch)),
        IN_BLOCKS: np.lexsort((turn, takers)),
    }


def _filled(
    rows: pd.DataFrame,
    orders: Mapping[str, Array],
    multiples: Mapping[int, str],
    items: int | None,
    last: bool,
) -> Padding | None:
    values = rows["item"].to_numpy()
    for dealt, order in orders.items():
        codes, different = pd.factorize(values[order])
        for count in dict.fromkeys([len(different)] if items is None else [len(different), items]):
            extra = len(codes) - count
            multiple = _multiple(count, extra, multiples)
            how = _how(codes, count, extra, last) if multiple else ""
            if how:
                first = order[0] if how == HEAD else order[count - 1]
                return Padding(count, extra, multiple, dealt, how, int(first), int(order[count]))
    return None


def _multiple(items: int, extra: int, multiples: Mapping[int, str]) -> int:
    """The first of the multiples to which so many copies fill up so many items; 0 for none."""
    if not 0 < extra < items:  # all of them twice is no padding
        return 0
    return next((multiple for multiple in multiples if multiple > 1 and -items % multiple == extra), 0)


def _how(codes: Array, items: int, extra: int, last: bool) -> str:
    """With what an order of so many items is filled up; "" where it is not that."""
    tail, different = codes[items:], int(codes.max()) + 1
    # Where the data holds equal items, fewer are different than there are.
    once = bool((codes[:items] == np.arange(items)).all()) or _MOSTLY * items <= different < items
    if once and np.array_equal(tail, codes[:extra]):
        return HEAD
    return LAST if last and once and bool((tail == codes[items - 1]).all()) else ""


def _shares(rows: pd.DataFrame, takers: Array) -> Iterator[tuple[Array, Array]]:
    """The rows and the codes of each taker's items."""
    codes = pd.factorize(rows["item"])[0]
    for taker in range(int(takers.max()) + 1):
        its = np.flatnonzero(takers == taker)
        yield its, codes[its]


def _from_next(rows: pd.DataFrame, takers: Array, multiples: Mapping[int, str]) -> Padding | None:
    """Whether each share ends with the head of the next one."""
    shares = list(_shares(rows, takers))
    items = rows["item"].nunique()
    extra = len(rows) - items
    multiple = _multiple(items, extra, multiples)
    example, seen = None, 0
    for (its, own), (theirs, following) in zip(shares, [*shares[1:], shares[0]], strict=True):
        more = int(np.isin(own, following).sum())
        if len(np.unique(own)) < len(own) or not np.array_equal(own[len(own) - more :], following[:more]):
            return None
        seen += more
        if more and example is None:
            example = int(theirs[0]), int(its[len(own) - more])
    if not multiple or seen != extra or example is None:
        return None
    return Padding(items, extra, multiple, IN_BLOCKS, NEXT, *example)


def _from_own(rows: pd.DataFrame, takers: Array, multiples: Mapping[int, str], batch: int) -> Padding | None:
    """Whether shares that have nothing in common end with their own heads.

    Args:
        rows: one epoch.
        takers: who took each row.
        multiples: for shares of equal length: of what all of them together are a multiple.
        batch: for shares of any length: of what each is a multiple; 0 for `multiples`.
    """
    items = rows["item"].nunique()
    example, own_items = None, 0
    for its, own in _shares(rows, takers):
        codes, different = pd.factorize(own)
        count, extra = len(different), len(own) - len(different)
        own_items += count
        if not extra:
            continue
        if not _how(codes, count, extra, False) or (batch and -count % batch != extra):
            return None
        example = example or (int(its[0]), int(its[count]))
    extra = len(rows) - items
    multiple = batch or _multiple(items, extra, multiples)
    if example is None or own_items != items or not multiple:
        return None
    return Padding(items, extra, multiple, IN_BLOCKS, OWN, *example)
