"""What serial passes over fresh sources say of a source: what is deterministic, what is drawn anew.

Requires pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import Tables


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
        return bool(first == other) and _sample_set(self.again, 0) == first

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
        delivered = _epoch(self.first, epoch)
        if delivered is None or delivered.empty or self.first is None:
            return {"expected_unique": np.nan, "expected_unique_samples": np.nan}
        rows = self.first.samples[self.first.samples["event"].isin(delivered.index)]
        return {
            "expected_unique": len(set(zip(delivered["digest_hi"], delivered["digest_lo"], strict=True))),
            "expected_unique_samples": rows["digest"].nunique() if len(rows) else np.nan,
        }

    @cached_property
    def samples(self) -> set[Any]:
        """The digests of all samples of the first pass."""
        return _values(self.first, "digest", None)

    @cached_property
    def _ids(self) -> set[Any]:
        return _values(self.first, "id", None)

    def size(self, column: str) -> int:
        """How many different samples the source has in an epoch.

        Args:
            column: "id" or "digest".

        Returns:
            The number; 0 where it is not known.
        """
        return len(_values(self.first, column, 0))

    def coverage(self, rows: pd.DataFrame, epoch: int) -> float:
        """Which share of the samples that the source has in an epoch was seen.

        Args:
            rows: the epoch's delivered samples, `digest` and `id`.
            epoch: its number.

        Returns:
            A share from 0 to 1; NaN where it cannot be known: without ids, of samples whose content is drawn.
        """
        by_id = not rows["id"].isna().any()
        column = "id" if by_id else "digest"
        here = _values(self.first, column, epoch)
        if not here or (not by_id and not self.fixed_samples):
            return float("nan")
        seen = set(rows[column])
        known = seen & (self._ids if by_id else self.samples)
        # Where most samples are in no serial pass, their content depends on the worker: no share is known.
        return min(1.0, len(known) / len(here)) if len(known) > len(seen) / 2 else float("nan")


def _epoch(tables: Tables | None, epoch: int) -> pd.DataFrame | None:
    return None if tables is None else tables.delivered[tables.delivered["epoch"] == epoch]


def _same(first: pd.DataFrame | None, other: pd.DataFrame | None) -> bool | None:
    if first is None or other is None or first.empty or other.empty:
        return None
    return all(np.array_equal(first[name], other[name]) for name in ("digest_hi", "digest_lo"))


def _values(tables: Tables | None, column: str, epoch: int | None) -> set[Any]:
    if tables is None:
        return set()
    delivered = tables.delivered if epoch is None else tables.delivered[tables.delivered["epoch"] == epoch]
    return set(tables.samples[column][tables.samples["event"].isin(delivered.index)].dropna())


def _sample_set(tables: Tables | None, epoch: int) -> set[Any] | None:
    return None if tables is None else _values(tables, "digest", epoch)
