"""The pytest plugin, in pytest runs of their own: loaded by its entry point, as users get it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import batchaudit
from batchaudit.report.brief import MOST_LINES

pytest_plugins = ["pytester"]

ROOT = str(Path(batchaudit.__file__).parents[1])
INSTALLED = any(one.value == "batchaudit.pytest_plugin" for one in entry_points(group="pytest11"))

LOADERS = """
import numpy as np
import pytest
from batchaudit import testing

def numbers():
    for number in range(8):
        yield np.arange(4) + 4 * number

class Table:
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return np.arange(4) + 4 * index
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest over a file of tests, in a process of its own."""
    path = [ROOT]
    if (
        not INSTALLED
    ):  # an entry point is what tells pytest of the plugin; this is what an installation writes
        about = pytester.mkdir("site") / "batchaudit-0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: batchaudit\nVersion: 0\n")
        (about / "entry_points.txt").write_text("[pytest11]\nbatchaudit = batchaudit.pytest_plugin\n")
        path.append(str(about.parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def ran(tests, *args, name="test_loaders.py"):
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LOADERS + tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)

    return ran


def summary(result):
    """The lines of our section."""
    lines = result.outlines
    begin = next((at for at, line in enumerate(lines) if re.fullmatch(r"=+ batchaudit =+", line)), None)
    if begin is None:
        return None
    rest = lines[begin + 1 :]
    end = next(at for at, line in enumerate(rest) if line.startswith("==="))
    return [line for line in rest[:end] if line]


def folders(path):
    return sorted(one.name for one in path.iterdir())


def properties(path):
    return {
        case.get("name"): [(one.get("name"), one.get("value")) for one in case.iter("property")]
        for case in ET.parse(path).iter("testcase")
    }


HEALTHY = """
def test_healthy(batch_audit):
    report = batch_audit(Table, strategies=["serial", "threads:2"], epochs=2, probes=False)
    testing.assert_no_findings(report)
    assert batch_audit.reports == [report]
"""

SICK = """
def test_sick(batch_audit):
    testing.assert_no_findings(batch_audit(numbers, strategies=["fork:2"], epochs=2, probes=False))
"""


def test_the_fixture_audits_and_the_assertion_shows_the_report(run, pytester):
    result = run(HEALTHY + SICK)
    result.assert_outcomes(passed=1, failed=1)
    assert not [one for ending in ("baj", "html", "json") for one in pytester.path.rglob(f"*.{ending}")]
    told = [line[1:].strip() for line in result.outlines if line.startswith("E ")]
    assert told[0] == "AssertionError: numbers under fork:2: unsharded-replica was found"
    assert len(told) <= MOST_LINES
    assert "what to change:" in told
    assert any("first equal batches: epoch 0: step" in line for line in told)
    # Where it is said is the test, and nothing of ours.
    assert not re.search(r"^\S*batchaudit[/\\]\S+:\d+", result.stdout.str(), re.MULTILINE)
    result.stdout.fnmatch_lines(["test_loaders.py:*: AssertionError"])


def test_without_an_audit_there_is_no_summary(run):
    result = run("def test_nothing(): pass")
    result.assert_outcomes(passed=1)
    assert summary(result) is None


def test_the_marker_says_what_the_call_does_not(run):
    result = run(
        """
@pytest.mark.batchaudit(strategies=["serial"], epochs=1, probes=False)
class TestMarked:
    def test_all_from_the_marker(self, batch_audit):
        report = batch_audit(Table)
        assert [run.strategy for run in report.runs] == ["serial"]
        assert len(report.epochs) == 1

    def test_the_call_goes_first(self, batch_audit):
        report = batch_audit(Table, ["threads:2"], epochs=2, probes=False)
        assert [run.strategy for run in report.runs] == ["threads:2"]
        assert len(report.epochs) == 2

    @pytest.mark.batchaudit(epochs=2)
    def test_the_nearer_marker_goes_first_and_the_other_one_holds(self, batch_audit):
        report = batch_audit(Table)
        assert [run.strategy for run in report.runs] == ["serial"]
        assert len(report.epochs) == 2

@pytest.mark.batchaudit(["serial", "threads:2"], epochs=1, probes=False)
def test_strategies_without_a_name(batch_audit):
    assert [run.strategy for run in batch_audit(Table).runs] == ["serial", "threads:2"]

@pytest.mark.batchaudit("serial threads:2", epochs=1, probes=False, name="mine")
def test_strategies_as_a_text(batch_audit):
    assert [(run.source, run.strategy) for run in batch_audit(Table).runs] == [("mine", "serial"), ("mine", "threads:2")]

def test_a_text_in_the_call(batch_audit):
    assert [run.strategy for run in batch_audit(Table, "serial", epochs=1, probes=False).runs] == ["serial"]
