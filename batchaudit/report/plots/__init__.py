"""Pictures of a report, one file a kind. Requires matplotlib, imported when one is drawn.

What a picture shows is told without colour, too: by height, hatching, dashes or words. Colours are those of
Okabe and Ito (https://jfly.uni-koeln.de/color/), or, where each digest or state has one of its own, those of
viridis: people of every colour vision tell both apart. Text and lines are the reader's own settings'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from batchaudit.errors import UsageError
from batchaudit.report.incomplete import WORD
from batchaudit.report.plots import coverage, lanes, overlap, streams, timing, unique

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Report, Run

OF_REPORT: dict[str, Callable[[Report, Axes | Figure | None], Axes]] = {
    "unique": unique.draw,
    "timing": timing.draw,
}
OF_RUN: dict[str, Callable[[Report, Run, Axes | Figure | None], Axes]] = {
    "lanes": lanes.draw,
    "overlap": overlap.draw,
    "streams": streams.draw,
    "coverage": coverage.draw,
}


def plot(report: Report, kind: str, ax: Axes | Figure | None = None, run: Run | None = None) -> Axes:
    """Draws one picture.

    Args:
        report: the report.
        kind: as for `Report.plot`.
        ax: where to; an empty figure is filled, and made as large as the picture must be.
        run: of a picture of one run, which; by default that of `Report.run`.

    Returns:
        The axes.

    Raises:
        UsageError: there is no such plot, or nothing to draw.
    """
    axes = _drawn(report, kind, ax, run)
    if not report.complete:
        _mark(axes)
    return axes


def _mark(axes: Axes) -> None:
    """Says in a picture's title that the log behind it is incomplete."""
    from matplotlib.text import Text

    said = axes.get_title(loc="left")
    for text in axes.findobj(Text):
        if isinstance(text, Text) and said and text.get_text() == said:
            text.set_text(f"{WORD}: {said}")


def _drawn(report: Report, kind: str, ax: Axes | Figure | None, run: Run | None) -> Axes:
    if kind in OF_REPORT:
        return OF_REPORT[kind](report, ax)
    if kind not in OF_RUN:
        kinds = ", ".join(sorted({**OF_RUN, **OF_REPORT}))
        raise UsageError(f"there is no plot {kind!r}: expected one of {kinds}.")
    return OF_RUN[kind](report, run or report.run(), ax)
