from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.diagnosis.finding import Verdict
from batchaudit.report.brief import MOST_LINES, brief, first_pair
from batchaudit.report.model import Run
from tests.report.hand_made import (
    HOSTILE,
    TRACEBACK,
    UNSHARDED,
    VERDICTS,
    epoch,
    report,
    sick_report,
    workers,
)
from tests.report.plots.made import report as made

WIDTH = 100


def fork(ours):
    return next(run for run in ours.runs if run.findings)


def test_it_says_what_failed_where_and_what_to_change():
    ours = made(True, 2, 30)
    text = brief("assert_x failed", ours, ours.runs[0])
    assert text.split("\n") == [
        "assert_x failed",
        "  different batches: 5 of 10 in epoch 0, 5 of 10 in epoch 1, 5 of 10 in epoch 2",
        "  seed divergence by epoch: 0.00, 0.00, 0.00",
        "  first equal batches: epoch 0: step 0 of worker 0 and step 1 of worker 1 (batch 00000000)",
        "  who made them in epoch 0: worker 0 5, worker 1 5",
        "  likely cause: unsharded-replica (error, worker): Each of the 4 workers walks the whole stream: 8",
        "    of 32 batches of an epoch are different.",
        "  what to change:",
        "    for i in range(worker_index, len(paths), workers):",
        "        yield load(paths[i])",
        "  to see all of it: print(report), or batchaudit explain unsharded-replica",
    ]


def test_without_a_run_the_finding_is_told():
    text = brief("samples are in both", sick_report(), None, UNSHARDED)
    assert "likely cause: unsharded-replica" in text
    assert "different batches" not in text


def test_without_a_finding_what_could_not_be_seen_is_told():
    run = Run("today", "loader", "fork:4", 4, verdicts=VERDICTS)
    text = brief("too few", report([run], [epoch(run, 0, unique=8)]), run)
    assert (
        "likely cause: none was found; not observable: rng-clone, rng-epoch-reset, shared-state-race" in text
    )
    assert "what to change" not in text


def test_of_a_run_that_was_skipped_there_is_nothing_to_explain():
    run = Run("today", "loader", "spawn:4", 4, skipped="a generator cannot be pickled.")
    assert brief("spawn:4 was not audited", report([run], []), run) == "spawn:4 was not audited"


@pytest.mark.parametrize("error", ["", "\n", "x", TRACEBACK, "\x1b[31m"])
def test_the_end_of_a_run_that_ended_early_is_told(error):
    run = Run("today", "loader", "fork:4", 4, error=error)
    text = brief("ended early", report([run], [epoch(run, 0)]), run)
    last = error.strip().split("\n")[-1] if error.strip() not in ("", "\x1b[31m") else ""
    assert f"ended early: {last or 'no message'}".strip() in text or error == "\x1b[31m"


def test_of_many_epochs_the_sick_ones_are_told():
    run = Run("today", "loader", "fork:4", 4, findings=(UNSHARDED,))
    rows = [
        epoch(run, n, **({"unique": 8, "effective_ratio": 0.25} if n in (57, 91) else {})) for n in range(100)
    ]
    text = " ".join(brief("too few", report([run], rows), run).split())
    assert "8 of 32 in epoch 57, 8 of 32 in epoch 91 and 96 more epochs" in text


def test_one_more_epoch_is_one():
    run = Run("today", "loader", "fork:4", 4)
    rows = [epoch(run, n) for n in range(5)]
    assert "and 1 more epoch\n" in brief("x", report([run], rows), run)


def test_the_first_pair_is_the_first_in_time():
    run = Run("today", "loader", "fork:4", 4)
    ours = report([run], [epoch(run, n) for n in range(2)])
    rows = [
        (1, 0, "aa", 2),
        (1, 1, "aa", 2),
        (0, 3, "bb", 3),
        (0, 5, "bb", 3),
        (0, 4, "cc", 1),
        (0, 9, "bb", 3),
    ]
    columns = {"epoch": 0, "step": 1, "digest": 2, "copies": 3}
    base = ours.batches.iloc[[0] * len(rows)].reset_index(drop=True)
    frame = base.assign(**{name: [row[at] for row in rows] for name, at in columns.items()})
    frame = frame.assign(worker=pd.array([None, 1, 0, 1, 2, 3], "Int64"))
    assert (
        first_pair(replace(ours, batches=frame), run)
        == "epoch 0: step 3 of worker 0 and step 5 of worker 1 (batch bb)"
    )


@pytest.mark.parametrize("unique", [float("nan"), None])
def test_batches_that_could_not_be_hashed_are_no_pair(unique):
    run = Run("today", "loader", "fork:4", 4)
    ours = report([run], [epoch(run, 0, unique=unique)])
    frame = ours.batches.assign(copies=2, digest="00")
    assert first_pair(replace(ours, batches=frame), run) == ""


def test_it_is_safe_to_print():
    finding = replace(
        UNSHARDED, cause=HOSTILE, summary=HOSTILE, fix=HOSTILE, evidence={"first_example": HOSTILE}
    )
    run = Run(HOSTILE, HOSTILE, HOSTILE, 4, error=HOSTILE, findings=(finding,))
    text = brief(HOSTILE, report([run], [epoch(run, 0)], notes=(HOSTILE,)), run)
    assert not [char for char in ("\x1b", "\x07", "\r", "\u202e", "\udc80") if char in text]


def test_a_message_that_is_cut_says_so():
    long = replace(UNSHARDED, summary="word " * 500, fix="\n".join(f"line {n}" for n in range(100)))
    run = Run("today", "loader", "fork:4", 4, findings=(long,))
    lines = brief("failed " * 500, report([run], [epoch(run, 0)]), run).split("\n")
    assert len(lines) == MOST_LINES
    assert lines[5].endswith(" …")
    assert "    …" in lines
    assert lines[-1].startswith("  to see all of it:")
    # However long the rest is, the cause and the beginning of its fix are there.
    assert any("likely cause: unsharded-replica" in line for line in lines)
    assert "    line 0" in lines


names = st.text(max_size=60)
findings = st.builds(
    lambda summary, fix, example: replace(
        UNSHARDED, summary=summary, fix=fix, evidence={"first_example": example, "n": 1}
    ),
    st.text(max_size=3000),
    st.text(max_size=3000),
    st.one_of(st.none(), names),
)


@given(
    failed=st.text(max_size=3000),
    name=names,
    its=st.lists(findings, max_size=4),
    notes=st.lists(st.text(max_size=500), max_size=30),
    epochs=st.integers(0, 40),
    many=st.integers(0, 60),
    error=st.one_of(st.none(), names),
)
@settings(max_examples=40)
def test_it_is_never_longer(failed, name, its, notes, epochs, many, error):
    verdicts = tuple(Verdict(f"{name}{n}", "not observable", name) for n in range(20))
    run = Run(name, name, name, 4, error=error, findings=tuple(its) * 50, verdicts=verdicts)
    shares = workers(run, 0, [1] * many) if many else ()
    ours = report([run], [epoch(run, n) for n in range(epochs)], shares, notes=tuple(notes))
    for text in (brief(failed, ours, run), brief(failed, ours, None, its[0] if its else None)):
        assert len(text.split("\n")) <= MOST_LINES
        assert max(map(len, text.split("\n"))) <= WIDTH
        assert len((text + "x").splitlines()) == len(text.split("\n"))
