"""What a batch takes its worker under each strategy, and how often the consumer gets one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError
from batchaudit.report.plots.style import (
    BLUE,
    GREY,
    HATCH,
    ORANGE,
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

    from batchaudit.report.model import Report

_COMPUTES, _WAITS, _MAKES, _CONSUMER, _STEP = BLUE, SKY, GREY, ORANGE, VERMILLION
_BAR = 0.38


def draw(report: Report, ax: Axes | Figure | None) -> Axes:
    """Draws the strategies that were timed, one under the other.

    Raises:
        UsageError: none was.
    """
    rows = [(advice, one.option) for advice in report.advice for one in advice.compared if one.option.timing]
    if not rows:
        raise UsageError("no strategy of this report was timed: audit with advise=True.")
    axes = axes_of(ax, 1.4 + 0.62 * len(rows))
    for place, (_, option) in enumerate(rows):
        _bars(axes, place, option.timing)
    steps = {advice.step_time for advice in report.advice if advice.step_time}
    for step in steps:
        axes.axvline(step * 1e3, color=_STEP, linestyle="--")
    axes.set_yticks(range(len(rows)), [_label(*row, len(report.advice) > 1) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds a batch")
    title(axes, "what a batch takes, and how often one comes")
    bare(axes, "left", "bottom")
    below(axes, _legend([option.timing for _, option in rows], bool(steps)), labels=2)
    return axes


def _bars(axes: Axes, place: int, timing: Any) -> None:
    if timing.make is not None:
        make = timing.make.middle * 1e3
        busy = 0.0 if timing.busy is None else min(timing.busy.middle * 1e3, make)
        colour, hatch = (_MAKES, None) if timing.busy is None else (_WAITS, HATCH)
        at = place - _BAR / 2
        axes.barh(at, busy, _BAR, color=_COMPUTES)
        axes.barh(at, make - busy, _BAR, left=busy, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    middle, low, high = (1e3 / value for value in (timing.rate.middle, timing.rate.high, timing.rate.low))
    spread = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
    axes.barh(place + _BAR / 2, middle, _BAR, xerr=spread, color=_CONSUMER, ecolor="grey", capsize=3)


def _label(advice: Any, option: Any, several: bool) -> str:
    lines = [advice.source] if several else []
    lines.append(option.strategy)
    if option.strategy == advice.best:
        lines.append("(advised)")
    elif option.causes:
        lines.append(f"({option.causes[0]})")
    return "\n".join(map(words, lines))


def _legend(timings: list[Any], with_step: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    made = [timing for timing in timings if timing.make is not None]
    shown: list[Any] = []
    if any(timing.busy is not None for timing in made):
        waits = "worker: waits (input, core, interpreter)"
        shown.append(Patch(color=_COMPUTES, label="worker: computes"))
        shown.append(Patch(facecolor=_WAITS, hatch=HATCH, edgecolor="white", linewidth=0, label=waits))
    if any(timing.busy is None for timing in made):
        # A training is not clocked: nobody knows which part of it was a wait.
        shown.append(Patch(color=_MAKES, label="worker: computes or waits"))
    shown.append(Patch(color=_CONSUMER, label="consumer: from one batch to the next"))
    step = [Line2D([], [], color=_STEP, linestyle="--", label="a training step")]
    return shown + (step if with_step else [])
