"""What holds of every picture, whatever it shows."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from batchaudit.errors import UsageError
from batchaudit.report.model import Report, Run
from batchaudit.report.plots import OF_REPORT, OF_RUN
from batchaudit.report.plots.svg import as_svg
from tests.report.hand_made import HOSTILE, empty_report, healthy_report, sick_report
from tests.report.plots.made import named, report

KINDS = (*OF_RUN, *OF_REPORT)
SIZES = [(2, 30), (64, 30), (2, 300_000), (64, 300_000)]
MOST_OF_A_PICTURE = 600_000
"""Characters of an SVG element: a page with twelve runs must stay one that a browser opens."""


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(("workers", "batches"), SIZES)
@pytest.mark.parametrize("sick", [True, False], ids=["sick", "healthy"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_it_is_drawn_however_much_there_is(kind, sick, workers, batches):
    figure = Figure(layout="constrained")
    axes = report(sick, workers, batches).plot(kind, figure)
    figure.canvas.draw()
    assert isinstance(axes, Axes)
    assert axes.get_title(loc="left")
    width, height = figure.get_size_inches()
    assert 3 < width <= 10
    assert 2 < height <= 12
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("workers", "batches"), [(2, 300_000), (64, 300_000)])
def test_a_picture_in_a_page_has_its_bounds(kind, workers, batches):
    text = as_svg(report(True, workers, batches), kind, 1)
    assert len(text) < MOST_OF_A_PICTURE
    ET.fromstring(text)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_drawn_where_it_is_asked_to_be(kind):
    figure, ours = plt.subplots(1, 2)
    size = figure.get_size_inches().tolist()
    assert report(True, 2, 30).plot(kind, ours[1]) is ours[1]
    assert not ours[0].has_data()
    assert figure.get_size_inches().tolist() == size
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_figure_is_filled(kind):
    figure = Figure()
    axes = report(True, 2, 30).plot(kind, figure)
    assert axes.figure is figure
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_figure_is_filled(kind):
    figure = Figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2)
    axes = report(True, 2, 30).plot(kind, right)
    assert axes in right.axes
    assert left.axes == []
    assert figure.get_size_inches().tolist() == [10, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_without_axes_there_is_one_new_figure_as_notebooks_show_it(kind):
    axes = report(True, 2, 30).plot(kind)
    assert [axes.figure.number] == plt.get_fignums()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ax", [np.array([1, 2]), "here", 3, [None]], ids=["array", "text", "number", "list"])
def test_what_is_no_axes_is_refused(kind, ax):
    with pytest.raises(UsageError, match=f"ax is of type {type(ax).__name__}: expected one Axes"):
        report(True, 2, 30).plot(kind, ax)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", ["heat", "", "LANES", None, "lanes "])
def test_an_unknown_kind_names_those_that_there_are(kind):
    with pytest.raises(UsageError, match="expected one of coverage, lanes, overlap, streams, timing, unique"):
        report(True, 2, 30).plot(kind)


@pytest.mark.parametrize("kind", OF_RUN)
def test_an_unknown_run_names_those_that_there_are(kind):
    with pytest.raises(UsageError, match=r"no run 'fork:9' in this report: it has fork:2 of make_loader"):
        report(True, 2, 30).plot(kind, strategy="fork:9")
    with pytest.raises(UsageError, match=r"no run of 'val' in this report: it has fork:2 of make_loader"):
        report(True, 2, 30).plot(kind, source="val")
    with pytest.raises(UsageError, match=r"no run 'a' of 'b' in this report"):
        report(True, 2, 30).plot(kind, strategy="a", source="b")


@pytest.mark.parametrize("kind", OF_REPORT)
@pytest.mark.parametrize("one", [{"strategy": "fork:2"}, {"source": "make_loader"}])
def test_a_picture_of_all_runs_is_of_none(kind, one):
    with pytest.raises(UsageError, match=r"is of all runs: leave out strategy= and source="):
        report(True, 2, 30).plot(kind, **one)


@pytest.mark.parametrize("kind", KINDS)
def test_where_there_is_nothing_to_draw_it_says_why_and_leaves_no_figure(kind):
    with pytest.raises(UsageError, match=r"there is no run in this report|not known of any epoch|was timed"):
        empty_report().plot(kind)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("lanes", "nobody saw who made the batches of threads:4"),
        ("streams", "no random stream moved while threads:4 made batches"),
        (
            "coverage",
            "not seen under threads:4: audit with the strategy 'serial' as well, or give ids with key=",
        ),
        ("overlap", "no two workers, ranks or epochs"),
        ("timing", "too few batches"),
    ],
)
def test_a_report_without_these_figures_says_what_to_do(kind, why):
    with pytest.raises(UsageError, match=why):
        healthy_report().plot(kind)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("kind", OF_RUN)
def test_a_strategy_that_was_skipped_has_no_picture(kind):
    with pytest.raises(UsageError, match="spawn:4"):
        sick_report().plot(kind, strategy="spawn:4")
    ours = report(True, 2, 30)
    both = replace(ours, runs=(*ours.runs, Run("today", "make_loader", "spawn:4", skipped="no pickle")))
    with pytest.raises(UsageError, match="spawn:4"):
        both.plot(kind, strategy="spawn:4")
    assert "spawn:4" in both._repr_html_()


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_report_draws_the_same(kind, tmp_path):
    for sick in (True, False):
        ours = report(sick, 2, 30)
        ours.save(tmp_path / "report.json")
        assert as_svg(Report.load(tmp_path / "report.json"), kind, 7) == as_svg(ours, kind, 7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", [HOSTILE, "$x_{", "_hidden", "<script>alert(1)</script>", "a" * 500, "", "\n"]
)
@pytest.mark.filterwarnings("error", "ignore:Glyph")
def test_names_are_nothing_but_text(kind, name, tmp_path):
    hostile = named(name, name)
    ours = hostile.plot(kind, Figure(layout="constrained"))
    ours.figure.savefig(tmp_path / "picture.png")
    root = ET.fromstring(as_svg(hostile, kind, 3))
    assert not [
        one for one in root.iter() if one.tag.endswith(("script", "foreignObject", "image"))
    ] or kind in (
        "overlap",
        "lanes",
        "streams",
    )
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    assert not [key for one in root.iter() for key in one.attrib if key.startswith("on")]
    assert r"\$" not in root.attrib["aria-label"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_settings_of_the_user_stay(kind, tmp_path):
    theirs = {"font.size": 31.0, "axes.facecolor": "pink", "svg.fonttype": "path", "svg.hashsalt": "salt"}
    with mpl.rc_context(theirs):
        before = dict(mpl.rcParams)
        report(True, 2, 30).plot(kind, Figure())
        report(True, 2, 30).plot(kind)
        as_svg(report(True, 2, 30), kind, 1)
        with pytest.raises(UsageError):
            as_svg(empty_report(), kind, 1)
        assert dict(mpl.rcParams) == before


def test_a_picture_in_a_page_is_not_in_the_style_of_the_user():
    usual = as_svg(report(True, 2, 30), "lanes", 1)
    with mpl.rc_context({"font.size": 31.0, "axes.facecolor": "pink", "text.usetex": True}):
        assert as_svg(report(True, 2, 30), "lanes", 1) == usual


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_one_page_share_no_name(kind):
    ours = [ET.fromstring(as_svg(report(True, 64, 300_000), kind, number)) for number in (1, 2)]
    names = [{one.attrib["id"] for one in root.iter() if "id" in one.attrib} for root in ours]
    assert names[0].isdisjoint(names[1])


def test_it_is_the_run_with_the_worst_finding_unless_another_one_is_asked_for():
    sick, healthy = report(True, 2, 30), report(False, 64, 30)
    both = replace(
        sick,
        runs=(*healthy.runs, *sick.runs),
        **{name: pd.concat([getattr(healthy, name), getattr(sick, name)]) for name in ("emitted", "epochs")},
    )
    assert "fork:2" in both.plot("lanes", Figure()).get_title(loc="left")
    assert "fork:64" in both.plot("lanes", Figure(), strategy="fork:64").get_title(loc="left")


def test_pyplot_is_not_loaded_where_it_is_not_asked_for(tmp_path):
    code = """
        import sys
        from matplotlib.figure import Figure
        from tests.report.plots.made import report
        for kind in ("lanes", "overlap", "streams", "coverage", "unique", "timing"):
            report(True, 2, 30).plot(kind, Figure())
        report(True, 2, 30)._repr_html_()
        report(True, 2, 30).save(sys.argv[1])
        assert "matplotlib.pyplot" not in sys.modules
    """
    args = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "report.html")]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
