"""How often the items of each epoch came, and which contents several items share. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Copies:
    """The copies in one epoch.

    Attributes:
        epoch: its number.
        samples: how many samples it has.
        different: how many of them are different.
        times: the multiplicity histogram: {how often: how many different samples came so often}.
        places: the rows of two copies in what was given.
    """

    epoch: int
    samples: int
    different: int
    times: dict[int, int]
    places: tuple[int, int]

    @property
    def share(self) -> float:
        """Which part of the samples came before in the epoch."""
        return (self.samples - self.different) / self.samples

    @property
    def spike(self) -> int:
        """How often every sample came, where several came equally often; else 0."""
        return next(iter(self.times)) if len(self.times) == 1 and self.different > 1 else 0


def copies(rows: pd.DataFrame, column: str = "item") -> Copies | None:
    """The copies in the epoch that has most of them.

    Args:
        rows: `Walk.rows`, labelled from 0.
        column: what tells samples apart.

    Returns:
        They; None where no epoch has any.
    """
    again = rows.duplicated(["epoch", column])
    if not again.any():
        return None
    epoch = int(again.groupby(rows["epoch"]).mean().idxmax())
    here = rows[rows["epoch"] == epoch]
    second = here.index[again[here.index]][0]
    first = here.index[here[column] == here[column].loc[second]][0]
    times = here[column].value_counts().value_counts().sort_index()
    return Copies(
        epoch,
        len(here),
        int(here[column].nunique()),
        {int(often): int(count) for often, count in times.items()},
        (int(first), int(second)),
    )


def of_several_items(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each epoch and item; so a content that comes twice in an epoch is one of several items.

    Args:
        rows: `Walk.rows` by id.
    """
    return rows.drop_duplicates(["epoch", "item"]).reset_index(drop=True)


def in_passes(rows: pd.DataFrame, *, blurred: bool) -> bool:
    """Whether all epochs together are passes over the items, one after the other: epochs end within passes.

    Then no item comes a second time before every other came once.

    Args:
        rows: `Walk.rows` of one rank.
        blurred: whether a shuffle may have mixed the passes: then no item comes much more often than another.
            With contents for items, copies that the data holds would look so.
    """
    codes, different = pd.factorize(rows["item"])
    count = len(different)
    number = np.arange(len(codes)) // count
    if not bool(pd.DataFrame({"number": number, "code": codes}).duplicated().any()):
        return True
    times = np.bincount(codes)
    return blurred and int(times.max() - times.min()) <= (1 if len(codes) < 2 * count else 2)
