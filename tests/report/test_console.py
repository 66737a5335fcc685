from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from batchaudit.report.console import as_text, print_report

HOSTILE_PARTS = ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\udc80")


@pytest.mark.parametrize("name", ["healthy", "sick", "unknown", "hostile", "long", "empty"])
def test_text(make_report, name, snapshot):
    assert as_text(make_report(name)) == snapshot


def test_the_first_line_is_the_verdict(make_report):
    def first_line(name):
        return as_text(make_report(name)).splitlines()[0]

    assert first_line("sick") == "fork:4: 8 of 32 batches are different in each epoch - unsharded-replica"
    assert first_line("healthy") == "nothing wrong was found"
    assert first_line("unknown") == (
        "INCOMPLETE: 120 bytes dropped; 3 events missing; what is missing may hold duplicates"
    )
    assert first_line("empty") == "nothing was audited"


def test_a_healthy_run_is_short(make_report):
    after_head = as_text(make_report("healthy")).split("\n\n", 1)[1]
    table = 5  # two lines of headings, three epochs
    assert len(after_head.splitlines()) <= 1 + table + 3


def test_no_figure_is_shown_that_is_not_known(make_report):
    text = as_text(make_report("unknown"))
    rows = [line.split() for line in text.splitlines() if re.match(r" +[01]  +32 ", line)]
    assert len(rows) == 2
    assert all(set(row[2:]) <= {"–", "–/2"} for row in rows)
    assert "INCOMPLETE" in text
    assert "rank 1 is missing" in text


def test_many_epochs_are_cut_in_the_middle_and_said_to_be(make_report):
    text = as_text(make_report("long"))
    shown = [int(line.split()[0]) for line in text.splitlines() if re.match(r" +\d+ +32 ", line)]
    assert shown == [0, 1, 2, 3, 4, 95, 96, 97, 98, 99]
    assert "epochs 5 to 94 are left out (90 of 100)" in text


def test_no_text_moves_the_terminal_or_is_taken_for_markup(make_report):
    file = io.StringIO()
    print_report(make_report("hostile"), Console(file=file, force_terminal=True, width=200, highlight=True))
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())  # our own colours
    assert not any(part in text for part in HOSTILE_PARTS)
    assert "[red]<b>x</b>" in text
    assert ":smile:" in text


def test_code_and_tracebacks_keep_their_lines_at_any_width(make_report):
    text = as_text(make_report("sick"), width=40)
    assert (
        "\n      for i in range(worker_index, len(paths), workers):\n          yield load(paths[i])\n" in text
    )
    assert '\n      File "loader.py", line 7, in make_loader\n        yield load(path)\n' in text


def test_a_table_that_is_too_wide_loses_no_digit(make_report):
    assert "256/1,024" in as_text(make_report("sick"), width=30)


def test_a_table_fits_into_80_columns(make_report):
    table = [line for line in as_text(make_report("sick"), width=80).splitlines() if "/1,024" in line]
    assert table and max(map(len, table)) <= 80


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_ends_in_blanks(any_report, width):
    assert not re.search(r"[ \t]$", as_text(any_report, width=width), re.MULTILINE)


def test_the_environment_does_not_colour_plain_text(make_report, monkeypatch):
    plain = as_text(make_report("sick"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    assert as_text(make_report("sick")) == plain


def test_str_and_repr_are_the_text(make_report):
    report = make_report("sick")
    assert str(report) == repr(report) == as_text(report)
