"""Who emitted what: one lane a worker, one mark a batch in the order of emission, coloured by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError
from batchaudit.report.plots import marks
from batchaudit.report.plots.style import GREY, axes_of, bare, below, run_name, title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Report, Run


def draw(report: Report, run: Run, ax: Axes | Figure | None) -> Axes:
    """Draws which worker made which batch of a run.

    Raises:
        UsageError: no batch of it is known to have been made.
    """
    emitted = report.emitted_of(run)
    if emitted.empty:
        raise UsageError(f"nobody saw who made the batches of {run.strategy}: there are no lanes to draw.")
    axes = axes_of(ax, marks.height(int(emitted["lane"].max()) + 1))
    tall = (emitted["copies"] > 1).to_numpy()
    marks.draw(axes, emitted, "digest", tall)
    bare(axes)
    title(
        axes,
        f"{run_name(run)}: who emitted which batch",
        left_out(emitted),
    )
    once, unknown = bool((emitted["copies"] == 1).any()), bool((emitted["digest"] == "").any())
    below(axes, _legend(bool(tall.any()), once, not emitted["delivered"].all(), unknown), labels=2)
    return axes


def left_out(emitted: pd.DataFrame) -> str:
    """Says what of a run there was no room for; empty where it is all there.

    Args:
        emitted: rows of `Report.emitted` of one run.
    """
    epochs, lanes = int(emitted["epochs"].iloc[0]), int(emitted["lanes"].iloc[0])
    longest, shown = int(emitted["steps"].max()), int(emitted.groupby("epoch")["local_step"].nunique().max())
    parts = []
    if emitted["epoch"].nunique() < epochs:
        parts.append(f"{emitted['epoch'].nunique()} of {epochs:,} epochs, the first and the last ones")
    if shown < longest:
        parts.append(f"{shown} of the {longest:,} steps of an epoch, its beginning and its end")
    if int(emitted["lane"].max()) + 1 < lanes:
        parts.append(f"{int(emitted['lane'].max()) + 1} of {lanes:,} workers")
    return f"shown: {'; '.join(parts)}" if parts else ""


def _legend(several: bool, once: bool, lost: bool, unknown: bool) -> list[Any]:
    from matplotlib.patches import Patch

    shown = [
        Patch(color=GREY, label="tall: made more than once in its epoch; equal colours are equal batches")
    ]
    if once:
        shown.append(Patch(color=GREY, label="thin: made once"))
    if lost:
        shown.append(Patch(facecolor="none", edgecolor=GREY, label="hollow: never delivered"))
    if unknown:
        shown.append(Patch(color=GREY, label="grey: could not be hashed"))
    return shown if several else shown[1:]
