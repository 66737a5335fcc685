"""Whether replicas took parts of orders of their own: the arithmetic of what is doubled and what is missing.

W replicas that each take n_w of N items, none twice and without regard to each other, have together
1 - (1 - n_1/N) ... (1 - n_W/N) of them: 1 - (1 - 1/W)^W for equal parts of the whole. Requires pandas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batchaudit.analysis import codes, replicas

_SIGMAS = 4.0
_WIDE = 0.03
_FEW = 0.01
_WHOLE = (0.75, 1.1)
_SURE = 0.01
_FEWEST = 6
_MORE, _LESS = 1.05, 0.85


@dataclass(frozen=True)
class Divergence:
    """An epoch whose replicas took parts of orders of their own.

    Attributes:
        epoch: the epoch.
        replicas: how many there were.
        count: how many items there are, N; where nobody says it, as many as were delivered.
        total: how many were delivered.
        different: how many of them were different.
        expected: which share of N is different by the arithmetic.
        deviation: its standard deviation, at most.
        reversed: two replicas of which one has the items of the other from the end; None for none.
    """

    epoch: int
    replicas: int
    count: int
    total: int
    different: int
    expected: float
    deviation: float
    reversed: tuple[int, int] | None = None

    @property
    def doubled(self) -> int:
        """How many deliveries were of an item that another replica had delivered, too."""
        return self.total - self.different

    @property
    def missing(self) -> int:
        """How many items were not delivered."""
        return max(0, self.count - self.different)

    @property
    def share(self) -> float:
        """Which share of the items was delivered."""
        return self.different / self.count


def diverged(
    items: pd.DataFrame, count: int | None, tail: int, *, listings: bool = False
) -> list[Divergence]:
    """The epochs whose replicas took parts of orders of their own.

    Args:
        items: a frame of items (see `replicas`).
        count: how many items there are; None where nobody says it.
        tail: how many items at a replica's end may be there to fill it up.
        listings: whether two replicas that go through equal items from opposite ends have parts of a listing
            that one of them has the other way round: true of ranks, which make their listings themselves.

    Returns:
        They; empty where it is so in none, or where the figures can mean something else.
    """
    figures = replicas.spread(items)
    figures = figures[figures["replicas"] > 1]
    if figures.empty or int(figures["within"].sum()) > _FEW * int(figures["total"].sum()):
        return []  # drawn with replacement, or stored more than once
    pairs = replicas.compare(items) if listings else []
    backwards = {pair.epoch: pair.who for pair in pairs if _backwards(pair)}
    labels, place = codes.ranked(items["epoch"].to_numpy(np.int64))
    rows = codes.rows_of(place, len(labels))
    found = []
    for row in figures.itertuples():
        epoch, total, different = int(row.epoch), int(row.total), int(row.different)
        reversed_pair = backwards.get(epoch)
        if reversed_pair is None and total - different < _FEWEST:
            continue
        here = items.iloc[rows[int(np.searchsorted(labels, epoch))]]
        sizes = replicas.lengths(here, epoch)
        n = count if count and total <= _WHOLE[1] * count else total
        expected = replicas.expected_share(sizes, n)
        spread = replicas.deviation(expected, replicas.units(here))
        one = Divergence(epoch, int(row.replicas), n, total, different, expected, spread, reversed_pair)
        if one.reversed is not None or (
            not (one.doubled <= tail * one.replicas and replicas.at_the_end(here, epoch, tail))
            and not replicas.each_as_often(here)
            and (_adds_up(one) if count else _as_expected(one, items))
        ):
            found.append(one)
    return found if len(found) > len(figures) / 2 else []


def _backwards(pair: replicas.Pair) -> bool:
    return pair.reversed and min(pair.sizes) >= _FEWEST and pair.alike == 1


def _adds_up(one: Divergence) -> bool:
    """Whether as many items came as there are, so that what is doubled is what is missing."""
    least, most = _WHOLE
    return least * one.count <= one.total <= most * one.count and one.missing >= _FEWEST / 2


def _as_expected(one: Divergence, items: pd.DataFrame) -> bool:
    """Whether the figures are those of parts of whole orders, where nobody says how many items there are."""
    # Orders that are made anew bring in other epochs what is missing in this one, and no more than that.
    seen, epochs = int(items["item"].nunique()), int(items["epoch"].nunique())
    anew = epochs > 1 and not replicas.same_in_all_epochs(items)
    if seen > _MORE * one.total or (anew and seen < _LESS * one.total):
        return False
    # That none of so many was doubled within a replica is no chance.
    by_chance = (1 - 1 / one.replicas) ** one.doubled
    near = abs(one.share - one.expected) <= max(_SIGMAS * one.deviation, _WIDE)
    return by_chance < _SURE and near
