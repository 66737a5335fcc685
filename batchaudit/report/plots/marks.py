"""Lanes of marks, one lane a worker: what stands under each other was made at the same step of its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from batchaudit.errors import UsageError
from batchaudit.report.plots.style import GREY, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOLDEN = 0.6180339887498949
"""Steps of the golden ratio around a circle come near to none of those before for as long as can be."""
_DARK, _LIGHT = 0.06, 0.9
"""The part of the colour map that is seen on a white page and on a black one."""
_MOST_SHAPES = 1600
"""Of more marks a picture is made of dots."""
_TALL, _THIN = 0.8, 0.28
_DOTS = 10
_MOST_PLACES = 1 << 18  # more than analysis/emission.py keeps: only a file from elsewhere has them
_MOST_LABELS = 16

Array = np.ndarray[Any, Any]


def height(lanes: int) -> float:
    """Inches for so many lanes, with title and axis."""
    return 2.1 + lanes * (0.34 if lanes <= 8 else 0.2 if lanes <= 24 else 0.11)


def draw(axes: Axes, emitted: pd.DataFrame, value: str, tall: Array) -> None:
    """Draws a mark for each batch.

    Args:
        axes: where to.
        emitted: rows of `Report.emitted` of one run.
        value: the column that gives a mark its colour: equal values, equal colours; "" is grey.
        tall: bool, shape (rows,): which marks fill their lane.
    """
    place, ticks = places(emitted)
    lane, hollow = emitted["lane"].to_numpy(), ~emitted["delivered"].to_numpy(bool)
    colour = _colours(emitted[value], place, lane)
    high = np.where(tall, _TALL, _THIN)
    if len(emitted) <= _MOST_SHAPES:
        _shapes(axes, place, lane, high, colour, hollow)
    else:
        _dots(axes, place, lane, high, colour, hollow)
    axes.set_xlim(-0.5, place.max() + 0.5)
    axes.set_ylim(lane.max() + 0.5, -0.5)
    axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
    for label in axes.get_xticklabels():
        if label.get_text()[:1].isdigit():  # the last step of an epoch: not into the next one
            label.set_horizontalalignment("right")
    names = _names(emitted)
    every = -(-len(names) // _MOST_LABELS)
    shown = list(names)[::every]
    axes.set_yticks(shown, [names[one] for one in shown])
    axes.tick_params(length=0)


def places(emitted: pd.DataFrame) -> tuple[Array, list[tuple[float, str]]]:
    """Where each batch stands: the epochs side by side, with a gap between them and where steps are left out.

    Args:
        emitted: rows of `Report.emitted` of one run.

    Returns:
        int64, shape (rows,); and the labels below, each with its place.
    """
    place = np.zeros(len(emitted), np.int64)
    ticks: list[tuple[float, str]] = []
    begin, before = 0, None
    numbered = emitted["local_step"].max() + 1 >= _FEWEST
    for epoch, rows in emitted.groupby("epoch", sort=True).indices.items():
        step = emitted["local_step"].to_numpy()[rows]
        shown = np.unique(step)
        jumps = np.diff(shown, prepend=shown[0]) > 1
        columns = begin + np.arange(len(shown)) + 2 * np.cumsum(jumps)
        place[rows] = columns[np.searchsorted(shown, step)]
        left_out = before is not None and epoch - before > 1
        name = f"{'… ' if left_out else ''}epoch {epoch}"
        middle = (columns[0] + columns[-1]) / 2
        if numbered and len(shown) > _SHORT:
            ticks += [(columns[0], "step 0")] * (before is None) + [(columns[-1], f"{shown[-1]:,}")]
            ticks += [(columns[at] - 1.5, "…") for at in np.flatnonzero(jumps)]
            middle += 0.01
        ticks.append((middle, f"\n{name}"))
        begin, before = int(columns[-1]) + 3, epoch
    return place, ticks


_FEWEST, _SHORT = 12, 3
"""Steps of the longest epoch below which none are numbered; those of one that has room for the numbers."""


def _colours(values: pd.Series[Any], place: Array, lane: Array) -> Array:
    """A colour for each value, those that come one after the other far apart; grey for what is not known."""
    from matplotlib import colormaps

    order = np.lexsort((lane, place))
    number = np.empty(len(order), np.int64)
    number[order] = pd.factorize(values.to_numpy()[order])[0]
    colour: Array = colormaps["viridis"](_DARK + (_LIGHT - _DARK) * (number * _GOLDEN % 1))
    colour[(values == "").to_numpy(bool)] = _grey()
    return colour


def _shapes(axes: Axes, place: Array, lane: Array, high: Array, colour: Array, hollow: Array) -> None:
    from matplotlib.collections import PolyCollection

    x = place[:, None] + np.array([-0.42, 0.42, 0.42, -0.42])
    y = lane[:, None] + high[:, None] / 2 * np.array([-1, -1, 1, 1])
    filled = np.where(hollow[:, None], 0.0, colour)
    edge = np.where(hollow[:, None], _grey(), colour)
    corners = list(np.stack([x, y], axis=2))
    axes.add_collection(PolyCollection(corners, facecolors=filled, edgecolors=edge, lw=0.8))


def _dots(axes: Axes, place: Array, lane: Array, high: Array, colour: Array, hollow: Array) -> None:
    if (int(lane.max()) + 1) * (int(place.max()) + 1) > _MOST_PLACES:
        raise UsageError("these are more batches than a picture has room for.")
    dots = np.zeros((int(lane.max()) + 1, _DOTS, int(place.max()) + 1, 4))
    offset = np.abs(np.arange(_DOTS) - (_DOTS - 1) / 2)
    covered = offset[None, :] < high[:, None] * _DOTS / 2
    mark, dot = np.nonzero(covered)
    dots[lane[mark], dot, place[mark]] = np.where(hollow[mark, None], _grey(), colour[mark])
    axes.imshow(
        dots.reshape(-1, dots.shape[2], 4), aspect="auto", interpolation="nearest",
        extent=(-0.5, dots.shape[2] - 0.5, dots.shape[0] - 0.5, -0.5),
    )  # fmt: skip


def _grey() -> Array:
    from matplotlib.colors import to_rgba

    return np.array(to_rgba(GREY))


def _names(emitted: pd.DataFrame) -> dict[int, str]:
    """The lanes' names; one that has a worker for each epoch names the first of them."""
    workers = emitted.groupby("lane", sort=True)["worker"].unique()
    return {
        int(lane): words(f"worker {its[0]}" + (", …" if len(its) > 1 else ""))
        for lane, its in workers.items()
    }
