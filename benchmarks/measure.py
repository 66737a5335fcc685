"""How things are timed: in turns, so that what else the machine does meets both, and compared by ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

LOW, HIGH = 10, 90
"""The percentiles between which a spread lies."""


@dataclass(frozen=True)
class Effort:
    """How much time a run of the benchmarks may take.

    Attributes:
        quick: few rounds and small amounts: to see that everything runs, not to believe its figures.
        full: also what takes minutes and gigabytes.
    """

    quick: bool = False
    full: bool = False

    def rounds(self, many: int) -> int:
        """How often to measure.

        Args:
            many: the rounds of a run that is to be believed.
        """
        return min(many, 3) if self.quick else many

    def amount(self, much: int, little: int) -> int:
        """How much of something to measure.

        Args:
            much: of a run that is to be believed.
            little: of a quick one.
        """
        return little if self.quick else much


@dataclass(frozen=True)
class Rounds:
    """What each round gave, in whatever unit.

    Attributes:
        ours: one figure a round.
        baseline: the baseline's of the same rounds.
    """

    ours: tuple[float, ...]
    baseline: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours to the baseline, round by round: both met the same machine."""
        return tuple(a / b for a, b in zip(self.ours, self.baseline, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """Between which ratios most rounds lie: their 10th and 90th percentile."""
        low, high = np.percentile(self.ratios, [LOW, HIGH])
        return float(low), float(high)


def median(values: Sequence[float]) -> float:
    """The median, as a plain float."""
    return float(np.median(values))


def in_turns(
    *calls: Callable[[], Any],
    rounds: int,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, ...]]:
    """Times several calls in turns: A B C A B C ...

    Args:
        *calls: what to time; each is called once before, for what only a first call costs.
        rounds: how many turns each gets.
        repeats: how often to call in a turn, where one call is too short for a clock.
        clock: gives seconds.

    Returns:
        For each call its seconds a call, a figure a round.
    """
    for call in calls:
        call()
    turns = [[_seconds(call, repeats, clock) for call in calls] for _ in range(rounds)]
    return list(zip(*turns, strict=True))


def _seconds(call: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(repeats):
        call()
    return (clock() - began) / repeats


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The exponent k of seconds ~ sizes**k, by least squares on logarithms: 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def missing(*modules: str) -> str:
    """Says which packages are not installed, without importing any.

    Args:
        *modules: what is needed.

    Returns:
        "joblib is not installed", or "" where all are there.
    """
    absent = [module for module in modules if find_spec(module) is None]
    if not absent:
        return ""
    return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
