"""Finds where the head of one start's stream stood in the stream of an earlier start. Requires pandas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import sequences
from batchaudit.analysis.contents import hashed_by_sample
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.walk import by_content, by_id

Array = np.ndarray[Any, Any]
_ENDS = ("exhausted", "on_epoch_end")
_LONGEST = 512
"""Items of a head that are looked for; a longer one is no surer."""


@dataclass(frozen=True)
class Stream:
    """What one start was given, in order.

    Attributes:
        rows: a row an item: `epoch`, `step`, `item`, `digest`; by epoch and step.
        codes: int64, shape (items,): equal for equal items, also between the streams of one comparison.
        ended: whether its last epoch is known to have come to its end.
    """

    rows: pd.DataFrame
    codes: Array
    ended: bool

    def head(self, batches: int) -> Array:
        """The codes of its first batches, within its first epoch."""
        first = self.rows["epoch"].iloc[0]
        steps = self.rows["step"][self.rows["epoch"] == first]
        few = steps.drop_duplicates().iloc[:batches]
        return self.codes[: int(steps.isin(few).sum())]

    @property
    def epochs(self) -> list[Array]:
        """The codes of each epoch."""
        starts = np.flatnonzero(np.diff(self.rows["epoch"].to_numpy())) + 1
        return np.split(self.codes, starts)

    @property
    def batches(self) -> int:
        """How many batches it has."""
        return len(self.rows[["epoch", "step"]].drop_duplicates())


@dataclass(frozen=True)
class Window:
    """Where a head stood in an earlier stream.

    Attributes:
        epoch: the ordinal of the epoch, from 0.
        offset: how many items of that epoch came before it.
        length: how many items in a row are equal, to the end of that epoch at most.
        row: the row in the earlier stream.
    """

    epoch: int
    offset: int
    length: int
    row: int


def streams(starts: Sequence[Tables]) -> tuple[str, list[Stream]]:
    """Numbers the items of several starts alike.

    Args:
        starts: the events of each start; each delivered a batch.

    Returns:
        What tells items apart ("id", "content", or "batch" for the content of whole batches), and the
        streams.
    """
    if all(tables.ids_known for tables in starts):
        by, rows = "id", [by_id(tables).rows for tables in starts]
    elif all(hashed_by_sample(tables) for tables in starts):
        by, rows = "content", [by_content(tables).rows for tables in starts]
    else:
        by, rows = "batch", [_batches(tables) for tables in starts]
    together = sequences.codes([pd.concat([each["item"] for each in rows])], [rows[0]["item"].iloc[:0]])[0]
    codes = np.split(together, np.cumsum([len(each) for each in rows])[:-1])
    return by, [
        Stream(its, code, _ended(tables)) for its, code, tables in zip(rows, codes, starts, strict=True)
    ]


def windows(before: Stream, head: Array, after: Array) -> list[Window]:
    """Where a head stood in an earlier stream.

    Args:
        before: the earlier stream.
        head: the codes that must be there in a row.
        after: the codes of the whole first epoch that begins with the head, to see how far it goes.

    Returns:
        The places, in order; of each epoch the first two at most.
    """
    head = head[:_LONGEST]
    codes, found = before.codes, np.arange(max(len(before.codes) - len(head) + 1, 0))
    for place, code in enumerate(head):
        found = found[codes[found + place] == code]
        if not len(found):
            return []
    ordinals = pd.factorize(before.rows["epoch"])[0]
    begins = np.searchsorted(ordinals, ordinals)
    ends = np.searchsorted(ordinals, ordinals, side="right")
    within = found[found + len(head) <= ends[found]]
    within = within[pd.Series(ordinals[within]).groupby(ordinals[within]).cumcount().to_numpy() < 2]
    return [
        Window(int(ordinals[row]), int(row - begins[row]), _alike(codes[row : ends[row]], after), int(row))
        for row in within
    ]


def same_order(epochs: Sequence[Array]) -> bool | None:
    """Whether all epochs have one order, as far as they go; None with fewer than two."""
    if len(epochs) < 2:
        return None
    return all(_alike(epochs[0], other) == min(len(epochs[0]), len(other)) for other in epochs[1:])


def _alike(a: Array, b: Array) -> int:
    """How many items at the head of two sequences are equal."""
    several = min(len(a), len(b))
    other = np.flatnonzero(a[:several] != b[:several])
    return int(other[0]) if len(other) else several


def _batches(tables: Tables) -> pd.DataFrame:
    delivered = tables.delivered
    return pd.DataFrame(
        {
            "epoch": delivered["epoch"].to_numpy(),
            "step": delivered["step"].to_numpy(),
            "item": delivered["digest_lo"].to_numpy(np.uint64),
            "digest": delivered["digest_lo"].to_numpy(np.uint64),
        }
    )


def _ended(tables: Tables) -> bool:
    """Whether somebody said that the last epoch was over, after its last batch was taken."""
    last = tables.delivered["epoch"].max()
    taken = tables.delivered["began_ns"][tables.delivered["epoch"] == last].max()
    ends = tables.hooks[tables.hooks["text"].isin(_ENDS)]
    return bool((ends["began_ns"] >= taken).any())
