"""What a batch takes its worker, its consumer and the watching, under each strategy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError
from batchaudit.report.plots.style import (
    BLUE,
    GREY,
    HATCH,
    ORANGE,
    PINK,
    SKY,
    VERMILLION,
    axes_of,
    bare,
    below,
    title,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.advice import Option, SourceAdvice
    from batchaudit.report.model import Report, Run

_STEP = VERMILLION
_BAR, _MOST = 0.27, 24
_SEEN = (
    "Every batch was hashed while these times were taken; ba.audit(..., advise=True) times strategies "
    "without that, and hashing by itself."
)


@dataclass(frozen=True)
class _Row:
    """One strategy; times in milliseconds a batch, None where they were not measured.

    Attributes:
        label: what stands beside it.
        make: from asking the source for a batch to having it.
        busy: the part of it in which the worker computes.
        between: from one batch of the consumer to the next; and where most are, from and to.
        waited: the part of it in which the consumer waits.
        hashing: what a fingerprint takes.
    """

    label: str
    make: float | None
    busy: float | None
    between: tuple[float, float, float]
    waited: float | None
    hashing: float | None


def draw(report: Report, ax: Axes | Figure | None) -> Axes:
    """Draws the strategies, one under the other: as they were clocked, or as they went while watched.

    Raises:
        UsageError: too few batches came under each of them.
    """
    rows = _rows(report)
    if not rows:
        raise UsageError("no strategy of this report was timed: each delivered too few batches.")
    axes = axes_of(ax, 1.9 + 0.66 * min(len(rows), _MOST))
    kinds: dict[str, Any] = {}
    for place, row in enumerate(rows[:_MOST]):
        _draw(axes, place, row, kinds)
    steps = {advice.step_time for advice in report.advice if advice.step_time}
    for step in steps:
        kinds["a training step"] = axes.axvline(step * 1e3, color=_STEP, linestyle="--")
    axes.set_yticks(range(min(len(rows), _MOST)), [row.label for row in rows[:_MOST]])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds a batch")
    left_out = f"{len(rows) - _MOST} more runs are in Report.timing." if len(rows) > _MOST else ""
    seen = "" if any(row.hashing is not None for row in rows) else _SEEN
    title(axes, "what a batch takes, and how often one comes", left_out, seen)
    bare(axes, "left", "bottom")
    for label, handle in kinds.items():
        handle.set_label(label)
    below(axes, list(kinds.values()), labels=2)
    return axes


def _draw(axes: Axes, place: int, row: _Row, kinds: dict[str, Any]) -> None:
    """Draws one strategy, and notes what each kind of bar is."""

    def bar(kind: str, line: int, width: float, left: float = 0.0, **look: Any) -> None:
        if width > 0:
            drawn = axes.barh(place + (line - 1) * _BAR, width, _BAR, left=left, **look)
            kinds.setdefault(kind, drawn)

    if row.make is not None and row.busy is None:
        bar("worker: makes it", 0, row.make, color=BLUE)
    elif row.make is not None and row.busy is not None:
        busy = min(row.busy, row.make)
        bar("worker: computes", 0, busy, color=BLUE)
        waits = "worker: waits (input, core, interpreter)"
        bar(waits, 0, row.make - busy, busy, color=SKY, hatch=HATCH, edgecolor="white", linewidth=0)
    middle, low, high = row.between
    waited = 0.0 if row.waited is None else min(row.waited, middle)
    bar("consumer: waits for it", 1, waited, color=ORANGE)
    rest = "consumer: from one to the next" if row.waited is None else "consumer: does other work"
    bar(rest, 1, middle - waited, waited, color=GREY)
    spread = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
    axes.errorbar(middle, place, xerr=spread, color="grey", capsize=3)
    if row.hashing is not None:
        bar("batchaudit: hashes it", 2, row.hashing, color=PINK, hatch="..", edgecolor="white", linewidth=0)
        number = f" {row.hashing:.2g}"  # it is often too short to be measured with the eye
        axes.text(row.hashing, place + _BAR, number, va="center", fontsize="x-small", alpha=0.85)


def _rows(report: Report) -> list[_Row]:
    """The options of an advice that were timed, and the runs that no advice is about."""
    several = len({one.source for one in (*report.runs, *report.advice)}) > 1
    options = [
        (advice, one.option) for advice in report.advice for one in advice.compared if one.option.timing
    ]
    rows = [_of_option(advice, option, several) for advice, option in options]
    advised = {(advice.source, option.strategy) for advice, option in options}
    for run in report.runs:
        if (run.source, run.strategy) not in advised and len(found := report.timing_of(run)):
            rows.append(_of_run(run, found.iloc[0], several, len(report.ranks) > 1))
    return rows


def _of_option(advice: SourceAdvice, option: Option, several: bool) -> _Row:
    timing = option.timing
    assert timing is not None
    lines = [advice.source] if several else []
    lines.append(option.strategy)
    if option.strategy == advice.best:
        lines.append("(advised)")
    elif option.causes:
        lines.append(f"({option.causes[0]})")

    def of(name: str) -> float | None:
        value = getattr(timing, name)
        return None if value is None else value.middle * 1e3

    rate = timing.rate
    between = (1e3 / rate.middle, 1e3 / rate.high, 1e3 / rate.low)
    # A consumer that only takes batches waits for each.
    waited = between[0] if timing.clocked else of("waited")
    return _Row("\n".join(map(words, lines)), of("make"), of("busy"), between, waited, of("hashing"))


def _of_run(run: Run, figures: Any, several: bool, ranked: bool) -> _Row:
    lines = [run.source] if several else []
    lines.append(f"{run.strategy}, rank {run.rank}" if ranked else run.strategy)

    def of(name: str) -> float | None:
        value = float(figures.get(name, float("nan")))
        return None if value != value else value * 1e3

    between = (1e3 / figures["rate"], 1e3 / figures["rate_high"], 1e3 / figures["rate_low"])
    waited = between[0] if figures["clocked"] else of("waited")
    return _Row("\n".join(map(words, lines)), of("make"), of("busy"), between, waited, of("hashing"))
