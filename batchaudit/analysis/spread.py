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
    measured = measured[np.isfinite(measured)]
    if not len(measured):
        return None
    low, middle, high = (float(value) for value in np.percentile(measured, [10, 50, 90]))
    return Spread(middle, low, high, len(measured))
