"""Trainings that something happens to: watched or not, they end alike, and the report says what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import hurt
from tests.running.starting import PLAIN, WATCHED, ended, environment

TRAININGS = Path(__file__).parent / "trainings"
KERAS, TORCH = "train_keras.py", "train_torch.py"
TF_KERAS = ("--framework", "tf_keras")
GENERATOR = ("--source", "generator")


@dataclass(frozen=True)
class Case:
    """A training and a fault.

    Attributes:
        fault: see `hurt`.
        script: the training.
        arguments: the script's own.
        place: where the run's folder lies: "folder", "disk" (a small one of its own), "read-only" (such a disk).
        watch: how it is watched: "wrap", "everything" or "run".
        warns: the slug of the one warning; "" for none.
        left: what is to be seen of the log: "part", "all", "nothing", or "gone" with its folder.
        another: whether there is another case with this fault, so that this one can wait for the whole run.
    """

    fault: str
    script: str = TORCH
    arguments: tuple[str, ...] = ()
    place: str = "folder"
    watch: str = "wrap"
    warns: str = "log-stopped"
    left: str = "part"
    another: bool = False

    def __str__(self) -> str:
        words = [self.fault, self.script.removesuffix(".py"), *self.arguments[1::2], self.place, self.watch]
        return " ".join(words)


SPAWN, FORKSERVER = ("--start", "spawn"), ("--start", "forkserver")
CASES = [
    Case("disk-full", place="disk"),
    Case("disk-full", place="disk", watch="run", another=True),
    Case("disk-full", place="disk", arguments=SPAWN, another=True),
    Case("disk-full", place="disk", arguments=FORKSERVER, another=True),
    Case("disk-full", KERAS, place="disk"),
    Case("disk-full", KERAS, GENERATOR, place="disk", another=True),
    Case("disk-full", KERAS, TF_KERAS, place="disk", another=True),
    Case("none", place="read-only", left="nothing"),
    Case("none", KERAS, GENERATOR, place="read-only", left="nothing", another=True),
    Case("no-permission", left="nothing", another=True),
    Case("no-permission", arguments=FORKSERVER, left="nothing"),
    Case("removed", left="gone", another=True),
    Case("removed", watch="run", left="gone"),
    Case("removed", KERAS, left="gone", another=True),
    Case("replaced-by-a-file", left="gone"),
    Case("no-descriptors", arguments=("--arrays", "1")),
    Case("no-descriptors", arguments=("--arrays", "1", *SPAWN), another=True),
    Case("file-size", another=True),
    Case("file-size", watch="everything"),
    Case("file-size", KERAS, another=True),
    Case("file-size", KERAS, (*TF_KERAS, *GENERATOR), another=True),
    Case("warnings-are-errors"),
    Case("warnings-are-errors", KERAS, GENERATOR, another=True),
    Case("input-output-error", another=True),
    Case("input-output-error", arguments=FORKSERVER),
    Case("short-write"),
    Case("short-write", KERAS, GENERATOR, another=True),
    Case("working-folder-removed", warns="", left="all", another=True),
    Case("working-folder-removed", watch="everything", warns="", left="all"),
    Case("working-folder-removed", KERAS, watch="everything", warns="", left="all", another=True),
    Case("os-exit", warns="", left="all", another=True),
    Case("os-exit", arguments=SPAWN, warns="", left="all", another=True),
    Case("os-exit", KERAS, warns="", left="all"),
    Case("killed", warns="", left="all"),
    Case("killed", arguments=SPAWN, warns="", left="all", another=True),
    Case("segmentation-fault", arguments=FORKSERVER, warns="", left="all"),
    Case("out-of-memory", warns="", left="all"),
    Case("out-of-memory", watch="run", warns="", left="all", another=True),
    Case("clock-set-back", warns="", left="all"),
    Case("clock-set-back", KERAS, watch="everything", warns="", left="all", another=True),
]


@contextmanager
def small_disk(folder):
    """A file system of its own, of 128 KiB; skips where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "batchaudit-test", folder], capture_output=True, text=True
    )
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def place_for(case, folder):
    """Where a run's folder is to lie."""
    if case.fault == "no-permission":
        if os.geteuid() != 0:
            pytest.skip("only root can make a folder that is somebody else's")
        (folder / "run").mkdir(mode=0o755)
        os.chown(folder / "run", hurt.NOBODY, hurt.NOBODY)
        yield folder / "run"
    elif case.place == "folder":
        yield folder / "run"
    else:
        with small_disk(folder / "disk"):
            (folder / "disk" / "run").mkdir()
            if case.place == "read-only":
                subprocess.run(["mount", "-o", "remount,ro", folder / "disk"], check=True)
            yield folder / "disk" / "run"


@pytest.fixture
def folder():
    """A folder of its own, in whatever place there is for such."""
    made = Path(tempfile.mkdtemp(prefix="batchaudit-faults-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def train(case, folder, run, watch):
    """Runs a training in an empty current folder."""
    here = folder / f"current-{watch}"
    here.mkdir()
    env = environment(TF_ENABLE_ONEDNN_OPTS="0", KERAS_BACKEND="tensorflow", PYTHONWARNINGS="default")
    start = [*WATCHED, "--out", run] if watch == "run" else PLAIN
    inside = watch if watch in ("wrap", "everything") else "no"
    arguments = ["--folder", run, "--fault", case.fault, "--watch", inside, *case.arguments]
    try:
        return ended([*start, TRAININGS / case.script, *arguments], here, env)
    finally:
        (folder / "disk" / "filler").unlink(missing_ok=True) if case.place == "disk" else None
        with suppress(OSError):
            here.rmdir()


def warnings_in(text):
    """The slugs of batchaudit's own warnings; each message ends with its slug."""
    lines = [
        line for line in text.splitlines() if "BatchauditWarning" in line or "batchaudit stopped" in line
    ]
    return [line.rpartition("(")[2].rstrip(")") for line in lines]


def reported(run):
    """The exit code and the document of `batchaudit report RUN --json`."""
    done = ended([sys.executable, "-m", "batchaudit", "report", run, "--json"], run.parent)
    return done.code, json.loads(done.out) if done.out else None, done.err


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.whole_corpus] * case.another, id=str(case)) for case in CASES],
)
def test_a_training_ends_as_it_would_and_the_report_says_what_is_missing(case, folder):
    with place_for(case, folder) as run:
        plain = train(case, folder, run, "no")
        if case.place == "folder" and case.fault != "no-permission":
            shutil.rmtree(run) if run.is_dir() else run.unlink(missing_ok=True)
        watched = train(case, folder, run, case.watch)
        assert "weights" in plain.out or case.fault == "os-exit", plain.err
        assert (watched.code, watched.out) == (plain.code, plain.out), watched.err
        assert warnings_in(watched.err) == ([case.warns] if case.warns else []), watched.err
        code, document, err = reported(run)
    if case.left == "all":
        assert document["complete"] is True and code in (0, 1), err
    elif case.left == "gone":
        assert (code, document) == (2, None) and str(run) in err
    else:
        assert code == 3, err
        assert document is not None or case.left == "nothing"
    if document is not None and case.left != "all":
        log = document["log"]
        assert document["complete"] is False and any(case.warns in note for note in document["notes"])
        # Half a record is taken back, its number too, unless a thread that draws ahead has the next one already.
        assert log["bytes_dropped"] == 0 and log["gaps"] <= (1 if case.arguments == GENERATOR else 0)
        assert log["records"] > 0 or case.left == "nothing"
