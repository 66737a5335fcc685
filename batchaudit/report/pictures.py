"""Which pictures stand in a page, and where: those that show what was found, the others folded away."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup, escape

from batchaudit.errors import UsageError
from batchaudit.report.model import Report, Run
from batchaudit.report.view import RunView, View

_SHOW = {
    "unsharded-replica": ("lanes", "coverage", "overlap"),
    "rng-clone": ("streams",),
    "rng-epoch-reset": ("streams",),
    "stale-epoch": ("overlap",),
    "order-divergence": ("coverage",),
    "overshard": ("coverage",),
    "padding-duplicate": ("coverage",),
    "tail-drop": ("coverage",),
    "resume-replay": ("overlap",),
    "intrinsic-duplicate": ("coverage",),
}
"""What makes a cause visible; of the others it is the lanes."""
_OF_RUN = ("lanes", "streams", "coverage", "overlap")
_OF_ALL = ("overlap", "coverage")
"""Of several ranks these are over all of them."""
_MOST_SOURCES = 3
_MOST_RUNS = 12
"""Runs with pictures of their own; those with findings come first."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of one run.

    Attributes:
        shown: `<svg>` elements that show what was found.
        folded: the others.
    """

    shown: tuple[Markup, ...] = ()
    folded: tuple[Markup, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """All pictures of a page.

    Attributes:
        overview: of all runs.
        timing: how long batches took; shown beside the advice, folded away where there is none.
        runs: for each run of the view.
        left_out: how many runs have none for want of room.
    """

    overview: Pictures
    timing: Pictures
    runs: tuple[Pictures, ...]
    left_out: int = 0


def gallery(report: Report, shown: View) -> Gallery:
    """Draws the pictures of a page.

    Args:
        report: the report.
        shown: what the page says of it.

    Returns:
        The pictures.
    """
    studio = _Studio(report)
    unique = studio.drawn(("unique",))
    # Where something is wrong and no batch is a copy, how many are different is beside the point.
    beside = any(run.findings for run in shown.runs) and not any(run.repeats for run in shown.runs)
    overview = Pictures(folded=unique) if beside else Pictures(shown=unique)
    clocks = studio.drawn(("timing",))
    timing = Pictures(shown=clocks) if shown.advice else Pictures(folded=clocks)
    order = sorted(range(len(shown.runs)), key=lambda number: (not shown.runs[number].findings, number))
    there = [number for number in order if shown.runs[number].run is not None]
    chosen = set(there[:_MOST_RUNS])
    runs = tuple(
        studio.of_run(run) if number in chosen or run.run is None else Pictures()
        for number, run in enumerate(shown.runs)
    )
    return Gallery(overview, timing, runs, len(there) - len(chosen))


class _Studio:
    """Draws what can be drawn of a report, each picture with a number of its own."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._number = 0

    def of_run(self, view: RunView) -> Pictures:
        if view.run is None:
            return self._between(view)
        wanted = [kind for finding in view.findings for kind in _SHOW.get(finding.cause, ("lanes",))]
        shown = tuple(dict.fromkeys(wanted))
        folded = tuple(kind for kind in _OF_RUN if kind not in shown)
        return Pictures(self.drawn(shown, view.run), self.drawn(folded, view.run))

    def _between(self, view: RunView) -> Pictures:
        """What several ranks have in common of each source, which is under the first of them."""
        if not view.findings or len(self._report.ranks) < 2:
            return Pictures()
        wanted = [kind for one in view.findings for kind in _SHOW.get(one.cause, ())]
        kinds = tuple(dict.fromkeys(kind for kind in wanted if kind in _OF_ALL)) or _OF_ALL
        first: dict[str, Run] = {}
        for run in sorted(self._report.runs, key=lambda run: (run.attempt, run.rank)):
            first.setdefault(run.source, run)
        few = list(first.values())[:_MOST_SOURCES]
        return Pictures(tuple(picture for run in few for picture in self.drawn(kinds, run)))

    def drawn(self, kinds: tuple[str, ...], run: Run | None = None) -> tuple[Markup, ...]:
        from batchaudit.report.plots.svg import as_svg

        pictures = []
        for kind in kinds:
            self._number += 1
            try:
                # matplotlib has escaped what comes from the log.
                pictures.append(Markup(as_svg(self._report, kind, self._number, run)))
            except UsageError:
                continue  # nothing of this kind was seen
            except Exception as error:
                # A page without a picture is better than none: figures from elsewhere may fit no picture.
                pictures.append(escape(f"The picture {kind!r} cannot be drawn ({type(error).__name__})."))
        return tuple(pictures)
