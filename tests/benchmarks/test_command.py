"""`python -m benchmarks`: what it prints and writes, whatever the figures are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fingerprint, table
from benchmarks.lines import Line
from benchmarks.measure import Effort
from benchmarks.processes import line_of
from benchmarks.subjects import SUBJECTS, Subject, measured

ROOT = Path(__file__).resolve().parents[2]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], dict]:
    file = tmp_path_factory.mktemp("benchmarks") / "table.json"
    done = benchmarks("--quick", "--only", "journal", "--json", str(file))
    return done, json.loads(file.read_text(encoding="utf-8"))


def test_the_table_comes_out(quick: tuple[subprocess.CompletedProcess[str], dict]) -> None:
    done, _ = quick
    assert done.returncode == 0, done.stderr
    for expected in ("what", "baseline", "spread", "target", "journal", "≤ 2.5 µs", "os.write", "--quick"):
        assert expected in done.stdout
    assert "fingerprint" not in done.stdout


def test_the_json_holds_what_the_table_shows(
    quick: tuple[subprocess.CompletedProcess[str], dict],
) -> None:
    _, document = quick
    assert (document["schema_version"], document["quick"]) == (table.SCHEMA_VERSION, True)
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["packages"]["numpy"]
    written = document["lines"][0]
    assert written["subject"] == "journal"
    assert written["ours"] > 0 and written["baseline"] > 0 and written["ratio"] > 0
    assert written["spread"][0] <= written["ratio"] <= written["spread"][1]
    assert written["met"] in (True, False)


def test_markdown_is_all_of_standard_output() -> None:
    done = benchmarks("--quick", "--only", "journal", "--markdown")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].startswith("| what | ours |")
    assert "targets met" in done.stderr


def test_the_list_names_all_subjects() -> None:
    done = benchmarks("--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(SUBJECTS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "fingerprint", "jurnal"], "there is no benchmark 'jurnal': choose from fingerprint"),
        (["--only"], "expected at least one argument"),
        (["--only", "journal", "--json", "no/such/folder/table.json"], "no/such/folder/table.json: No such"),
        (["--rounds", "3"], "unrecognized arguments"),
    ],
)
def test_bad_usage_exits_with_2_and_measures_nothing(arguments: list[str], said: str) -> None:
    done = benchmarks(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "measuring" not in done.stdout


def test_a_subject_whose_framework_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    [line] = measured("torch-training", Effort(quick=True))
    assert line.note == "not measured: torch is not installed"
    assert line.met is None


def test_a_line_whose_baseline_is_missing_says_so_and_the_others_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    lines = list(fingerprint.lines(Effort(quick=True)))
    [without] = [line for line in lines if line.ours is None]
    assert without.note == "not measured: joblib is not installed"
    assert (without.target, without.met) == ("30 x faster", None)
    assert len(lines) > 3


def test_a_subject_that_fails_is_a_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import processes

    monkeypatch.setitem(SUBJECTS, "broken", Subject("broken", "what fails"))  # not known to the other process
    [line] = processes.run("broken", Effort(quick=True))
    assert line.what == "what fails"
    assert line.note.startswith("not measured: it failed: KeyError")


def test_the_closing_sentence_counts_met_missed_and_unknown() -> None:
    results = {
        "one": [Line("a", target="≤ 1 x", met=True), Line("b", target="≤ 1 x", met=False)],
        "two": [Line("c", target="≤ 1 x"), Line("d")],
    }
    assert table.closing(results) == "1 targets met, 1 missed, 1 not measured.\nmissed: b"


def test_cells_survive_what_tables_are_made_of() -> None:
    line = Line("a [b] | c", 1234.5, "µs", "d", 0.0123, 0.5, (0.4, 0.6), 3, "≤ 1 x", True)
    assert table.cells(line) == (
        "a [b] | c", "1,234 µs", "0.012 µs: d", "0.5 x", "0.4 .. 0.6", "≤ 1 x", "yes",
    )  # fmt: skip
    assert r"a [b] \| c" in table.as_markdown({"s": [line]})
    assert table.for_terminal({"s": [line]}).row_count == 2


def test_a_line_comes_back_from_its_json() -> None:
    from dataclasses import asdict

    for line in (Line("a", 1.0, "s", spread=(0.5, 1.5)), Line("b")):
        assert line_of(json.loads(json.dumps(asdict(line)))) == line
