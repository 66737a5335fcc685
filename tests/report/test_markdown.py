from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.report.markdown import MOST_CHARACTERS, as_markdown
from batchaudit.report.model import Run
from tests.report.hand_made import UNSHARDED, VERDICTS, epoch, report, sick_report

ZERO = "\u200b"
NAMES = [
    "a|b",
    "`rm -rf`",
    "two\nlines",
    "<script>alert(1)</script>",
    "@everyone",
    "#123",
    "owner/repo#7",
    "GH-12",
    "!42",
    "**bold** _it_ ~~no~~",
    "[text](https://example.org)",
    "https://example.org",
    "www.example.org",
    "a@example.org",
    ":rocket:",
    "$x^2$",
    "</details><h1>x</h1>",
    "```\ncode\n```",
    "- item",
    "1. item",
    "---",
    "    indented",
    "&lt;b&gt;",
    "\\",
    "<!-- comment -->",
]


def of_name(name):
    """A report in which everything that a log can hold is the name."""
    finding = replace(UNSHARDED, summary=name, fix=name, evidence={name: name, "first_example": name})
    run = Run(name, name, name, 4, error=name, findings=(finding,), verdicts=VERDICTS)
    skipped = Run(name, f"{name} 2", name, 4, skipped=name)
    note = {"seed_divergence": float("nan"), "seed_divergence_note": name}
    return report([run, skipped], [epoch(run, 0, **note)], notes=(name,))


def without_code(text):
    """The lines that Markdown reads: what stands in a block of code is shown as it is."""
    kept, fence = [], None
    for line in text.split("\n"):
        opened = re.match(r"`{3,}", line)
        if fence is None and opened:
            fence = opened[0]
        elif fence is not None and line == fence:
            fence = None
        elif fence is None:
            kept.append(line)
    assert fence is None, "a block of code is left open"
    return "\n".join(kept)


def unescaped(text):
    return re.sub(r"\\[!-/:-@\[-`{-~]", "", text)


@pytest.mark.parametrize("name", ["sick", "healthy", "unknown", "hostile", "advised", "empty"])
def test_it_says_this(name, make_report, snapshot):
    assert make_report(name).to_markdown() == snapshot


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_log_is_markup(name):
    text = without_code(as_markdown(of_name(name)))
    ours = unescaped(text)
    tags = set(re.findall(r"<[^>]*>", ours))
    ours = re.sub(r"<summary>.*</summary>", "", ours)  # a block of HTML, in which there is no Markdown
    assert tags <= {"<details>", "<summary>", "</summary>", "</details>"}
    assert not re.findall(r"\[[^\]]*\]\(", ours)
    assert "`" not in ours.replace("`batchaudit report`", "")
    # What is read after Markdown: people, issues, addresses, emojis.
    assert not re.findall(r"@\w|#\d|![0-9]|\bGH-\d|://\w|\bwww\.\w|:rocket:", text, re.IGNORECASE)
    for line in ours.split("\n"):
        assert not re.match(r" {4}|-{3,}\s*$|\d+[.)] ", line)


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_as_many_cells_in_each_row(name):
    text = without_code(as_markdown(of_name(name)))
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        cells = {
            len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) for line in table.strip().split("\n")
        }
        assert len(cells) == 1


@pytest.mark.parametrize("text", ["`", "```", "````x````", "```\n```\n````"])
def test_code_ends_where_it_ends(text):
    error = f"before\n{text}\nafter"
    run = Run("today", "loader", "fork:4", 4, error=error, findings=(replace(UNSHARDED, fix=error),))
    said = as_markdown(report([run], [epoch(run, 0)]))
    assert said.count(f"\n{error}\n") == 2
    assert "before" not in without_code(said)


def test_what_is_copied_from_it_is_what_it_was():
    said = as_markdown(sick_report())
    for text in ("fork:4", "unsharded-replica", "threads:4", "make_loader", "0.25", "equal_replicas"):
        assert text in said
    assert ZERO not in said


@pytest.mark.parametrize("count", [1, 50, 300])
def test_it_fits_a_comment_however_many_runs_there_are(count):
    runs = [Run("today", f"loader {n}", "fork:4", 4, findings=(UNSHARDED,)) for n in range(count)]
    said = as_markdown(report(runs, [epoch(run, 0) for run in runs]))
    assert len(said) <= MOST_CHARACTERS
    assert ("have no room here" in said) is (count == 300)
    assert said.startswith("### ❌ batchaudit: ")
    without_code(said)


def test_what_has_no_room_is_counted_and_what_comes_after_it_is_there():
    long = replace(UNSHARDED, fix="x = 1\n" * 20_000)
    runs = [
        Run("today", "loader", "fork:4", 4, findings=(long,)),
        Run("today", "loader", "fork:8", 8, findings=(UNSHARDED,)),
    ]
    said = as_markdown(report(runs, []))
    assert len(said) <= MOST_CHARACTERS
    assert "*1 more parts of the report have no room here" in said
    assert "(worker), fork:8" in said


@given(st.text(max_size=400), st.integers(1, 40), st.integers(1, 400))
def test_it_fits_whatever_the_names_are(name, runs, times):
    ours = of_name(name * times)
    ours = replace(ours, runs=ours.runs * runs, notes=ours.notes * runs)
    assert len(as_markdown(ours)) <= MOST_CHARACTERS


def test_an_incomplete_log_is_said_first(make_report):
    head, said, *_ = as_markdown(make_report("unknown")).split("\n\n")
    assert head == "### ⚠️ INCOMPLETE"
    assert said == "**INCOMPLETE**: 120 bytes dropped; 3 events missing; what is missing may hold duplicates"


def test_it_is_saved(make_report, tmp_path):
    make_report("sick").save(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == make_report("sick").to_markdown()
