"""The observer and what is made of its answers, on live logs, in whichever framework the training is."""

from __future__ import annotations

import json
import math
import os
import pickle
import select
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import batchaudit as ba
from batchaudit.callbacks.link import Link, LinkError
from batchaudit.callbacks.watch import FIGURES, EpochWatch
from batchaudit.errors import BatchauditWarning
from tests.callbacks.logs import Training


@pytest.fixture
def watch(tmp_path: Path):
    """Makes what watches `tmp_path`, and ends it."""
    made: list[EpochWatch] = []

    def make(on_finding: str = "warn", **settings) -> EpochWatch:
        made.append(EpochWatch(tmp_path, 0, on_finding, **settings))
        made[-1].begin()
        return made[-1]

    yield make
    for one in made:
        one.end()


def unknown(figures: dict[str, float]) -> bool:
    return set(figures) == set(FIGURES) and all(math.isnan(value) for value in figures.values())


def test_the_figures_of_replicas_and_of_their_healthy_twin(tmp_path, watch):
    watching, training = watch("ignore"), Training(tmp_path)
    training.run_epoch(replicas=False)
    assert watching.end_epoch(0) == {
        "audit/effective_ratio": 1.0,
        "audit/duplicate_fraction": 0.0,
        "audit/seed_divergence": pytest.approx(math.nan, nan_ok=True),
        "audit/seconds_waited": pytest.approx(2.0),
    }
    training.run_epoch(replicas=True)
    figures = watching.end_epoch(1)
    assert [figures[name] for name in ("audit/effective_ratio", "audit/duplicate_fraction")] == [0.5, 0.5]
    assert all(type(value) is float for value in figures.values())


