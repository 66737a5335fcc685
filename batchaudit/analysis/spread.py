"""A measured figure with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """A figure that was measured several times.

    Attributes:
        middle: the median.
        low: the tenth percentile.
        high: the ninetieth.
        count: how often it was measured.
    """

    middle: float
    low: float
    high: float
    count: int

    def over(self, other: Spread) -> Spread:
        """The ratio of two figures: its ends are those of the worst cases."""
        return Spread(
            self.middle / max(other.middle, 1e-12),
            self.low / max(other.high, 1e-12),
            self.high / max(other.low, 1e-12),
            min(self.count, other.count),
        )


def spread(values: Sequence[float] | np.ndarray[Any, Any]) -> Spread | None:
    """The spread of some measurements.

    Args:
        values: the measurements.

    Returns:
        None where there are none.
    """
    measured = np.asarray(values, float)
    finite = np.isfinite(measured)
    # Of what is sorted NumPy finds percentiles at once; to sort takes it less time than to find them.
    measured = np.sort(measured if finite.all() else measured[finite])
    if not len(measured):
        return None
    found = np.percentile(measured, [10, 50, 90], overwrite_input=True)
    low, middle, high = (float(value) for value in found)
    return Spread(middle, low, high, len(measured))
