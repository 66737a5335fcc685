"""Which items are not what they are without workers. Frame in, frame out. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.items import constant, contents
from batchaudit.analysis.tables import Tables, chosen

Array = np.ndarray[Any, Any]

_RIGHT = 0.02
_ALIGNED = 0.25
"""An epoch is a serial one if it differs from it by less than this part of what serial epochs differ by."""


@dataclass(frozen=True)
class Wrong:
    """The items of a run against those of the serial passes.

    Attributes:
        rows: `Contents.rows` that could be compared, with further columns `wrong`, whether the item holds
            something else than without workers, and `elsewhere`, whether that is what another item holds.
        fixed: whether an item holds the same in all serial passes.
    """

    rows: pd.DataFrame
    fixed: bool

    @property
    def wrong(self) -> pd.DataFrame:
        """The rows that are."""
        return self.rows[self.rows["wrong"]]

    def of_first_epoch(self) -> Wrong:
        """The same of the first epoch alone."""
        delivered = self.rows[self.rows["epoch"] >= 0]
        return Wrong(delivered[delivered["epoch"] == delivered["epoch"].min()], self.fixed)

    def interleaved(self) -> bool:
        """Whether workers that made wrong items made right ones after them: what they hold is not another."""
        first = self.wrong.groupby("worker")["local_step"].min().rename("first")
        later = self.rows.join(first, on="worker", how="inner")
        later = later[later["local_step"] >= later["first"]]
        return bool((~later["wrong"]).mean() > _RIGHT)


def against_serial(made: Tables, baseline: Baseline) -> Wrong | None:
    """Compares what each item held with what it holds in the serial passes.

    Args:
        made: the events of the run.
        baseline: the serial passes.

    Returns:
        None where items have no numbers, or hold something else in each serial epoch, or may do so, and no
        epoch of the run is one of theirs.
    """
    passes = [each for each in (baseline.first, baseline.again, baseline.reseeded) if each is not None]
    run, serial = contents(made), [contents(each) for each in passes]
    if not run.by or not serial or any(each.by != run.by for each in serial):
        return None
    made_by_workers = run.rows[run.rows["worker"] >= 0]  # not what a framework looked at before
    always = constant(*(each.rows for each in serial))
    if always is not None:
        rows = _marked(made_by_workers, always)
        # One epoch does not show that another has the same.
        several = serial[0].rows["epoch"].nunique() > 1
        return Wrong(rows, True) if several or not rows["wrong"].any() else None
    delivered = made_by_workers[made_by_workers["epoch"] >= 0]
    known = _aligned(delivered, serial[0].rows)
    return Wrong(pd.concat(known), False) if known else None


def _marked(rows: pd.DataFrame, expected: pd.Series) -> pd.DataFrame:
    place = expected.index.get_indexer(pd.Index(rows["item"]))
    known = chosen(rows, place >= 0)
    wrong = known["content"].to_numpy() != expected.to_numpy()[place[place >= 0]]
    elsewhere = np.zeros(len(known), bool)
    if wrong.any():
        elsewhere[wrong] = known["content"][wrong].isin(expected)
    return known.assign(wrong=wrong, elsewhere=elsewhere)


def _aligned(run: pd.DataFrame, serial: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each epoch against the serial epoch that it is; none of one that is none of them."""
    serial = chosen(serial, (serial["epoch"] >= 0).to_numpy())
    item, items = codes.numbered(np.concatenate([run["item"], serial["item"]]))
    known = _Epochs(serial, item[len(run) :], items)
    if known.count < 2:
        return []
    apart = min(float(known.distances(*known.of(number))[number + 1]) for number in range(known.count - 1))
    epochs = _Epochs(run, item[: len(run)], items)
    rows = codes.rows_of(codes.ranked(run["epoch"].to_numpy())[1], epochs.count)
    found = []
    for number in range(epochs.count):
        distances = known.distances(*epochs.of(number))
        best = int(np.argmin(distances))
        if distances[best] < _ALIGNED * apart:
            found.append(_marked(run.iloc[rows[number]], known.by_item(best)))
    return found


class _Epochs:
    """What each item held when it first came in an epoch, epoch after epoch.

    Args:
        rows: `Contents.rows`.
        item: int64, shape (rows,): a number for each row's item.
        items: what these are below.
    """

    def __init__(self, rows: pd.DataFrame, item: Array, items: int) -> None:
        epoch = codes.ranked(rows["epoch"].to_numpy())[1]
        once = codes.first_rows(codes.numbered(epoch, item)[0])
        once = once[np.argsort(epoch[once], kind="stable")]
        self._name, self._item = rows["item"].to_numpy()[once], item[once]
        self._content = rows["content"].to_numpy(np.uint64)[once]
        self._begins = codes.starts(epoch[once])
        self._ends = np.append(self._begins[1:], len(once))
        self.count = len(self._begins)
        self._held, self._there = np.zeros(items, np.uint64), np.zeros(items, bool)

    def of(self, number: int) -> tuple[Array, Array]:
        """The items of an epoch and what they held."""
        here = slice(self._begins[number], self._ends[number])
        return self._item[here], self._content[here]

    def by_item(self, number: int) -> pd.Series:
        """What each item held in an epoch."""
        here = slice(self._begins[number], self._ends[number])
        return pd.Series(self._content[here], index=self._name[here])

    def distances(self, item: Array, content: Array) -> Array:
        """Which part of some items held something else in each epoch; 1 where it has none of them."""
        self._held[item], self._there[item] = content, True
        common = self._there[self._item]
        other = common & (self._held[self._item] != self._content)
        self._there[item] = False
        both, differ = (np.add.reduceat(each, self._begins, dtype=np.int64) for each in (common, other))
        distances: Array = np.where(both > 0, differ / np.maximum(both, 1), 1.0)
        return distances


def disagreeing(run: Wrong, again: Wrong) -> int:
    """How many items are wrong in one of two equal runs and hold something else in the other.

    Args:
        run: a run.
        again: its first epoch, or the beginning of it, once more.
    """
    first = run.of_first_epoch().rows
    mine, other = first.drop_duplicates("item"), again.of_first_epoch().rows.drop_duplicates("item")
    pairs = mine.merge(other, on="item", suffixes=("", "_again"))
    differ = pairs["content"] != pairs["content_again"]
    return int((differ & (pairs["wrong"] | pairs["wrong_again"])).sum())


def foreign_samples(made: Tables, baseline: Baseline) -> pd.DataFrame:
    """The samples that were made and are in no serial pass.

    Args:
        made: the events of the run.
        baseline: the serial passes; samples must be fixed.

    Returns:
        Rows of `Tables.samples`.
    """
    rows = made.samples[made.samples["event"].isin(made.produced.index)]
    return rows[~rows["digest"].isin(baseline.samples)]