""",
        "--strict-markers",
    )
    result.assert_outcomes(passed=6)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("epoch=2", "@pytest.mark.batchaudit has no argument epoch: it has strategies, epochs,"),
        ("source=3", "@pytest.mark.batchaudit has no argument source: it has strategies, epochs,"),
        (
            "['serial'], 2",
            "@pytest.mark.batchaudit(['serial'], 2): only the strategies stand without a name",
        ),
        (
            "['serial'], strategies=['fork:2']",
            "@pytest.mark.batchaudit(['serial'],): only the strategies stand without a name",
        ),
        ("['nope:2']", "unknown strategy 'nope:2': expected one of as-is, serial"),
        ("epochs=0", "epochs=0: at least 1 epoch is needed."),
    ],
)
def test_a_marker_that_cannot_be_is_told(run, marker, said):
    result = run(f"@pytest.mark.batchaudit({marker})\ndef test_it(batch_audit):\n    batch_audit(Table)\n")
    result.assert_outcomes(failed=1)
    assert any(line.startswith("E ") and f"UsageError: {said}" in line for line in result.outlines)
    assert not re.search(r"^\S*batchaudit[/\\]\S+:\d+", result.stdout.str(), re.MULTILINE)


def test_a_call_that_cannot_be_is_told(run):
    result = run("def test_it(batch_audit):\n    batch_audit(Table, epoch=2)\n")
    result.stdout.fnmatch_lines(["E*UsageError: batch_audit has no argument epoch: it has strategies*"])


def test_what_the_users_code_raised_is_shown_where_it_was_raised(run):
    result = run(
        """
def factory():
    raise ValueError("boo")

def test_it(batch_audit):
    batch_audit(factory)
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['>*raise ValueError("boo")', "*direct cause*", "E*UsageError: factory() raised ValueError*"]
    )
    assert not re.search(r"^\S*batchaudit[/\\]\S+:\d+", result.stdout.str(), re.MULTILINE)


OTHERS = """
import os
PARENT = os.getpid()

class Broken(Table):
    def __getitem__(self, index):
        if os.getpid() != PARENT and index == 3:
            raise ValueError("boo")
        return super().__getitem__(index)

def test_several(batch_audit):
    for _ in range(2):
        batch_audit(Table, ["serial"], epochs=1, probes=False)
    batch_audit(Broken, ["fork:2"], epochs=1, probes=False)
    batch_audit(numbers, ["spawn:2"], epochs=1, probes=False)

@pytest.mark.parametrize("name", ["a/b", "a_b", "../../up", "x" * 300])
def test_named(batch_audit, name):
    batch_audit(Table, ["serial"], epochs=1, probes=False)

def test_of_any_name(batch_audit):
    batch_audit(Table, ["serial"], epochs=1, probes=False, name="two\\nlines \\x1b[31m <b> \\udc80")
"""


