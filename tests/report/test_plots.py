"""The pictures of a report, drawn without a screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from batchaudit.advice import Advice, advise  # noqa: E402
from batchaudit.errors import UsageError  # noqa: E402
from tests.advice.made import HOLDS, WAITS, option, question  # noqa: E402
from tests.report.hand_made import HOSTILE, advised_report  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def drawn(axes):
    axes.figure.canvas.draw()
    return axes


def test_each_strategy_that_was_timed_has_its_place(make_report):
    axes = drawn(make_report("advised").plot("timing"))
    assert labels(axes) == ["serial\n(advised)", "threads:4", "fork:4\n(rng-clone)"]
    assert axes.get_xlabel() == "milliseconds a batch"


def test_the_bars_are_as_long_as_what_was_measured(make_report):
    axes = make_report("advised").plot("timing")
    of_serial = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == 0]
    computes, waits, consumer = (bar.get_width() for bar in of_serial)
    assert computes == pytest.approx(20.3)
    assert waits == pytest.approx(0.1)
    assert consumer == pytest.approx(1000 / 49)
    of_threads = [bar for bar in axes.patches if round(bar.get_y() + bar.get_height() / 2) == 1]
    assert of_threads[1].get_width() == pytest.approx(81.5 - 20.4)
    assert axes.get_xlim()[0] == 0


def test_the_step_is_a_line_and_in_the_legend(make_report):
    report = make_report("advised")
    axes = report.plot("timing")
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [1.0]
    without = replace(report, advice=Advice((replace(report.advice["make_loader"], step_time=None),)))
    other = without.plot("timing")
    assert [line for line in other.lines if line.get_linestyle() == "--"] == []

    def told(axes):
        return [text.get_text() for text in axes.get_legend().get_texts()]

    assert "a training step" in told(axes) and "a training step" not in told(other)
    assert {"worker: computes", "consumer: from one batch to the next"} <= set(told(other))


def test_it_is_drawn_where_it_is_asked_to_be(make_report):
    _, ours = plt.subplots()
    before = plt.get_fignums()
    assert make_report("advised").plot("timing", ax=ours) is ours
    assert plt.get_fignums() == before


def test_of_several_sources_each_bar_has_its_name():
    two = Advice((advise(question(*WAITS)), replace(advise(question(*HOLDS)), source="val")))
    axes = drawn(replace(advised_report(), advice=two).plot("timing"))
    assert labels(axes)[0] == "s\nserial"
    assert labels(axes)[-1] == "val\nfork:4\n(advised)"


@pytest.mark.parametrize("name", ["$x_{", "cost in $ and $$", r"\$ $\frac{", HOSTILE, "火$\\sqrt$"])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_no_name_is_taken_for_a_formula(name, tmp_path):
    two = Advice((replace(advise(question(*WAITS)), source=name), advise(question(*HOLDS))))
    axes = drawn(replace(advised_report(), advice=two).plot("timing"))
    assert "\x1b" not in labels(axes)[0] and "\r" not in labels(axes)[0]
    axes.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0


def test_what_was_not_clocked_is_drawn_as_neither_computing_nor_waiting():
    asked = question({}, *HOLDS[1:])
    seen = replace(asked.options[0].timing, clocked=False, busy=None)
    report = replace(
        advised_report(), advice=Advice((advise(replace(asked, options=(option("serial", seen),))),))
    )
    axes = drawn(report.plot("timing"))
    computes, either, _ = (bar.get_width() for bar in axes.patches)
    assert (computes, either) == (0.0, 20.0)
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "worker: computes or waits" in told and "worker: computes" not in told


def test_another_kind_is_refused(make_report):
    with pytest.raises(
        UsageError, match="no plot 'heat': expected one of coverage, lanes, overlap, streams, timing, unique"
    ):
        make_report("advised").plot("heat")


def test_where_nothing_was_timed_there_is_nothing_to_draw(make_report):
    with pytest.raises(UsageError, match="advise=True"):
        make_report("healthy").plot("timing")
    assert plt.get_fignums() == []
