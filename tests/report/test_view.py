from __future__ import annotations

from dataclasses import replace

from batchaudit.report.model import Run
from batchaudit.report.view import view
from tests.report.hand_made import UNSHARDED, epoch, report, workers

FORK = Run("today", "make_loader", "fork:4", 4)


def test_findings_without_repeated_batches_are_said_by_their_summary():
    clone = replace(UNSHARDED, cause="rng-clone", summary="4 workers draw the same random numbers.")
    shown = view(report([replace(FORK, findings=(clone,))], [epoch(FORK, 0)]))
    assert shown.headline == "fork:4: rng-clone: 4 workers draw the same random numbers."


def test_the_most_severe_run_makes_the_headline():
    warning = replace(UNSHARDED, severity="warning", cause="tail-drop")
    runs = [replace(FORK, strategy="threads:4", findings=(warning,)), replace(FORK, findings=(UNSHARDED,))]
    shown = view(report(runs, []))
    assert shown.headline.startswith("fork:4: unsharded-replica")
    assert shown.status == "error"


def test_info_alone_is_nothing_wrong():
    info = replace(UNSHARDED, severity="info", cause="intrinsic-duplicate")
    shown = view(report([replace(FORK, findings=(info,))], [epoch(FORK, 0, unique=30)]))
    assert (shown.headline, shown.status) == ("nothing wrong was found", "ok")
    assert "1 info" in shown.counts


def test_only_skipped_runs_are_no_clean_bill():
    assert view(report([replace(FORK, skipped="cannot")], [])).headline.startswith("nothing was audited")


def test_an_early_end_makes_the_headline():
    shown = view(report([replace(FORK, error="Traceback ...\nOSError: disk gone")], []))
    assert shown.headline == "fork:4: no batch was delivered - ended early: OSError: disk gone"


def test_epochs_that_differ_are_a_range():
    rows = [epoch(FORK, 0, unique=8), epoch(FORK, 1, unique=9)]
    assert view(report([FORK], rows)).runs[0].sentence.startswith("8 to 9 of 32 batches")


def test_titles_name_the_source_where_there_are_several():
    other = replace(FORK, source="val")
    assert [run.title for run in view(report([FORK, other], [])).runs] == [
        "make_loader, fork:4",
        "val, fork:4",
    ]


def test_shares_are_shown_only_where_they_are_uneven():
    def remarks(*delivered):
        return view(report([FORK], [epoch(FORK, 0)], workers(FORK, 0, list(delivered)))).runs[0].remarks

    assert remarks(8, 8, 8, 8) == ()
    assert remarks(1, 2, 2, 1) == ()  # a remainder
    assert remarks(100, 105, 95, 100) == ()
    assert remarks(20, 6, 4, 2) == (
        "uneven workers in epoch 0: worker 0 62 %, worker 1 19 %, worker 2 12 %, worker 3 6 %",
    )
    assert remarks(*[1] * 15, 15) == ("uneven workers in epoch 0: 16 workers with shares of 3 % to 50 %",)


def test_the_baseline_is_named_where_batches_are_repeated():
    shown = view(report([FORK], [epoch(FORK, 0, unique=8, expected_unique=32.0)]))
    assert shown.runs[0].remarks == ("serial gives 32 different batches",)


def test_produced_beyond_delivered_and_probes():
    table = view(report([FORK], [epoch(FORK, 0, produced=35.0, probes=1)])).runs[0].table
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert (row["produced"], row["probes"]) == ("35 (+3)", "1")
    quiet = view(report([FORK], [epoch(FORK, 0)])).runs[0].table
    assert "probes" not in quiet.headings


def test_a_run_without_rows_of_its_own_needs_no_columns():
    empty = report([FORK], [])
    bare = replace(
        empty,
        epochs=empty.epochs[["run", "attempt", "rank", "source", "strategy"]],
        workers=empty.workers[["run", "attempt", "rank", "source", "strategy"]],
    )
    assert view(bare).runs[0].table is None


def test_code_that_mends_two_findings_stands_once():
    code = "def on_epoch_end(self):\n    self.epoch += 1"
    findings = [replace(UNSHARDED, cause=cause, fix=code) for cause in ("rng-clone", "rng-epoch-reset")]
    [shown] = view(report([replace(FORK, findings=(*findings, UNSHARDED))], [epoch(FORK, 0)])).runs
    assert [one.fix for one in shown.findings] == [code, "# as for rng-clone, above", UNSHARDED.fix]


def test_how_many_came_how_often_is_said_in_words():
    finding = replace(UNSHARDED, evidence={"copies": {4: 8, 1: 2}})
    [shown] = view(report([replace(FORK, findings=(finding,))], [epoch(FORK, 0)])).runs
    assert shown.findings[0].evidence == (("copies", "8 came 4 times, 2 came once"),)
