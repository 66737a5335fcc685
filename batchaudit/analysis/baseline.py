"""What serial passes over fresh sources say of a source: what is deterministic, what is drawn anew.

Requires pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import Tables

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Baseline:
    """The serial passes: one over all epochs, one again, one with the global streams seeded otherwise.

    Attributes:
        first: the pass over all epochs; None where none was driven.
        again: one epoch, from the same states of the global streams; None where none was driven.
        reseeded: one epoch, from other states; None where none was driven.
    """

    first: Tables | None = None
    again: Tables | None = None
    reseeded: Tables | None = None

    @cached_property
    def repeatable(self) -> bool | None:
        """Whether a second pass from the same states gave the same batches; None where not known."""
        return _same(_epoch(self.first, 0), _epoch(self.again, 0))

    @cached_property
    def deterministic(self) -> bool | None:
        """Whether the batches are the same whatever the states of the global streams; None: not known."""
        same = _same(_epoch(self.first, 0), _epoch(self.reseeded, 0))
        return None if self.repeatable is None or same is None else self.repeatable and same

    @cached_property
    def fixed_samples(self) -> bool | None:
        """Whether the samples are the same in every pass, in whatever order: nothing draws their content."""
        first, other = _sample_set(self.first, 0), _sample_set(self.reseeded, 0)
        if first is None or other is None:
            return None
        again = _sample_set(self.again, 0)
        return np.array_equal(first, other) and again is not None and np.array_equal(first, again)

    def sequence(self) -> np.ndarray:
        """The digests of the first pass' batches in order, all epochs.

        Returns:
            uint64, shape (batches,).
        """
        if self.first is None:
            return np.empty(0, np.uint64)
        digests: np.ndarray = self.first.delivered["digest_lo"].to_numpy(np.uint64)
        return digests

    def expected(self, epoch: int) -> dict[str, Any]:
        """How many batches and samples of an epoch differ when no worker is used; NaN where not known."""
        unknown = {"expected_unique": np.nan, "expected_unique_samples": np.nan}
        return self._expected.get(epoch, unknown)

    @cached_property
    def _expected(self) -> dict[int, dict[str, Any]]:
        if self.first is None:
            return {}
        labels, place = self.first.epochs
        batches = codes.different(place, self.first.contents[0], len(labels))
        samples = np.bincount(self.first.sample_contents.group, minlength=len(labels))
        sampled = np.bincount(place[self.first.delivered_samples[1]], minlength=len(labels)) > 0
        return {
            int(epoch): {
                "expected_unique": int(batches[n]),
                "expected_unique_samples": int(samples[n]) if sampled[n] else np.nan,
            }
            for n, epoch in enumerate(labels)
        }

    @cached_property
    def samples(self) -> Array:
        """The different digests of all samples of the first pass: uint64, sorted."""
        return codes.distinct(_values(self.first, "digest"))

    def size(self, column: str) -> int:
        """How many different samples the source has in an epoch.

        Args:
            column: "id" or "digest".

        Returns:
            The number; 0 where it is not known.
        """
        return len(codes.distinct(_values(self.first, column, 0)))

    def coverage(self, tables: Tables) -> Array:
        """Which share of the samples that the source has in an epoch was seen.

        Args:
            tables: the events of a run.

        Returns:
            A share from 0 to 1 for each of the run's epochs; NaN where it cannot be known: without ids, of
            samples whose content is drawn.
        """
        labels, place = tables.epochs
        shares = np.full(len(labels), np.nan)
        if self.first is None:
            return shares
        rows, batch = tables.delivered_samples
        epoch = place[batch]
        unnamed = np.bincount(epoch[rows["id"].isna().to_numpy()], minlength=len(labels)) > 0
        if not unnamed.all():
            self._covered(shares, "id", rows, epoch, labels, ~unnamed)
        if unnamed.any() and self.fixed_samples:
            self._covered(shares, "digest", rows, epoch, labels, unnamed)
        return shares

    def _covered(
        self, shares: Array, column: str, rows: pd.DataFrame, epoch: Array, labels: Array, chosen: Array
    ) -> None:
        """Fills in the shares of the chosen epochs, by one column."""
        missing = rows[column].isna().to_numpy()
        here = chosen[epoch] & ~missing
        values = words(rows[column][here])
        code, count = codes.numbered(values)
        value = np.zeros(count, np.uint64)
        value[code] = values
        known = pd.Series(value).isin(_values(self.first, column)).to_numpy()
        pairs = codes.pairs(epoch[here], code)
        seen = np.bincount(pairs.group, minlength=len(labels))
        # What has no content is another sample that no serial pass had.
        seen += np.bincount(epoch[chosen[epoch] & missing], minlength=len(labels)) > 0
        had = np.bincount(pairs.group[known[pairs.item]], minlength=len(labels))
        sizes = self._sizes(column)
        for n in np.flatnonzero(chosen):
            has = sizes.get(int(labels[n]), 0)
            # Where most samples are in no serial pass, their content is the worker's: no share is known.
            if has and had[n] > seen[n] / 2:
                shares[n] = min(1.0, int(had[n]) / has)

    def _sizes(self, column: str) -> dict[int, int]:
        """How many different samples each epoch of the first pass has."""
        if self.first is None:
            return {}
        labels, place = self.first.epochs
        if column == "digest":
            group = self.first.sample_contents.group
        else:
            rows, batch = self.first.delivered_samples
            known = rows["id"].notna().to_numpy()
            ids = codes.numbered(words(rows["id"][known]))[0]
            group = codes.pairs(place[batch][known], ids).group
        return dict(zip(labels.tolist(), np.bincount(group, minlength=len(labels)).tolist(), strict=True))


def words(values: pd.Series) -> Array:
    """Whole numbers, none of them missing, as 64 bits each: uint64."""
    if values.dtype == object:
        return np.array([int(value) & _WORD for value in values], np.uint64)
    whole: Array = values.to_numpy(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64)
    return whole


_WORD = 2**64 - 1


def _epoch(tables: Tables | None, epoch: int) -> pd.DataFrame | None:
    return None if tables is None else tables.delivered[tables.delivered["epoch"] == epoch]


def _same(first: pd.DataFrame | None, other: pd.DataFrame | None) -> bool | None:
    if first is None or other is None or first.empty or other.empty:
        return None
    return all(np.array_equal(first[name], other[name]) for name in ("digest_hi", "digest_lo"))


def _values(tables: Tables | None, column: str, epoch: int | None = None) -> Array:
    """What a column of the delivered samples holds, of all epochs or of one: uint64."""
    if tables is None:
        return np.empty(0, np.uint64)
    rows, batch = tables.delivered_samples
    here = rows[column].notna().to_numpy()
    if epoch is not None:
        here = here & (tables.delivered["epoch"].to_numpy()[batch] == epoch)
    return words(rows[column][here])


def _sample_set(tables: Tables | None, epoch: int) -> Array | None:
    return None if tables is None else codes.distinct(_values(tables, "digest", epoch))
