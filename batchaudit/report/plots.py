"""Pictures of a report. Requires matplotlib, imported when one is drawn.

Colours are those of Okabe and Ito, which people of every colour vision tell apart; what matters is also said
by hatching or by words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError
from batchaudit.report.cells import clean_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from batchaudit.report.model import Report

_COMPUTES, _WAITS, _CONSUMER, _STEP = "#0072B2", "#56B4E9", "#E69F00", "#D55E00"
_BAR = 0.38
_HATCH = "////"


def plot(report: Report, kind: str, ax: Axes | None = None) -> Axes:
    """Draws one picture; see `Report.plot`."""
    draw = _KINDS.get(kind)
    if draw is None:
        raise UsageError(f"there is no plot {kind!r}: expected one of {', '.join(_KINDS)}.")
    return draw(report, ax)


def _axes(ax: Axes | None, lines: int) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(8, 1.4 + 0.62 * lines), layout="constrained")[1]


def _timing(report: Report, ax: Axes | None) -> Axes:
    """For each strategy, what a batch takes its worker and how often the consumer gets one."""
    rows = [(advice, one.option) for advice in report.advice for one in advice.compared if one.option.timing]
    if not rows:
        raise UsageError("no strategy of this report was timed: audit with advise=True.")
    axes = _axes(ax, len(rows))
    for place, (_, option) in enumerate(rows):
        _bars(axes, place, option.timing)
    steps = {advice.step_time for advice in report.advice if advice.step_time}
    for step in steps:
        axes.axvline(step * 1e3, color=_STEP, linestyle="--")
    axes.set_yticks(range(len(rows)), [_label(*row, len(report.advice) > 1) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("milliseconds a batch")
    axes.set_title("what a batch takes, and how often one comes", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(handles=_legend(bool(steps)), loc="best", frameon=False)
    return axes


def _bars(axes: Axes, place: int, timing: Any) -> None:
    if timing.make is not None:
        make = timing.make.middle * 1e3
        busy = make if timing.busy is None else min(timing.busy.middle * 1e3, make)
        at = place - _BAR / 2
        axes.barh(at, busy, _BAR, color=_COMPUTES)
        axes.barh(
            at, make - busy, _BAR, left=busy, color=_WAITS, hatch=_HATCH, edgecolor="white", linewidth=0
        )
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
    # matplotlib would set what stands between two dollars as a formula.
    return "\n".join(clean_line(line) for line in lines).replace("$", r"\$")


def _legend(with_step: bool) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    waits = "worker: waits (input, core, interpreter)"
    shown = [
        Patch(color=_COMPUTES, label="worker: computes"),
        Patch(facecolor=_WAITS, hatch=_HATCH, edgecolor="white", linewidth=0, label=waits),
        Patch(color=_CONSUMER, label="consumer: from one batch to the next"),
    ]
    step = [Line2D([], [], color=_STEP, linestyle="--", label="a training step")]
    return shown + (step if with_step else [])


_KINDS = {"timing": _timing}
