from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from batchaudit.report.combine import combine
from tests.report.hand_made import advised_report


def test_one_report_stays_as_it_is(make_report):
    report = make_report("sick")
    assert combine([("a", report)]) is report


def test_runs_stand_side_by_side(make_report):
    parts = [("a/today", make_report("sick")), ("b/today", make_report("unknown"))]
    both = combine(parts)
    assert [run.run for run in both.runs] == ["a/today"] * 4 + ["b/today"]
    assert len(both.epochs) == sum(len(part.epochs) for _, part in parts)
    assert not both.complete
    assert both.ranks == (0, 2)
    assert both.missing_ranks == (1,)
    assert both.notes == ("b/today: 2 records of worker 1 are damaged",)


def test_runs_with_names_of_their_own_keep_them(make_report):
    def named(name, run):
        report = make_report(name)
        frames = {key: getattr(report, key).assign(run=run) for key in ("epochs", "workers", "batches")}
        return replace(report, runs=tuple(replace(one, run=run) for one in report.runs), **frames)

    both = combine([("x", named("healthy", "first")), ("y", named("long", "second"))])
    assert [run.run for run in both.runs] == ["first", "second"]
    assert set(both.epochs["run"]) == {"first", "second"}


def test_a_rank_that_another_log_holds_is_not_missing(make_report):
    lacking = make_report("unknown")
    other = replace(make_report("healthy"), ranks=(1,))
    assert combine([("a", lacking), ("b", other)]).missing_ranks == ()


def test_combined_runs_keep_their_own_epochs(make_report):
    report = make_report("healthy")
    both = combine([("a", report), ("b", report)])
    assert [len(both.epochs_of(run)) for run in both.runs] == [3, 3]


def test_an_empty_frame_leaves_the_types_of_the_others(make_report):
    healthy, empty = make_report("healthy"), make_report("empty")
    both = combine([("a", empty), ("b", replace(healthy))])
    pd.testing.assert_series_equal(both.epochs.dtypes, healthy.epochs.dtypes)


def test_the_advice_and_the_times_of_all_are_kept(make_report):
    advised, other = make_report("advised"), advised_report("validation")
    both = combine([("a", advised), ("b", other), ("c", make_report("healthy"))])
    assert [one.source for one in both.advice] == ["make_loader", "validation"]
    assert both.advice["validation"] == other.advice["validation"]
    assert both.timing["source"].tolist() == ["make_loader", "validation"]


def test_runs_of_one_name_keep_their_own_times(make_report):
    advised = make_report("advised")
    both = combine([("a", advised), ("b", replace(advised, timing=advised.timing.assign(rate=1.0)))])
    assert [both.timing_of(run)["rate"].tolist() for run in both.runs] == [[62.0], [1.0]]
    assert [run["timing"]["rate"] for run in both.to_dict()["runs"]] == [62.0, 1.0]


@pytest.mark.parametrize("name", ["emitted", "coverage", "overlap"])
def test_what_the_pictures_show_is_kept(make_report, name):
    report = make_report("healthy")
    [run] = report.runs
    who = {key: [getattr(run, key)] for key in ("run", "attempt", "rank", "source", "strategy")}
    parts = [replace(report, **{name: pd.DataFrame({**who, "lane": [number]})}) for number in range(2)]
    both = combine([("a", parts[0]), ("b", parts[1])])
    assert [getattr(both, f"{name}_of")(run)["lane"].tolist() for run in both.runs] == [[0], [1]]
