"""Every slug that the package can show is on its page, and no other."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest

import batchaudit as ba
from batchaudit.analysis.compare import KINDS
from batchaudit.cli.exit_codes import ExitCode
from batchaudit.diagnosis import pages as causes
from batchaudit.errors import WARNINGS, BatchauditWarning
from batchaudit.report.notes import NOTES
from tests.documentation import pages

PACKAGE = Path(ba.__file__).parent


@pytest.fixture(scope="module")
def sections():
    return pages.sections(pages.page("reference/causes-and-warnings.md"))


def listed(section):
    """The names in the first column of a section's tables."""
    return [name for row in pages.rows(section) for name in pages.names(row[0])]


def first_arguments(function):
    """The text that is given first wherever the package calls a function."""
    calls = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]
    return [call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)]


def test_every_cause_with_its_sentence(sections):
    rows = pages.rows(sections["Causes"])
    assert [(pages.names(row[0])[0], row[1]) for row in rows] == [
        (cause, causes.summary(cause)) for cause in causes.CAUSES
    ]


def test_every_cause_of_a_rule_has_a_page():
    rules = (PACKAGE / "diagnosis").glob("*.py")
    named = {
        node.value.value
        for path in rules
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "CAUSE"
        and isinstance(node.value, ast.Constant)
    }
    assert named == set(causes.CAUSES)


def test_every_severity_that_is_named_is_one(sections):
    said = {word for row in pages.rows(sections["Causes"]) for word in row[2].split(", ")}
    assert said == {"error", "warning", "info"}


def test_every_warning(sections):
    assert sorted(listed(sections["Warnings"])) == sorted(WARNINGS)


def test_every_note_as_it_is_worded(sections):
    assert {pages.names(row[0])[0]: row[1] for row in pages.rows(sections["Notes"])} == NOTES
    assert set(first_arguments("note")) == set(NOTES)


def test_every_rule_of_the_advice(sections):
    assert set(listed(sections["Rules of the advice"])) == set(first_arguments("Reason"))


def test_every_exit_code():
    rows = pages.rows(pages.sections(pages.page("reference/command-line.md"))["Exit codes"])
    assert [int(code) for row in rows for code in row[0].split(", ")] == [code.value for code in ExitCode]


def test_every_way_in_which_streams_differ():
    said = pages.names(pages.sections(pages.page("reference/command-line.md"))["diff"].split("`kind` is")[1])
    assert set(said) == set(KINDS)


def log_stopped(tmp_path):
    run = tmp_path / "run"
    with ba.Audit(run) as audit:
        source = audit.wrap(iter([[1], [2]]), name="train")
        for file in run.iterdir():
            file.unlink()
        run.rmdir()
        list(source)


def part_unwatched(tmp_path):
    from batchaudit.journal.writer import note_failure

    note_failure(tmp_path, "what watches it failed")


def audit_closed(tmp_path):
    with ba.Audit(tmp_path) as audit:
        source = audit.wrap(iter([[1], [2]]), name="train")
    list(source)


def no_figures(tmp_path):
    from batchaudit.callbacks.link import LinkError
    from batchaudit.callbacks.watch import EpochWatch

    def cannot(folder, attempt):
        raise LinkError("there is no memory")

    EpochWatch(tmp_path, 0, "warn", open_link=cannot).begin()


@pytest.mark.parametrize("make", [log_stopped, part_unwatched, audit_closed, no_figures])
def test_a_warning_has_its_slug(tmp_path, make):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        make(tmp_path)
    [warning] = [one.message for one in said if isinstance(one.message, BatchauditWarning)]
    slug = make.__name__.replace("_", "-")
    assert slug in WARNINGS and warning.slug == slug
    assert str(warning).endswith(f" ({slug})")


def test_the_warning_of_a_finding_has_its_cause():
    warning = BatchauditWarning("rng-clone in train: 2 workers draw the same.", "rng-clone")
    assert warning.slug == "rng-clone"
    assert str(warning) == "rng-clone in train: 2 workers draw the same."