def test_each_finding_is_warned_of_once(tmp_path, watch):
    watching, training = watch("warn"), Training(tmp_path)
    training.run_epoch(replicas=True)
    with pytest.warns(BatchauditWarning) as seen:
        watching.end_epoch(0)
    text = str(seen[0].message)
    assert len(seen) == 1
    assert text.startswith("unsharded-replica in train: ")
    assert "Measured: " in text
    assert "What to change: " in text
    training.run_epoch(replicas=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watching.end_epoch(1)


def test_nothing_is_said_of_a_healthy_training(tmp_path, watch):
    watching, training = watch("raise"), Training(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(3):
            training.run_epoch(replicas=False)
            watching.end_epoch(epoch)


def test_an_error_stops_the_training_after_its_first_epoch(tmp_path, watch):
    watching, training = watch("raise"), Training(tmp_path)
    training.run_epoch(replicas=True)
    with pytest.raises(ba.FindingError, match="stopped after epoch 0") as stopped:
        watching.end_epoch(0)
    assert "unsharded-replica in train" in str(stopped.value)
    assert "What to change" in str(stopped.value)
    assert [one["cause"] for one in stopped.value.findings] == ["unsharded-replica"]
    again = pickle.loads(pickle.dumps(stopped.value))
    assert (str(again), again.findings) == (str(stopped.value), stopped.value.findings)


def test_ignoring_logs_and_says_nothing(tmp_path, watch):
    watching, training = watch("ignore"), Training(tmp_path)
    training.run_epoch(replicas=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert watching.end_epoch(0)["audit/effective_ratio"] == 0.5


def test_of_several_sources_the_worst_counts_and_validation_does_not(tmp_path, watch):
    watching = watch("ignore")
    Training(tmp_path, "one").run_epoch(replicas=False)
    Training(tmp_path, "two").run_epoch(replicas=True)
    validation = Training(tmp_path, "val", split="validation")
    validation.run_epoch(replicas=False)
    figures = watching.end_epoch(0)
    assert figures["audit/effective_ratio"] == 0.5
    assert figures["audit/duplicate_fraction"] == 0.5
    assert figures["audit/seconds_waited"] == pytest.approx(4.0)


def test_a_source_that_validates_is_judged_too(tmp_path, watch):
    watching = watch("warn")
    Training(tmp_path).run_epoch(replicas=False)
    Training(tmp_path, "val", split="validation").run_epoch(replicas=True)
    with pytest.warns(BatchauditWarning, match="unsharded-replica in val"):
        assert watching.end_epoch(0)["audit/effective_ratio"] == 1.0


def test_sources_of_an_earlier_training_have_no_part_in_this_one(tmp_path, watch):
    Training(tmp_path, "earlier").run_epoch(replicas=True)
    Training(tmp_path, "train", attempt=1).run_epoch(replicas=True)
    watching = watch("ignore")
    Training(tmp_path, "now").run_epoch(replicas=False)
    assert watching.end_epoch(0)["audit/effective_ratio"] == 1.0


def test_without_a_watched_source_the_figures_are_unknown_and_it_is_said_once(watch):
    watching = watch("raise")
    with pytest.warns(BatchauditWarning, match=r"audit\.wrap") as seen:
        assert unknown(watching.end_epoch(0))
        assert unknown(watching.end_epoch(1))
    assert len(seen) == 1


def test_after_the_end_of_the_audit_the_figures_are_unknown(tmp_path, watch):
    watching, training = watch("raise"), Training(tmp_path)
    training.run_epoch(replicas=False)
    watching.end_epoch(0)
    training.journal.close()
    training.run_epoch(replicas=False)
    with pytest.warns(BatchauditWarning):
        assert unknown(watching.end_epoch(1))


def test_a_log_that_cannot_be_read_stops_nothing(tmp_path, watch):
    Training(tmp_path).run_epoch(replicas=False)
    for log in tmp_path.glob("*.baj"):
        log.unlink()
        log.mkdir()
        (log / "more").write_bytes(b"than nothing")
    with pytest.warns(BatchauditWarning, match="no journal file in .* can be read"):
        assert unknown(watch("raise").end_epoch(0))


def test_of_a_log_that_lacks_something_the_figures_of_copies_are_not_known(tmp_path, watch):
    watching, training = watch("raise"), Training(tmp_path)
    for _ in range(2):
        training.run_epoch(replicas=False)
        (log,) = tmp_path.glob("*.baj")
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 1
        log.write_bytes(bytes(data))
    with pytest.warns(BatchauditWarning, match="the log is INCOMPLETE: .* bytes dropped; ") as said:
        several = [watching.end_epoch(0), watching.end_epoch(1)]
    assert len(said) == 1
    for figures in several:
        assert math.isnan(figures["audit/effective_ratio"])
        assert math.isnan(figures["audit/duplicate_fraction"])
    assert several[0]["audit/seconds_waited"] > 0


def test_an_observer_that_cannot_start_stops_nothing(watch, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.warns(BatchauditWarning, match="cannot be started") as seen:
        watching = watch("raise")
        assert unknown(watching.end_epoch(0))
    assert len(seen) == 1


def test_an_observer_that_dies_stops_nothing(tmp_path, watch):
    links: list[Link] = []
    watching = watch("raise", open_link=lambda *about: links.append(Link(*about)) or links[-1])
    Training(tmp_path).run_epoch(replicas=False)
    os.kill(links[0].pid, signal.SIGKILL)
    with pytest.warns(BatchauditWarning, match="has ended") as seen:
        assert unknown(watching.end_epoch(0))
        assert unknown(watching.end_epoch(1))
    assert len(seen) == 1


def test_an_answer_is_not_waited_for_without_end(tmp_path):
    link = Link(tmp_path, 0)
    os.kill(link.pid, signal.SIGSTOP)
    try:
        with pytest.raises(LinkError, match="longer than"):
            link.ask({"since_ns": 0}, 0.05)
    finally:
        link.close()
    assert not _lives(link.pid)


class Slow:
    """An observer whose every answer takes 50 seconds of a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0

    def __call__(self, *_about) -> Slow:
        return self

    def ask(self, _request, _seconds):
        self.now += 50
        self.asked += 1
        return {"sources": [{"figures": dict.fromkeys([name[6:] for name in FIGURES], 0.5)}], "findings": []}

    def close(self) -> None:
        pass


def test_the_analysis_takes_no_more_than_its_share_of_the_training(watch):
    slow = Slow()
    watching = watch("warn", clock=lambda: slow.now, open_link=slow)
    known = []
    for epoch in range(100):
        slow.now += 100
        known.append(not unknown(watching.end_epoch(epoch)))
    assert known[0]
    assert slow.asked == sum(known)
    assert 50 * slow.asked <= 60 + 0.05 * slow.now
    assert slow.asked >= 10  # epochs are left out, the training is not given up on


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_observer_ends_with_the_training(tmp_path, watch):
    links: list[Link] = []
    watching = watch(open_link=lambda *about: links.append(Link(*about)) or links[-1])
    assert os.getsid(links[0].pid) != os.getsid(0)
    watching.end()
    watching.end()
    assert not _lives(links[0].pid)


# The training is killed while a worker that it forked still holds its end of the line.
KILLED = """
import os, sys, time
from pathlib import Path
from batchaudit.callbacks.link import Link
link = Link(Path(sys.argv[1]), 0)
worker = os.fork()
if worker == 0:
    time.sleep(600)
print(link.pid, worker, flush=True)
link.ask({"since_ns": 0}, 60)
print("answered", flush=True)
time.sleep(600)
"""


def test_the_observer_ends_with_a_training_that_is_killed(tmp_path):
    training = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=_with_us()
    )
    observer, worker = map(int, training.stdout.readline().split())
    try:
        assert training.stdout.readline() == "answered\n"
        watched = os.pidfd_open(observer)  # can be read when the process has ended
        os.kill(training.pid, signal.SIGKILL)
        training.wait()
        assert select.select([watched], [], [], 60)[0], "the observer goes on without its training"
        os.close(watched)
    finally:
        os.kill(worker, signal.SIGKILL)
        training.stdout.close()


FORKED = """
import os, sys
from pathlib import Path
from batchaudit.callbacks.link import Link
link = Link(Path(sys.argv[1]), 0)
worker = os.fork()
if worker == 0:
    sys.exit()  # runs what is to be done at the end of a process
os.waitpid(worker, 0)
print(link.ask({"since_ns": 0}, 60))
link.close()
"""


def test_the_end_of_a_forked_worker_is_not_the_end_of_the_observer(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path)],
        capture_output=True,
        text=True,
        env=_with_us(),
        check=False,
    )
    assert done.stdout == "{'sources': [], 'findings': []}\n", done.stderr


QUIET = """
import sys, json
from pathlib import Path
import batchaudit as ba
from batchaudit.callbacks.watch import EpochWatch
with ba.Audit(sys.argv[1]) as audit:
    watch = EpochWatch(Path(sys.argv[1]), 0, "warn")
    watch.begin()
    for epoch in range(2):
        for batch in audit.wrap([[float(number)] for number in range(4)], name=f"epoch {epoch}"):
            pass
        figures = watch.end_epoch(epoch)
        assert figures["audit/effective_ratio"] == 1.0, figures
    watch.end()
print(json.dumps(sorted({"pandas", "numpy.random"} & set(sys.modules))))
"""


def test_the_training_imports_neither_pandas_nor_numpy_s_streams(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path)],
        capture_output=True,
        text=True,
        env=_with_us(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def _with_us() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
