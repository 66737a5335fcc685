"""The advice in a terminal, on a page and in the document."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from batchaudit.advice import Advice, Question, Reason, advise
from batchaudit.report.advice_view import advice_view
from batchaudit.report.console import as_text
from batchaudit.report.html import as_page
from tests.advice.made import HOLDS, MS, option, question, timing
from tests.report.hand_made import HOSTILE, advised_report
from tests.report.test_console import HOSTILE_PARTS
from tests.report.test_html import check


def test_text(make_report, snapshot):
    assert as_text(make_report("advised")) == snapshot


def test_what_the_table_says_is_not_said_again(make_report):
    shown = advice_view(make_report("advised").advice["make_loader"])
    told = [rule for rule, _, _ in shown.reasons]
    assert "measured" not in told and "defect" not in told
    assert {"make", "holds-interpreter", "sending", "lacks", "after-fix"} <= set(told)
    assert [row[0] for row in shown.table.rows] == ["serial", "threads:4", "fork:4"]
    assert shown.table.rows[2][-1] == "rng-clone"


def test_the_fix_is_code(make_report):
    shown = advice_view(make_report("advised").advice["make_loader"])
    code = {rule: code for rule, _, code in shown.reasons}
    assert code.pop("after-fix") == "seed the worker\n    with its index"
    assert set(code.values()) == {""}
    assert "      seed the worker\n          with its index\n" in as_text(make_report("advised"))


def test_a_column_of_nothing_is_left_out():
    advice = advise(question(*HOLDS))
    assert not {"to\nstart", "worker's\nmemory", "stalled"} & set(advice_view(advice).table.headings)
    timed = advise(question(*HOLDS, step_time=20 * MS))
    assert "stalled" in advice_view(timed).table.headings


def test_one_strategy_alone_makes_no_table():
    assert advice_view(advise(question({}, *HOLDS[1:]))).table is None


def test_each_row_is_as_long_as_the_headings(make_report):
    table = advice_view(make_report("advised").advice["make_loader"]).table
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_what_is_not_known_is_never_a_number():
    options = (option("serial", timing(20 * MS)), option("as-is", replace(timing(20 * MS), make=None)))
    table = advice_view(advise(Question("s", "indexed", options))).table
    row = dict(zip(table.headings, table.rows[1], strict=True))
    assert row["to\nmake"] == "–"
    assert "busy" not in row


def test_the_page_has_the_advice_with_its_code(make_report):
    page = as_page(make_report("advised"))
    check(page)
    assert "Use no workers (serial)" in page
    assert "<pre><code>seed the worker\n    with its index</code></pre>" in page


def test_the_source_keeps_its_name():
    page = as_page(advised_report("MyLoader"))
    assert "dvice for MyLoader</h2>" in page
    assert "advice for MyLoader: Use" in as_text(advised_report("MyLoader"))


@pytest.mark.parametrize("place", ["source", "cause", "fix", "refused", "summary", "reason"])
def test_nothing_of_a_source_is_taken_for_markup(place):
    script = "<script>alert(1)</script>{{ 7*7 }}"
    report = _with(place, script)
    page = as_page(report)
    assert "script" not in check(page).tags
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in page


@pytest.mark.parametrize("place", ["source", "cause", "fix", "refused", "summary", "reason"])
def test_nothing_of_a_source_reaches_the_terminal(place):
    report = _with(place, HOSTILE)
    text, page = as_text(report), as_page(report)
    assert ":smile:" in text and "[red]<b>x</b>" in text
    for part in HOSTILE_PARTS:
        assert part not in text and part not in page
    assert ":smile:" in page
    json.dumps(report.to_dict(), allow_nan=False).encode()


def _with(place, text):
    """An advised report that has a text of the user's own somewhere."""
    if place == "source":
        return advised_report(source=text)
    if place == "fix":
        return advised_report(fix=f"seed\n{text}")
    report = advised_report()
    advice = report.advice["make_loader"]
    if place == "summary":
        return replace(report, advice=Advice((replace(advice, summary=text),)))
    if place == "reason":
        return replace(report, advice=Advice((replace(advice, reasons=(Reason(text, text),)),)))
    asked = Question(
        "s", "indexed", tuple(_changed(one.option, place, text) for one in advice.compared), step_time=0.02
    )
    return replace(report, advice=Advice((advise(asked),)))


def _changed(its, place, text):
    if place == "cause" and its.causes:
        return replace(its, causes=(text,))
    return replace(its, refused=text) if place == "refused" and its.refused else its


def test_the_document_has_the_advice_and_each_runs_times(make_report):
    document = make_report("advised").to_dict()
    json.dumps(document, allow_nan=False)
    (advice,) = document["advice"]
    assert (advice["source"], advice["best"], advice["after_fix"]) == ("make_loader", "serial", "fork:4")
    assert [one["option"]["strategy"] for one in advice["compared"]][2] == "fork:4"
    assert advice["compared"][2]["option"]["causes"] == ["rng-clone"]
    timed = document["runs"][0]["timing"]
    assert (timed["clocked"], timed["workers"], timed["rate"], timed["step"]) == (True, 4, 62.0, None)
    assert make_report("healthy").to_dict()["runs"][0]["timing"] is None


def test_a_report_without_advice_says_nothing_of_it(make_report):
    assert "advice" not in as_text(make_report("healthy"))
    assert not re.search("advice", as_page(make_report("healthy")), re.IGNORECASE)
