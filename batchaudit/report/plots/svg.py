"""A picture as SVG that stands in a page: text in the page's colour, nothing loaded, no name twice."""

from __future__ import annotations

import hashlib
import html
import io
import re
from typing import TYPE_CHECKING, Any

from batchaudit.report.plots import plot

if TYPE_CHECKING:
    from batchaudit.report.model import Report, Run

_INK = "#010203"
"""Stands for the page's own colour until the picture is in the page."""
_STYLE: dict[Any, Any] = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text that can be searched and read aloud
    "font.family": "sans-serif",
}
# Its style would hold for the whole page around it; the report's own style says the same of its pictures.
_NOT_SHOWN = re.compile(
    r"<metadata>.*?</metadata>|<style\b.*?</style>|<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", re.DOTALL
)
_FONTS = re.compile(r"font-family: [^;\"]*; ?|; ?font-family: [^;\"]*")
_NAMES = re.compile(r' id="([^"]*)"')


def as_svg(report: Report, kind: str, number: int, run: Run | None = None) -> str:
    """Draws a picture for a page.

    Args:
        report: the report.
        kind: as for `Report.plot`.
        number: of the picture in its page: what it names has this in its name.
        run: of a picture of one run, which.

    Returns:
        An `<svg>` element.

    Raises:
        UsageError: there is nothing to draw.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    with mpl.rc_context():
        mpl.rcdefaults()  # not the style that the user has for pictures of their own
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["svg.hashsalt"] = f"batchaudit {number}"
        figure = Figure(layout="constrained")
        axes = plot(report, kind, figure, run)
        drawn = io.StringIO()
        figure.draw_without_rendering()
        # A title may be longer than the figure is wide: the picture grows, it cuts nothing off.
        room = Bbox.union([Bbox.from_bounds(0, 0, *figure.get_size_inches()), figure.get_tightbbox()])
        figure.savefig(drawn, format="svg", transparent=True, bbox_inches=room, metadata={"Date": None})
    picture = _NOT_SHOWN.sub("", drawn.getvalue()).strip().replace(_INK, "currentColor")
    picture = _FONTS.sub("", picture)  # the page's own
    label = html.escape(axes.get_title(loc="left").replace("\n", " ").replace(r"\$", "$"))
    token = f"{number}-{hashlib.sha256(picture.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return _own_names(picture, token).replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _own_names(picture: str, token: str) -> str:
    """Leaves out the names that nothing in the picture refers to, and makes the others the picture's own.

    Pictures of two reports may stand in one page, as in a notebook: their content tells them apart.
    """
    used = {name for name in _NAMES.findall(picture) if f"#{name}" in picture}
    picture = _NAMES.sub(lambda one: one[0] if one[1] in used else "", picture)
    for name in used:
        own = f"picture-{token}-{name}"
        picture = picture.replace(f'id="{name}"', f'id="{own}"')
        picture = re.sub(rf"#{re.escape(name)}(?=[\")])", f"#{own}", picture)
    return picture
