"""One line of the table: ours, a baseline, their ratio, and the target it was to meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.measure import Rounds, median

_SCALES = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class Target:
    """What a line promises.

    Attributes:
        most: of the ratio or of our own figure, in the line's unit.
        of: which of the two.
        words: how it is shown; by default the number with its unit.
        least: whether it must be reached, and not kept below.
    """

    most: float
    of: Literal["ratio", "ours"] = "ratio"
    words: str = ""
    least: bool = False

    def is_met(self, ours: float, ratio: float | None) -> bool:
        """Whether figures keep the promise.

        Args:
            ours: our own figure, in the line's unit.
            ratio: ours to the baseline; None where there is none.
        """
        value = ours if self.of == "ours" else ratio
        if value is None:
            raise ValueError("a target of the ratio needs a baseline")
        return value >= self.most if self.least else value <= self.most

    def text(self, unit: str) -> str:
        """How the table shows it.

        Args:
            unit: the line's.
        """
        sign = "≥" if self.least else "≤"
        return self.words or f"{sign} {self.most:g} {'x' if self.of == 'ratio' else unit}"


@dataclass(frozen=True)
class Line:
    """A comparison as the table and the JSON show it; what was not measured is None.

    Attributes:
        what: what was measured.
        ours: our figure, the median of the rounds, in `unit`.
        unit: such as "µs"; of `baseline` too.
        against: the baseline, in words.
        baseline: its figure.
        ratio: the median of the rounds' ratios of ours to the baseline.
        spread: the 10th and the 90th percentile of these ratios.
        rounds: how many there were.
        target: what was promised, in words; "" where nothing was.
        met: whether it was kept; None where nothing was promised or measured.
        note: what else is to be known; why it was not measured.
    """

    what: str
    ours: float | None = None
    unit: str = ""
    against: str = ""
    baseline: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    rounds: int = 0
    target: str = ""
    met: bool | None = None
    note: str = ""


def compared(
    what: str,
    ours: Sequence[float],
    baseline: Sequence[float],
    *,
    unit: str,
    against: str,
    target: Target | None = None,
    per: float = 1,
    note: str = "",
) -> Line:
    """A line of ours and a baseline.

    Args:
        what: what was measured.
        ours: seconds of each round.
        baseline: the baseline's seconds of the same rounds.
        unit: "s", "ms", "µs" or "ns"; one with "a row" or the like behind it is scaled by its first word.
        against: the baseline, in words.
        target: what is promised.
        per: of how many things the seconds are.
        note: what else is to be known.
    """
    rounds = Rounds(tuple(ours), tuple(baseline))
    scale = _SCALES[unit.split()[0]] / per
    figure = median(ours) * scale
    return Line(
        what,
        figure,
        unit,
        against,
        median(baseline) * scale,
        rounds.ratio,
        rounds.spread,
        len(rounds.ours),
        target.text(unit) if target else "",
        target.is_met(figure, rounds.ratio) if target else None,
        note,
    )


def alone(what: str, ours: float, *, unit: str, target: Target | None = None, note: str = "") -> Line:
    """A line of a figure that has no baseline.

    Args:
        what: what was measured.
        ours: the figure, in `unit`.
        unit: any.
        target: what is promised of the figure.
        note: what else is to be known.
    """
    return Line(
        what,
        ours,
        unit,
        target=target.text(unit) if target else "",
        met=target.is_met(ours, None) if target else None,
        note=note,
    )


def not_measured(what: str, why: str, target: Target | None = None, unit: str = "") -> Line:
    """A line that says why there is no figure; it is neither met nor missed.

    Args:
        what: what was to be measured.
        why: such as "joblib is not installed".
        target: what is promised.
        unit: of the target.
    """
    return Line(what, unit=unit, target=target.text(unit) if target else "", note=f"not measured: {why}")
