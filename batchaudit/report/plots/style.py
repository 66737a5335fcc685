"""What all pictures share: colours, axes, and words that matplotlib takes for nothing but words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError
from batchaudit.untrusted import shown_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from batchaudit.report.model import Run

BLUE, SKY, ORANGE, VERMILLION, GREEN, PINK = (
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#CC79A7",
)
GREY = "#888888"
HATCH = "////"
_WIDTH, _IN_AN_INCH, _LABELS, _LONG, _IN_A_ROW = 8.0, 13, 12, 44, 96


def axes_of(ax: Axes | Figure | None, height: float, width: float = _WIDTH) -> Axes:
    """The axes to draw on.

    Args:
        ax: the caller's own; or an empty figure, which is made as large as it must be; or None for new ones
            of pyplot's, which a notebook shows.
        height: inches of a figure.
        width: the same.

    Raises:
        UsageError: it is none of these.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(figsize=(width, height), layout="constrained")[1]
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

    if isinstance(ax, Figure):
        ax.set_size_inches(width, height)
    if isinstance(ax, FigureBase):
        made: Axes = ax.subplots()
        return made
    if not isinstance(ax, Axes):
        raise UsageError(
            f"ax is of type {type(ax).__name__}: expected one Axes of matplotlib, an empty Figure, or None."
        )
    return ax


def words(text: object, most: int = 0) -> str:
    """Text out of a log, for a label.

    Args:
        text: the text.
        most: cut to so many characters; 0 for never.
    """
    line = shown_line(str(text))
    if most and len(line) > most:
        line = line[: most - 1] + "…"
    # matplotlib would set what stands between two dollars as a formula.
    return line.replace("$", r"\$")


def run_name(run: Run) -> str:
    """A run's name, for a title."""
    return f"{words(run.source, 40)}, {words(run.strategy, 40)}"


def title(axes: Axes, text: str, *notes: str) -> None:
    """Sets the title, and under it in small letters what must be known to read the picture."""
    figure = axes.get_figure(root=True)
    most = int((figure.get_figwidth() if figure else _WIDTH) * _IN_AN_INCH) - _LABELS
    lines = [line for note in notes if note for line in textwrap.wrap(note, most)]
    head = textwrap.wrap(text, int(most * 0.85))
    axes.set_title("\n".join(head), loc="left", pad=6 + 11 * len(lines))
    if lines:
        axes.annotate(
            "\n".join(lines), (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points",
            fontsize="small", alpha=0.85, va="bottom", annotation_clip=False, in_layout=False,
        )  # fmt: skip


def bare(axes: Axes, *sides: str) -> None:
    """Takes away the frame but for the given sides."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in sides)


def below(axes: Axes, handles: Sequence[Any], labels: int = 1) -> None:
    """Puts a legend under the picture, where it hides nothing.

    Args:
        axes: the picture.
        handles: what is in the legend.
        labels: how many lines of labels stand between the picture and it.
    """
    from matplotlib.transforms import offset_copy

    for one in handles:
        if one.get_label().startswith("_"):  # matplotlib would leave it out
            one.set_label(f" {one.get_label()}")
    long = any(len(one.get_label()) > _LONG for one in handles)
    row = sum(len(one.get_label()) + 6 for one in handles)
    under = offset_copy(axes.transAxes, axes.get_figure(root=True), y=-(8 + 14 * labels), units="points")
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=under, borderaxespad=0,
        borderpad=0, ncols=1 if long else 2 if row > _IN_A_ROW else 4, frameon=False,
        fontsize="small", handlelength=1.4, columnspacing=1.4,
    )  # fmt: skip
