"""The pictures of figures: they are as high, as dark and as long as what was counted."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from batchaudit.report.model import Run
from tests.analysis.build import Batch, many, table
from tests.report import hand_made
from tests.report.plots.made import report, report_of, run

mpl.use("Agg")


def drawn(ours, kind, **which):
    axes = ours.plot(kind, Figure(layout="constrained"), **which)
    axes.figure.canvas.draw()
    return axes


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def texts(axes):
    return [text.get_text() for text in axes.texts]


# -- unique ---------------------------------------------------------------------------------------


def test_each_epoch_has_bars_as_high_as_its_ratio():
    run_of = Run("today", "loader", "fork:4", 4)
    rows = [
        hand_made.epoch(run_of, 0, delivered=32, unique=8, unique_samples=256.0),
        hand_made.epoch(run_of, 1, delivered=32, unique=32),
    ]
    axes = drawn(hand_made.report([run_of], rows), "unique")
    assert [bar.get_height() for bar in axes.patches] == [0.25, 0.25, 1.0, 1.0]
    assert texts(axes)[:2] == ["8 of\n32", "32 of\n32"]
    assert {"batches", "samples", "expected: what serial gives"} <= set(legend(axes))


def test_what_is_not_known_has_no_bar():
    run_of = Run("today", "loader", "fork:4", 4)
    nothing = {
        "unique_samples": float("nan"),
        "expected_unique": float("nan"),
        "expected_unique_samples": float("nan"),
    }
    rows = [
        hand_made.epoch(run_of, 0, unique=float("nan")),
        hand_made.epoch(run_of, 1, unique=16, **nothing),
    ]
    axes = drawn(hand_made.report([run_of], rows), "unique")
    assert [bar.get_height() for bar in axes.patches] == [0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1"]
    assert "expected: what serial gives" not in legend(axes)


def test_of_a_long_training_the_lines_go_through_every_epoch():
    run_of = Run("today", "loader", "fork:4", 4)
    unique = [8 if number == 5_000 else 32 for number in range(10_000)]
    rows = [hand_made.epoch(run_of, number, unique=many) for number, many in enumerate(unique)]
    axes = drawn(hand_made.report([run_of], rows), "unique")
    (band,) = axes.collections
    # The one sick epoch of ten thousand is in the band.
    assert band.get_paths()[0].vertices[:, 1].min() == 0.25
    assert any("a point is the mean of 34 epochs" in text for text in texts(axes))
    assert len(axes.lines[0].get_xdata()) <= 300


def ten_runs(count, sick):
    runs = [Run("today", f"loader {number}", "serial") for number in range(count)]
    rows = [hand_made.epoch(one, 0, unique=8 if n in sick else 32) for n, one in enumerate(runs)]
    return hand_made.report(runs, rows)


def test_runs_of_one_epoch_are_seen_where_there_are_many():
    axes = drawn(ten_runs(40, sick={33, 37}), "unique")
    assert [line.get_marker() for line in axes.lines].count("o") == 10
    assert [line.get_marker() for line in axes.lines].count("_") == 2  # what was expected of the sick ones


def test_of_many_runs_the_sick_ones_are_shown_and_it_says_so():
    axes = drawn(ten_runs(40, sick={33, 37}), "unique")
    assert {"loader 33, serial", "loader 37, serial"} <= set(legend(axes))
    assert any("10 of 40 runs are shown, those with the most copies" in text for text in texts(axes))


def test_a_name_that_matplotlib_would_hide_is_in_the_legend():
    runs = [Run("today", source, "serial") for source in ("_train", "val")]
    rows = [hand_made.epoch(one, number) for one in runs for number in range(30)]
    assert [text.strip() for text in legend(drawn(hand_made.report(runs, rows), "unique"))] == [
        "_train, serial", "val, serial",
    ]  # fmt: skip


# -- overlap --------------------------------------------------------------------------------------


def test_each_pair_has_its_share():
    made = [
        Batch(pid, content)
        for pid, contents in ((1, (1, 2, 3, 4)), (2, (3, 4)), (3, (9,)))
        for content in contents
    ]
    axes = drawn(report_of((run(), table(made))), "overlap")
    share = axes.images[0].get_array()
    expected = np.array([[np.nan, 1, 0], [1, np.nan, 0], [0, 0, np.nan]])
    np.testing.assert_array_equal(np.ma.filled(share.astype(float), np.nan), expected)
    assert sorted(texts(axes)[:6]) == ["0%"] * 4 + ["100%"] * 2


def test_of_very_many_epochs_it_says_how_many_are_shown():
    epoch = np.repeat(np.arange(1000), 3)
    axes = drawn(report_of((run(), many(np.ones(3000, int), np.arange(3000) + 1, epoch))), "overlap")
    assert any("64 of 1,000 epochs are shown" in " ".join(text.split()) for text in texts(axes))
    assert axes.get_xlabel() == "epoch"
    last = [label.get_text() for label in axes.get_xticklabels()][-1]
    assert int(last.replace(",", "")) > 900


# -- coverage -------------------------------------------------------------------------------------


def test_items_that_were_never_seen_are_counted():
    axes = drawn(report(True, 2, 30), "coverage")  # two replicas: 5 of the 10 batches of each epoch, twice
    assert "5 of 5 batches" in axes.get_title(loc="left")
    index = np.array([0, 0, 1, 1, 3, 3])
    half = many(np.array([1, 2] * 3), index + 1, np.zeros(6, int), None, index)
    axes = drawn(report_of((run(), half)), "coverage")
    assert "3 of 4 batches were seen" in axes.get_title(loc="left")
    assert "never seen: 1" in legend(axes)
    often = axes.patches[0].get_data().values
    assert often.tolist() == [2, 2, 0, 2]


def test_on_a_healthy_loader_nothing_is_never_seen():
    axes = drawn(report(False, 2, 30), "coverage")
    assert "10 of 10 batches were seen" in axes.get_title(loc="left")
    assert not [text for text in legend(axes) if "never" in text]
    assert axes.patches[0].get_data().values.tolist() == [1] * 10


def test_pieces_of_many_items_are_said():
    axes = drawn(report(False, 2, 300_000), "coverage")
    said = " ".join(" ".join(texts(axes)).split())
    assert "a step of the picture is 391 batches" in said


def test_one_missing_item_of_very_many_is_in_the_title_and_the_legend():
    count = 100_000
    index = np.delete(np.arange(count), 777)
    axes = drawn(
        report_of((run(), many(np.ones(len(index), int), index + 1, np.zeros(len(index), int), None, index))),
        "coverage",
    )
    assert "99,999 of 100,000 batches were seen" in axes.get_title(loc="left").replace("\n", " ")
    assert "never seen: 1" in legend(axes)


def test_where_it_is_not_known_what_there_is_it_says_so():
    ours = report(False, 2, 30)
    unknown = replace(ours, coverage=ours.coverage.assign(stored=False))
    said = " ".join(" ".join(texts(drawn(unknown, "coverage"))).split())
    assert "how many batches there are is not known: those never seen are not shown" in said


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["emitted", "coverage", "overlap"])
def test_the_frame_of_a_picture_is_what_it_shows(name):
    ours = report(True, 2, 30)
    frame = getattr(ours, f"{name}_of")(ours.runs[0])
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), getattr(ours, name))
