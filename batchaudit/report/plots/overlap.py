"""Which batches two workers, two ranks or two epochs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from batchaudit.errors import UsageError
from batchaudit.report.plots.style import axes_of, bare, run_name, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Report, Run

_MOST_NUMBERS = 8
_MOST = 256  # more than analysis/overlap.py keeps: only a file from elsewhere has them


def draw(report: Report, run: Run, ax: Axes | Figure | None) -> Axes:
    """Draws which share of the batches of one is among the batches of the other.

    Raises:
        UsageError: there is nothing to compare, as with one worker, one rank and one epoch.
    """
    pairs = report.overlap_of(run)
    if pairs.empty:
        raise UsageError(
            f"{run.source} under {run.strategy} has no two workers, ranks or epochs whose batches can be "
            "compared: nothing can overlap."
        )
    by, count = str(pairs["by"].iloc[0]), int(pairs["count"].iloc[0])
    shown = sorted({*pairs["first"].tolist(), *pairs["second"].tolist()})
    if len(shown) > _MOST:
        raise UsageError(f"{len(shown):,} {by}s are more than a picture has room for.")
    pairs = pairs.drop_duplicates(["first", "second"])
    share = pairs.pivot(index="first", columns="second", values="share").reindex(index=shown, columns=shown)
    share = share.to_numpy(float)
    side = min(3.8, max(1.8, 0.5 * len(shown)))
    axes = axes_of(ax, side + 1.3, side + 3.2)
    picture = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    if len(shown) <= _MOST_NUMBERS:
        for row, column in np.argwhere(~np.isnan(share)):
            value = share[row, column]
            axes.text(
                column, row, f"{value:.0%}", ha="center", va="center", fontsize="small",
                color="black" if value > 0.5 else "white",
            )  # fmt: skip
    every = -(-len(shown) // 16)
    ticks = range(0, len(shown), every)
    names = [f"{shown[at]:,}" for at in ticks]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set_xlabel(by)
    axes.set_ylabel(by)
    axes.tick_params(length=0)
    bare(axes)
    bar = axes.figure.colorbar(picture, ax=axes, format=lambda value, _: f"{value:.0%}", shrink=0.9)
    bar.outline.set_visible(False)
    left_out = f"{len(shown)} of {count:,} {by}s are shown" if len(shown) < count else ""
    title(
        axes, f"{run_name(run)}: batches in common",
        f"share of the one's batches that the other has as well{', in the same epoch' * (by != 'epoch')}",
        left_out,
    )  # fmt: skip
    return axes