@pytest.mark.parametrize("xdist", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_what_is_left_of_each_audit(run, pytester, xdist):
    result = run(HEALTHY + SICK + OTHERS, "--batchaudit-out", "kept/here", "--junitxml=junit.xml", *xdist)
    result.assert_outcomes(passed=7, failed=1)
    check_summary(summary(result))
    check_properties(properties(pytester.path / "junit.xml"))
    check_files(pytester.path / "kept" / "here")
    assert folders(pytester.path / "kept") == ["here"]
    assert not (pytester.path.parent / "up").exists()


def check_summary(lines):
    *told, last = lines
    assert last == "12 runs audited, 3 with something found or skipped"
    assert len(told) == 3
    assert "test_loaders.py::test_sick: numbers.fork:2: unsharded-replica (error)" in told
    assert "test_loaders.py::test_several: Broken.fork:2: ended early" in told
    assert any(
        line.startswith("test_loaders.py::test_several: numbers.spawn:2: skipped: spawn") for line in told
    )


def check_properties(found):
    assert found["test_sick"] == [
        ("batchaudit.numbers.fork:2.unique", "16 of 32"),
        ("batchaudit.numbers.fork:2.found", "unsharded-replica (error)"),
    ]
    assert found["test_healthy"] == [
        ("batchaudit.Table.serial.unique", "16 of 16"),
        ("batchaudit.Table.serial.found", "nothing"),
        ("batchaudit.Table.threads:2.unique", "16 of 16"),
        ("batchaudit.Table.threads:2.found", "nothing"),
    ]
    assert ("batchaudit.Broken.fork:2.found", "ended early") in found["test_several"]
    odd = "two lines  <b> \N{REPLACEMENT CHARACTER}"
    assert (f"batchaudit.{odd}.serial.found", "nothing") in found["test_of_any_name"]


def check_files(kept):
    names = folders(kept)
    assert len(names) == 11
    assert [name for name in names if "several" in name] == [
        f"test_loaders.py-test_several-{n}" for n in (1, 2, 3, 4)
    ]
    for name in names:
        assert name.isascii()
        assert len(name) < 120
        assert folders(kept / name) == ["log", "report.html", "report.json"]
    loaded = batchaudit.Report.load(kept / "test_loaders.py-test_sick-1" / "report.json")
    assert [finding.cause for finding in loaded.findings] == ["unsharded-replica"]
    assert list((kept / "test_loaders.py-test_sick-1" / "log").glob("*.baj"))


def test_tests_of_one_name_in_folders_of_their_own_do_not_meet(run, pytester):
    (pytester.path / "a_test_x.py").write_text(LOADERS + HEALTHY)
    files = ["a/test_x.py", "a_test_x.py"]
    result = run(HEALTHY, "--batchaudit-out=kept", "--import-mode=importlib", *files, name="a/test_x.py")
    result.assert_outcomes(passed=2)
    assert len(folders(pytester.path / "kept")) == 2


def test_a_second_run_into_the_same_folder_reports_itself(run, pytester):
    for _ in range(2):
        run(HEALTHY, "--batchaudit-out=kept").assert_outcomes(passed=1)
    loaded = batchaudit.Report.load(pytester.path / "kept" / "test_loaders.py-test_healthy-1" / "report.json")
    assert len(loaded.runs) == 2


def test_an_out_of_the_call_goes_first(run, pytester):
    result = run(
        "def test_it(batch_audit, tmp_path):\n"
        "    batch_audit(Table, ['serial'], epochs=1, probes=False, out=tmp_path)\n"
        "    assert list(tmp_path.glob('*.baj'))\n",
        "--batchaudit-out=kept",
    )
    result.assert_outcomes(passed=1)
    assert folders(pytester.path / "kept" / "test_loaders.py-test_it-1") == ["report.html", "report.json"]


def test_a_folder_that_cannot_be_made_is_told(run, pytester):
    (pytester.path / "taken").write_text("")
    result = run(HEALTHY, "--batchaudit-out=taken/here")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*UsageError: --batchaudit-out: *taken*cannot be made: Not a directory."])


def test_the_strategies_of_the_command_line_go_before_all(run):
    result = run(
        """
@pytest.mark.batchaudit(strategies=["fork:2"], epochs=1)
def test_it(batch_audit):
    for given in (None, ["fork:3"]):
        report = batch_audit(Table, given, probes=False)
        assert [run.strategy for run in report.runs] == ["serial", "threads:2", "threads:3"]
""",
        "--batchaudit-strategies", "serial threads:2", "--batchaudit-strategies=threads:3",
    )  # fmt: skip
    result.assert_outcomes(passed=1)


def test_it_can_be_turned_off(run):
    result = run(HEALTHY + "def test_other(): pass", "-p", "no:batchaudit")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E*fixture 'batch_audit' not found"])
    assert summary(result) is None


def test_the_assertions_hold_where_it_is_turned_off(run):
    result = run(
        """
def test_sick():
    import batchaudit as ba
    report = ba.audit(numbers, ["fork:2"], epochs=1, probes=False, advise=False)
    testing.assert_no_findings(report)
""",
        "-p", "no:batchaudit",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*unsharded-replica was found"])


def test_they_hold_without_assertions(run, pytester):
    run("", "--collect-only")
    (pytester.path / "test_loaders.py").write_text(LOADERS + SICK)
    args = [sys.executable, "-O", "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(args, capture_output=True, text=True, check=False, cwd=pytester.path)
    assert done.returncode == 1
    assert "unsharded-replica was found" in done.stdout


def test_it_is_in_the_help_and_among_the_markers(run):
    result = run("", "--help")
    result.stdout.fnmatch_lines(
        ["audits of data loaders:", "*--batchaudit-out=DIR*", "*--batchaudit-strategies=STRATEGIES*"]
    )
    result = run("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.batchaudit(strategies, epochs, ...): *"])


def test_it_is_among_the_fixtures(run):
    result = run("", "--fixtures")
    result.stdout.fnmatch_lines(["batch_audit*", "*Calls `batchaudit.audit` for a test*"])


LOADED = """
import json, pathlib, sys
def pytest_unconfigure():
    pathlib.Path("loaded.json").write_text(json.dumps(sorted(sys.modules)))
"""
HEAVY = ("numpy", "pandas", "matplotlib", "tensorflow", "torch", "keras", "jinja2", "rich", "click", "xxhash")


def test_unused_it_imports_nothing(run, pytester):
    (pytester.path / "conftest.py").write_text(LOADED)
    path = pytester.path / "test_empty.py"
    path.write_text("def test_nothing(): pass\n")
    loaded = []
    for args in (["-p", "no:batchaudit"], []):
        pytester.runpytest_subprocess("-p", "no:cacheprovider", *args).assert_outcomes(passed=1)
        loaded.append(set(json.loads((pytester.path / "loaded.json").read_text())))
    without, with_it = loaded
    ours = {name for name in with_it if name.split(".")[0] == "batchaudit"}
    assert ours == {"batchaudit", "batchaudit.errors", "batchaudit.pytest_plugin"}
    assert {name.split(".")[0] for name in with_it - without} <= {"batchaudit", *sys.stdlib_module_names}


def test_alone_it_imports_nothing_heavy(run, pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (pytester.path / "conftest.py").write_text(LOADED)
    (pytester.path / "test_empty.py").write_text("def test_nothing(): pass\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "batchaudit.pytest_plugin")
    result.assert_outcomes(passed=1)
    loaded = set(json.loads((pytester.path / "loaded.json").read_text()))
    assert "batchaudit.pytest_plugin" in loaded
    assert not loaded & set(HEAVY)
