"""Which items are not what they are without workers. Frame in, frame out. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.items import constant, contents
from batchaudit.analysis.tables import Tables

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
    parts = [_aligned(rows, serial[0].rows) for _, rows in delivered.groupby("epoch")]
    known = [part for part in parts if part is not None]
    return Wrong(pd.concat(known), False) if known else None


def _marked(rows: pd.DataFrame, expected: pd.Series) -> pd.DataFrame:
    known = rows[rows["item"].isin(expected.index)]
    right = expected.loc[known["item"]].to_numpy()
    wrong = known["content"].to_numpy() != right
    elsewhere = wrong & known["content"].isin(expected).to_numpy()
    return known.assign(wrong=wrong, elsewhere=elsewhere)


def _aligned(rows: pd.DataFrame, serial: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of one epoch against the serial epoch that they are; None where they are none of them."""
    maps = [_by_item(each) for _, each in serial[serial["epoch"] >= 0].groupby("epoch")]
    if len(maps) < 2:
        return None
    apart = min(_mismatch(maps[n], maps[n + 1]) for n in range(len(maps) - 1))
    here = _by_item(rows)
    distances = [_mismatch(here, each) for each in maps]
    best = int(np.argmin(distances))
    return _marked(rows, maps[best]) if distances[best] < _ALIGNED * apart else None


def _by_item(rows: pd.DataFrame) -> pd.Series:
    return rows.drop_duplicates("item").set_index("item")["content"]


def _mismatch(a: pd.Series, b: pd.Series) -> float:
    common = a.index.intersection(b.index)
    return float((a.loc[common].to_numpy() != b.loc[common].to_numpy()).mean()) if len(common) else 1.0


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
