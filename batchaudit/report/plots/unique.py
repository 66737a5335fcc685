"""How many batches and samples of each epoch were different, beside what was delivered and expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from batchaudit.errors import UsageError
from batchaudit.report import cells
from batchaudit.report.plots.style import (
    BLUE,
    GREEN,
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

    from batchaudit.report.model import Report, Run

_MOST_BARS, _MOST_NUMBERS = 36, 18
_MOST_POINTS = 300
_MOST_LINES = 10
_BAR = 0.4
_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PINK, SKY)
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")

Runs = list[tuple[str, pd.DataFrame]]


def draw(report: Report, ax: Axes | Figure | None) -> Axes:
    """Draws, for each run and epoch, the share of what was delivered that was different.

    Raises:
        UsageError: no epoch is known.
    """
    runs = _runs(report)
    if not runs:
        raise UsageError(
            "how many batches were different is not known of any epoch: there is nothing to draw."
        )
    axes = axes_of(ax, 3.4)
    if sum(len(rows) for _, rows in runs) <= _MOST_BARS:
        _bars(axes, runs)
    else:
        _lines(axes, runs)
    axes.set_ylim(0, 1.12)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel("different, of what was delivered")
    bare(axes, "left", "bottom")
    return axes


def _runs(report: Report) -> Runs:
    """The epochs of each run of which it is known how many batches were different."""
    known = [(run, _known(report.epochs_of(run))) for run in report.runs]
    known = [(run, rows) for run, rows in known if len(rows)]
    runs = [run for run, _ in known]
    return [(_label(run, runs), rows) for run, rows in known]


def _known(epochs: pd.DataFrame) -> pd.DataFrame:
    if epochs.empty:
        return epochs
    return epochs[epochs["unique"].notna() & (epochs["delivered"] > 0)].sort_values("epoch")


def _label(run: Run, runs: list[Run]) -> str:
    """What tells a run from the others, a line each, and its strategy."""
    lines = [
        f"{prefix}{words(getattr(run, name), 24)}"
        for name, prefix in (("run", ""), ("attempt", "attempt "), ("rank", "rank "), ("source", ""))
        if len({getattr(one, name) for one in runs}) > 1
    ]
    return "\n".join([*lines, words(run.strategy, 24)])


def _bars(axes: Axes, runs: Runs) -> None:
    at, centres, ticks = 0.0, [], []
    numbered = sum(len(rows) for _, rows in runs) <= _MOST_NUMBERS
    for name, rows in runs:
        begin = at
        for row in rows.to_dict("records"):
            _bar(axes, at, row, numbered)
            ticks.append((at, f"{row['epoch']}"))
            at += 1
        centres.append(((begin + at - 1) / 2, name))
        at += 0.6
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    axes.tick_params(axis="x", length=0)
    for place, name in centres:
        axes.annotate(
            name, (place, 0), (0, -20), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="top", annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        "epoch", (0, 0), (-6, -6), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        fontsize="small", annotation_clip=False,
    )  # fmt: skip
    axes.set_xlim(-0.6, at - 1)
    title(axes, "different batches and samples of each epoch")
    _legend_of_bars(axes, runs, max(name.count("\n") for name, _ in runs) + 1)


def _bar(axes: Axes, at: float, row: dict[Any, Any], numbered: bool) -> None:
    of_batches = row["unique"] / row["delivered"]
    axes.bar(at - _BAR / 2, of_batches, _BAR * 0.94, color=BLUE)
    samples, different = row["samples"], row["unique_samples"]
    if not cells.is_unknown(samples) and not cells.is_unknown(different) and samples:
        axes.bar(
            at + _BAR / 2, different / samples, _BAR * 0.94, color=SKY, hatch=HATCH, edgecolor="white", lw=0
        )
    for side, name, total in (
        (-1, "expected_unique", "delivered"),
        (1, "expected_unique_samples", "samples"),
    ):
        expected = row[name]
        if not cells.is_unknown(expected) and not cells.is_unknown(row[total]) and row[total]:
            level = min(1.0, expected / row[total])
            middle = at + side * _BAR / 2
            axes.plot([middle - _BAR / 2, middle + _BAR / 2], [level, level], color=VERMILLION, lw=2)
    if numbered:
        said = f"{cells.count(row['unique'])} of\n{cells.count(row['delivered'])}"
        axes.annotate(
            said, (at - _BAR / 2, of_batches), (0, 3), textcoords="offset points", ha="center", va="bottom",
            fontsize="x-small",
        )  # fmt: skip


def _legend_of_bars(axes: Axes, runs: Runs, lines: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown: list[object] = [
        Patch(color=BLUE, label="batches"),
        Patch(facecolor=SKY, hatch=HATCH, edgecolor="white", lw=0, label="samples"),
    ]
    if any(rows["expected_unique"].notna().any() for _, rows in runs):
        shown.append(Line2D([], [], color=VERMILLION, lw=2, label="expected: what serial gives"))
    below(axes, shown, labels=1 + lines)


def _lines(axes: Axes, runs: Runs) -> None:
    from matplotlib.lines import Line2D

    together, handles = 1, []
    shown = _telling(runs)
    for number, (name, rows) in enumerate(shown):
        colour, dash = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
        epoch, share = rows["epoch"].to_numpy(), (rows["unique"] / rows["delivered"]).to_numpy(float)
        together = max(together, -(-len(rows) // _MOST_POINTS))
        middle, low, high = _thinned(share, _MOST_POINTS)
        at = _thinned(epoch.astype(float), _MOST_POINTS)[0]
        axes.fill_between(at, low, high, color=colour, alpha=0.25, lw=0)
        # Of one epoch there is no line to see.
        axes.plot(at, middle, color=colour, linestyle=dash, lw=1.8, marker="o" if len(at) == 1 else "")
        expected = (rows["expected_unique"] / rows["delivered"]).clip(upper=1).to_numpy(float)
        if (expected > share).any():
            level = _thinned(expected, _MOST_POINTS)[0]
            axes.plot(at, level, color=colour, linestyle=":", lw=1, marker="_" if len(at) == 1 else "")
        handles.append(Line2D([], [], color=colour, linestyle=dash, lw=1.8, label=name.replace("\n", ", ")))
    axes.set_xlabel("epoch")
    notes = (
        [f"a point is the mean of {together} epochs, a band reaches from least to most"]
        if together > 1
        else []
    )
    if len(shown) < len(runs):
        notes.append(f"{len(shown)} of {len(runs)} runs are shown, those with the most copies")
    title(axes, "different batches of each epoch", *notes)
    below(axes, handles, labels=2)


def _telling(runs: Runs) -> Runs:
    """The runs that there is room for: of many those with the most copies."""
    if len(runs) <= _MOST_LINES:
        return runs
    least = [float((rows["unique"] / rows["delivered"]).min()) for _, rows in runs]
    return [runs[at] for at in sorted(np.argsort(least, kind="stable")[:_MOST_LINES])]


def _thinned(values: Any, most: int) -> tuple[Any, Any, Any]:
    """Mean, least and most of neighbouring values, so that no more than `most` are left."""
    if len(values) <= most:
        return values, values, values
    first = np.arange(0, len(values), -(-len(values) // most))
    count = np.diff(first, append=len(values))
    return (
        np.add.reduceat(values, first) / count,
        np.minimum.reduceat(values, first),
        np.maximum.reduceat(values, first),
    )
