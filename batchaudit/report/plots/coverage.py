"""How often each stored sample was seen, and which never were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from batchaudit.errors import UsageError
from batchaudit.report.plots.style import BLUE, GREY, HATCH, VERMILLION, axes_of, bare, below, run_name, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Report, Run

_HEIGHT = 2.7


def draw(report: Report, run: Run, ax: Axes | Figure | None) -> Axes:
    """Draws, over the stored samples in their serial order, how often one was seen in an epoch.

    Raises:
        UsageError: nothing tells the run's samples apart.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    pieces = report.coverage_of(run)
    if pieces.empty:
        raise UsageError(
            f"which sample is which was not seen under {run.strategy}: audit with the strategy 'serial' as "
            "well, or give ids with key=."
        )
    axes = axes_of(ax, _HEIGHT)
    unit, epochs = str(pieces["unit"].iloc[0]), int(pieces["epochs"].iloc[0])
    stored = bool(pieces["stored"].iloc[0])
    items, seen = int(pieces["items"].sum()), int(pieces["seen"].sum())
    edges = np.append(pieces["first"].to_numpy(), items) - 0.5
    often = pieces["times"].to_numpy() / epochs
    top = max(1.0, float(often.max())) * 1.08
    axes.stairs(often, edges, fill=True, color=BLUE)
    never = 1 - pieces["seen"].to_numpy() / pieces["items"].to_numpy()
    legend: list[Any] = [Patch(color=BLUE, label="times seen, an epoch")]
    if never.any():
        axes.stairs(never * top, edges, fill=True, facecolor="none", edgecolor=VERMILLION, hatch=HATCH, lw=0)
        legend.append(
            Patch(facecolor="none", edgecolor=VERMILLION, hatch=HATCH, label=f"never seen: {items - seen:,}")
        )
    axes.axhline(1, color=GREY, linestyle="--", lw=1)
    legend.append(Line2D([], [], color=GREY, linestyle="--", lw=1, label="once an epoch"))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, top)
    axes.set_xlabel(f"{unit} in stored order" if stored else f"{unit}, as they were first seen")
    axes.set_ylabel("times")
    bare(axes, "left", "bottom")
    most = int(pieces["most"].max())
    how_often = f"; one of them up to {most:,} times in {epochs:,} epochs" if most > epochs else ""
    notes = [
        f"a step of the picture is {int(pieces['items'].max()):,} {unit}{how_often}"
        if items > len(pieces)
        else "",
        f"how many {unit} there are is not known: those never seen are not shown",
    ]
    title(axes, f"{run_name(run)}: {seen:,} of {items:,} {unit} were seen", *notes[: 1 if stored else 2])
    below(axes, legend, labels=2)
    return axes
