"""`batchaudit explain`: what it prints to a pipe and to a terminal, and its exit codes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from batchaudit.cli.explain import _FRAMEWORKS
from batchaudit.cli.main import main
from batchaudit.diagnosis import pages


def explain(*arguments):
    """The exit code, standard output and standard error."""
    done = CliRunner().invoke(main, ["explain", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("cause", pages.CAUSES)
def test_a_pipe_gets_the_page_as_it_is_written(cause):
    assert explain(cause) == (0, pages.text(cause), "")


def test_underscores_and_capitals_name_the_same_cause():
    assert explain("RNG_Clone") == explain("rng-clone")


def test_without_a_cause_all_are_listed():
    code, text, _ = explain()
    lines = text.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[:16]] == list(pages.CAUSES)
    assert all(line.endswith(pages.summary(cause)) for line, cause in zip(lines, pages.CAUSES, strict=False))
    assert lines[16:] == [
        "",
        "`batchaudit explain CAUSE` prints the page of a cause; a finding names its cause by the same word.",
    ]


def test_only_the_fix():
    code, text, _ = explain("tail-drop", "--fix")
    assert code == 0
    assert text == pages.section("tail-drop", "Fix") + "\n"
    assert "## How it comes about" not in text


def test_only_the_fix_of_one_framework():
    _, text, _ = explain("unsharded-replica", "--framework", "torch")
    assert [line for line in text.splitlines() if line.startswith("### ")] == [
        "### torch IterableDataset",
        "### torch DistributedSampler",
    ]
    assert pages.fix("unsharded-replica", "torch IterableDataset") in text
    assert explain("unsharded-replica", "--framework", "torch", "--fix")[1] == text


def test_the_frameworks_are_those_of_the_pages():
    assert tuple(pages.FRAMEWORKS) == _FRAMEWORKS


def test_a_framework_without_a_fix_of_its_own_gets_the_one_for_any():
    _, text, _ = explain("buffer-alias", "--framework", "webdataset")
    assert text.startswith("### torch IterableDataset")
    _, text, _ = explain("buffer-alias", "--framework", "tf.data")
    assert text.startswith("### any\n")
    assert pages.fix("buffer-alias") in text


def test_an_unknown_cause_is_bad_usage_and_the_nearest_is_named():
    code, text, error = explain("rng-clones")
    assert (code, text) == (2, "")
    assert (
        "there is no cause 'rng-clones': did you mean rng-clone? The causes are unsharded-replica, " in error
    )


def test_a_cause_unlike_any_other():
    code, _, error = explain("xyz")
    assert code == 2
    assert "did you mean" not in error
    assert all(cause in error for cause in pages.CAUSES)


@pytest.mark.parametrize(
    "arguments", [("--fix",), ("--framework", "torch"), ("rng-clone", "--framework", "caffe")]
)
def test_what_cannot_be_printed_is_bad_usage(arguments):
    code, text, error = explain(*arguments)
    assert (code, text) == (2, "")
    assert error


def test_it_is_a_command_of_the_installed_program():
    done = subprocess.run(
        [sys.executable, "-m", "batchaudit", "explain", "overshard"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, pages.text("overshard"), "")


def on_a_terminal(*arguments):
    """What a terminal is shown, without its colours."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "batchaudit", "explain", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            env=environment,
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                some = os.read(ours, 65536)
            except OSError:  # the last one who had the other end has left
                break
            if not some:
                break
            shown += some
        assert process.wait(timeout=60) == 0
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_shows_the_page():
    shown = on_a_terminal("rng-clone")
    assert "rng-clone" in shown
    assert "```" not in shown and "## " not in shown
    assert "(unsharded-replica.md)" not in shown and "unsharded-replica" in shown
    assert "https://github.com/numpy/numpy/issues/9650" in shown
    assert "info.dataset.rng = np.random.default_rng([info.seed, rank])" in shown


def test_a_terminal_shows_the_list():
    shown = on_a_terminal()
    assert all(cause in shown for cause in pages.CAUSES)
    assert "batchaudit explain CAUSE" in shown
