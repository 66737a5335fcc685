"""The commands as processes of their own: exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile

import pytest

from batchaudit import auditing

SOURCES = """\
import os
import numpy as np

print("printed at import")
MAIN = os.getpid()

def numbers():
    for number in range(8):
        yield np.full((2, 3), number)

def talkative():
    for batch in numbers():
        print("printed by Python")
        os.system("echo printed by C")
        yield batch

def healthy():
    return [np.full((2, 3), number) for number in range(4)]

def breaks():
    for batch in numbers():
        if os.getpid() != MAIN:
            raise OSError("[red]the disk is gone[/red]")
        yield batch

def returns_none(): return None
def raises(): raise ValueError("no images here")
def yields_nothing(): return iter(())

def waits():
    import threading
    print("waiting", flush=True)
    threading.Event().wait()
    yield
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    (path / "sources_of_a_test.py").write_text(SOURCES)
    (path / "silent_of_a_test.py").write_text("def make():\n    return [[0], [1]]\n")
    return path


def environment():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", "CUDA_VISIBLE_DEVICES": ""}


def batchaudit(folder, *arguments):
    command = [sys.executable, "-m", "batchaudit", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, encoding="utf-8", timeout=120
    )


def audit(folder, name, *arguments):
    return batchaudit(folder, "audit", f"sources_of_a_test.py:{name}", *arguments)


def test_json_is_one_document_and_everything_else_goes_to_standard_error(folder):
    done = audit(
        folder, "talkative", "--json", "--strategy", "serial", "--strategy", "fork:2", "--epochs", "1"
    )
    document = json.loads(done.stdout)
    assert [run["strategy"] for run in document["runs"]] == ["serial", "fork:2"]
    assert document["runs"][1]["findings"][0]["cause"] == "unsharded-replica"
    for printed in ("printed at import", "printed by Python", "printed by C", "unsharded-replica"):
        assert printed in done.stderr
    assert done.returncode == 1


def test_a_healthy_source(folder):
    done = audit(folder, "healthy", "--strategy", "serial", "--strategy", "threads:2")
    assert done.returncode == 0, done.stderr
    assert "nothing wrong was found" in done.stdout
    assert done.stderr == ""


def test_findings_and_what_they_fail(folder):
    arguments = ("numbers", "--strategy", "fork:2", "--epochs", "1")
    assert audit(folder, *arguments).returncode == 1
    assert audit(folder, *arguments, "--fail-on", "never").returncode == 0


def test_a_run_that_ends_early(folder):
    done = audit(folder, "breaks", "--strategy", "fork:2", "--epochs", "1")
    assert done.returncode == 3
    assert "OSError: [red]the disk is gone[/red]" in done.stdout
    assert "sources_of_a_test.py" in done.stdout, "the worker's own traceback"


def test_a_kept_run_is_reported_again(folder, tmp_path):
    run, page, comment = tmp_path / "run", tmp_path / "page.html", tmp_path / "comment.md"
    first = audit(folder, "numbers", "--strategy", "fork:2", "--out", str(run), "--json", "--name", "train")
    again = batchaudit(folder, "report", str(run), "--json", "--html", str(page), "--markdown", str(comment))
    assert (first.returncode, again.returncode) == (1, 1)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert json.loads(first.stdout)["runs"][0]["source"] == "train"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert comment.read_text(encoding="utf-8") == auditing.report(run).to_markdown()
    assert f"Markdown written to {comment}" in again.stderr
    both = batchaudit(folder, "report", str(run), f"{run}/", "--fail-on", "never")
    assert both.returncode == 0
    assert "1 run of train" in both.stdout, "the same folder under two names is one run"


def test_a_damaged_log(folder, tmp_path):
    run = tmp_path / "run"
    assert audit(folder, "healthy", "--strategy", "serial", "--out", str(run)).returncode == 0
    logs = sorted((path for path in run.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(logs[-1].read_bytes())
    data[len(data) // 2] ^= 0xFF
    logs[-1].write_bytes(data)
    done = batchaudit(folder, "report", str(run))
    assert done.returncode == 3
    assert "INCOMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("returns_none", "returned None"),
        ("raises", "ValueError: no images here"),
        ("yields_nothing", "yields no batch"),
        ("none", "has no attribute 'none'"),
    ],
)
def test_a_bad_target_is_one_message(folder, name, message):
    done = audit(folder, name, "--strategy", "serial")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--strategy", "fork:0"), "strategy 'fork:0'"),
        (("--strategy", "fork:-1"), "strategy 'fork:-1'"),
        (("--strategy", "fork:x"), "strategy 'fork:x'"),
        (("--strategy", "serial", "--strategy", "forc:2"), "unknown strategy 'forc:2'"),
        (("--out", "sources_of_a_test.py/run"), "is a file: name a folder"),
        (("--out", "/proc/batchaudit"), "cannot be written"),
        (("--html", "none/page.html"), "there is no folder"),
        (("--html", "."), "this is a folder"),
        (("--markdown", "none/comment.md"), "there is no folder"),
        (("--epochs", "0"), "--epochs"),
        (("--steps-per-epoch", "0"), "--steps-per-epoch"),
        (("--timeout", "0"), "--timeout"),
        (("--fail-on", "info"), "--fail-on"),
    ],
)
def test_bad_options_are_refused_before_the_target_is_loaded(folder, arguments, message):
    done = audit(folder, "numbers", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "printed at import" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_bad_key(folder):
    done = audit(folder, "numbers", "--key", "sources_of_a_test.py:MAIN")
    assert done.returncode == 2
    assert "is not callable" in done.stderr


def test_a_framework_that_is_not_installed(folder):
    (folder / "without_of_a_test.py").write_text(
        "import sys\nsys.modules['tensorflow'] = sys.modules['tf_keras'] = None\ndef make(): return [[0]]\n"
    )
    done = batchaudit(folder, "audit", "without_of_a_test.py:make", "--strategy", "tf_keras-threads:2")
    assert done.returncode == 2
    assert "pip install 'batchaudit[tensorflow]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_runs(folder):
    missing = batchaudit(folder, "report", "none")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "there is no run 'none'" in missing.stderr
    no_log = batchaudit(folder, "report", ".")
    assert no_log.returncode == 3
    assert "Traceback" not in no_log.stderr


def test_ctrl_c(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "batchaudit", "audit", "sources_of_a_test.py:waits", "--strategy", "fork:2"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_ctrl_c,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        while "waiting" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "interrupted\n"
    finally:
        process.kill()
        process.communicate()


def _hear_ctrl_c():
    # A test run in the background ignores the signal, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_reader_that_leaves_is_not_a_finding(folder):
    read, write = os.pipe()
    os.close(read)
    command = [
        sys.executable,
        "-m",
        "batchaudit",
        "audit",
        "silent_of_a_test.py:make",
        "--strategy",
        "serial",
    ]
    with os.fdopen(write, "w") as closed, tempfile.TemporaryFile() as stderr:
        done = subprocess.run(
            command, cwd=folder, env=environment(), stdout=closed, stderr=stderr, timeout=120
        )
    assert done.returncode == 141


def test_help_and_version_load_nothing_heavy(folder):
    code = """
import sys
from batchaudit.cli.main import main
main(["--help"], standalone_mode=False)
main(["audit", "-h"], standalone_mode=False)
heavy = {"pandas", "numpy", "rich", "jinja2", "tensorflow", "keras", "torch"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Exit codes: 0" in done.stdout
    version = batchaudit(folder, "--version")
    assert version.stdout.startswith("batchaudit, version ")
