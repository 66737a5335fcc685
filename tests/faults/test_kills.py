"""What a process had finished to log outlives it, however it ends. `python -m tests.faults kills` kills 1,000."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import batchaudit as ba
from batchaudit.journal.reader import load
from tests.faults import contents, kills, victims
from tests.faults.judging import Tally, judge
from tests.faults.killing import context
from tests.faults.ledger import Ledger

ROOT = Path(__file__).parents[2]


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("method", kills.METHODS)
@pytest.mark.parametrize("scene", kills.SCENES, ids=lambda scene: scene.name)
def test_whoever_is_killed_whenever_what_was_finished_is_read_back(tmp_path, scene, method):
    drawn = random.Random(f"{scene.name} {method}")
    total = Tally()
    for way in kills.WAYS:
        if kills.possible(way, scene, method):
            folder = tmp_path / way
            folder.mkdir()
            total += kills.one_round(folder, method, scene, way, drawn, processes=3)
    assert total.kills >= 6 * (scene.forks + 1) and total.finished > 0
    assert (total.wrong, total.twice, total.missing, total.miscounted) == (0, 0, 0, 0)
    assert total.read == total.finished + total.in_flight_whole


ENDINGS = {
    "exit": victims.EXIT_CODE,
    "segv": -signal.SIGSEGV,
    "abort": -signal.SIGABRT,
    "raise": victims.EXIT_CODE,
    "memory": victims.EXIT_CODE,
}


@pytest.mark.parametrize("method", kills.METHODS)
@pytest.mark.parametrize("ends", ENDINGS)
def test_a_worker_that_ends_by_itself_leaves_all_that_it_finished(tmp_path, ends, method):
    audit = ba.Audit(tmp_path / "run")
    ledger = Ledger(tmp_path / "ledger", 2)
    work = victims.Work(ledger, 1, audit.wrap(contents.Rows(1), name="s"), ends=ends, after=30)
    processes = [context(method).Process(target=victims.main, args=(work, row)) for row in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    audit.close()
    assert [process.exitcode for process in processes] == [ENDINGS[ends]] * 2
    tally = judge(tmp_path / "run", ledger, 1, events=False)
    assert (tally.begun, tally.finished, tally.read) == (60, 60, 60) and tally.holds
    health = load(tmp_path / "run").health
    assert health.complete and len(health.files_not_ended) == (0 if ends in ("raise", "memory") else 2)


# --- out of memory ----------------------------------------------------------------------------------------

OUT_OF_MEMORY = """
import json, resource, sys
import numpy as np
import batchaudit as ba

def batches():
    kept, size = [], 1 << 20
    yield np.zeros((4, 2))
    with open("/proc/self/statm") as statm:
        room = int(statm.read().split()[0]) * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    while size > 1 << 12:
        try:
            kept.append(np.ones(size, np.uint8))
        except MemoryError:
            size //= 2
    for number in range(20):
        yield np.full((4, 2), number)
    np.ones(1 << 30, np.uint8)

watched = sys.argv[1] != "unwatched"
source = ba.Audit(sys.argv[1]).wrap(batches()) if watched else batches()
seen = []
try:
    for batch in source:
        seen.append(float(batch[0, 0]))
except MemoryError:
    seen.append("MemoryError")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))
print(json.dumps(seen))
"""


def test_out_of_memory_the_training_is_what_it_would_be_and_a_loss_is_told(tmp_path):
    code = OUT_OF_MEMORY.replace("(room, room)", "(room, resource.getrlimit(resource.RLIMIT_AS)[1])")
    watched, unwatched = run_python(code, tmp_path / "run"), run_python(code, "unwatched")
    assert (watched.returncode, watched.stdout) == (0, unwatched.stdout), watched.stderr
    seen = json.loads(watched.stdout)
    assert len(seen) == 22 and seen[-1] == "MemoryError"
    log = load(tmp_path / "run")
    made = (log.events["stage"] == "produced").sum()
    assert made == 21 or (made < 21 and not log.health.complete)


# --- pids -------------------------------------------------------------------------------------------------

REUSED = """
import json, os, sys
from pathlib import Path
import batchaudit as ba
from tests.faults import contents

pids = []
audit = ba.Audit(sys.argv[1])
rows = audit.wrap(contents.Rows(1), name="s")
for worker in range(3):
    if pids and sys.argv[2] == "real":
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pids[0] - 1))
    pid = os.fork()
    if pid == 0:
        if sys.argv[2] == "pretended":
            os.getpid = lambda: 4242
        for number in range(5):
            rows[worker * contents.Rows.STRIDE + number]
        os._exit(0)
    os.waitpid(pid, 0)
    pids.append(pid)
print(json.dumps(pids))
"""


def of_reused_pids(folder: Path, how: str, *before: str) -> tuple[list[int], ba.Log]:
    command = [*before, sys.executable, "-c", REUSED, str(folder), how]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True, timeout=120
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), load(folder)


def hold_three_workers_of_five_batches(log: ba.Log) -> None:
    made = log.events[log.events["stage"] == "produced"]
    assert made["pid"].nunique() == 1
    wanted = [worker * contents.Rows.STRIDE + number for worker in range(3) for number in range(5)]
    assert sorted(made["index"]) == wanted
    assert made["ticket"].nunique() == 15
    assert log.health.complete and log.health.files == 4


def test_a_pid_that_is_pretended_to_come_again_mixes_nothing_up(tmp_path):
    _, log = of_reused_pids(tmp_path / "run", "pretended")
    hold_three_workers_of_five_batches(log)


def test_a_pid_that_comes_again_mixes_nothing_up(tmp_path):
    alone = ("unshare", "--pid", "--fork", "--mount-proc")
    try:
        permitted = subprocess.run([*alone, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        pytest.skip("a namespace of pids of its own is not permitted here")
    pids, log = of_reused_pids(tmp_path / "run", "real", *alone)
    assert len(set(pids)) == 1
    hold_three_workers_of_five_batches(log)


# --- the clock --------------------------------------------------------------------------------------------

SET_BACK = """
import sys, time
import numpy as np
import batchaudit as ba

if sys.argv[2] == "set back":
    clock, clock_ns, day = time.time, time.time_ns, 86_400
    turned = [0]
    def back():
        turned[0] += 1
        return turned[0] * day
    time.time, time.time_ns = lambda: clock() - back(), lambda: clock_ns() - back() * 10**9
for attempt in range(2):
    with ba.Audit(sys.argv[1]) as audit:
        for name in ("train", "val"):
            for epoch in range(2):
                source = audit.wrap([np.full((4, 2), number) for number in range(6)].__iter__(), name=f"{name} {epoch}")
                for batch in source:
                    pass
"""


def test_a_clock_that_is_set_back_changes_no_order(tmp_path):
    reports = []
    for clock in ("as it is", "set back"):
        result = run_python(SET_BACK, tmp_path / clock, clock)
        assert (result.returncode, result.stderr) == (0, "")
        log = load(tmp_path / clock)
        assert log.health.complete and (log.events["began_ns"].diff().dropna() >= 0).all()
        reports.append(log.events[["attempt", "source", "stage", "epoch", "step", "digest_lo", "text"]])
    as_it_is, back = reports
    assert len(back) > 40 and back.astype(str).equals(as_it_is.astype(str))


# --- ends of processes ------------------------------------------------------------------------------------

DAEMONS = """
import multiprocessing, sys
from pathlib import Path
import batchaudit as ba
from tests.faults import contents, victims
from tests.faults.ledger import Ledger

if __name__ == "__main__":
    audit = ba.Audit(sys.argv[1])
    rows = audit.wrap(contents.Rows(1), name="s")
    ledger = Ledger(Path(sys.argv[2]), 2)
    work = victims.Work(ledger, 1, rows)
    for row in range(2):
        context = multiprocessing.get_context(sys.argv[3])
        context.Process(target=victims.main, args=(work, row), daemon=True).start()
    while not all(ledger.finished(row) > 50 for row in range(2)):
        pass
"""


@pytest.mark.parametrize("method", kills.METHODS)
def test_daemons_that_their_parents_end_stops_leave_all_that_they_finished(tmp_path, method):
    script = tmp_path / "script.py"  # spawn needs a main module that it can import
    script.write_text(DAEMONS)
    result = subprocess.run(
        [sys.executable, script, tmp_path / "run", tmp_path / "ledger", method],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    tally = judge(tmp_path / "run", Ledger(tmp_path / "ledger", 2), 1, events=False)
    assert tally.finished > 100 and tally.holds


THREADS_AT_EXIT = """
import sys, threading
from pathlib import Path
import batchaudit as ba
from tests.faults import contents, victims
from tests.faults.ledger import Ledger

ledger = Ledger(Path(sys.argv[2]), 3)
work = victims.Work(ledger, 1, ba.Audit(sys.argv[1]).wrap(contents.Rows(1), name="s"))
for row in range(3):
    threading.Thread(target=victims._makes, args=(work, row, work.source), daemon=True).start()
while not all(ledger.finished(row) > 50 for row in range(3)):
    pass
print("main ends")
"""


def test_threads_that_outlive_the_main_one_lose_nothing_that_they_finished(tmp_path):
    for number in range(5):
        run, ledger = tmp_path / f"run {number}", tmp_path / f"ledger {number}"
        result = run_python(THREADS_AT_EXIT, run, ledger)
        assert (result.returncode, result.stdout, result.stderr) == (0, "main ends\n", "")
        kept = Ledger(ledger, 3)
        tally = judge(run, kept, 1, events=False, consumers={kept.pid(0)})
        assert tally.finished > 150 and tally.holds


# --- two trainings in one folder --------------------------------------------------------------------------

TRAINING = """
import sys
import batchaudit as ba
from tests.faults import contents

print("ready", flush=True)
for line in sys.stdin:
    folder, maker = line.split()
    with ba.Audit(folder) as audit:
        rows = audit.wrap(contents.Rows(1), name="train")
        for number in range(20):
            rows[int(maker) * contents.Rows.STRIDE + number]
        print(audit.attempt, flush=True)
"""


def test_two_trainings_that_start_at_once_in_one_folder_are_two_attempts(tmp_path):
    trainings = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, bufsize=1,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        assert [training.stdout.readline() for training in trainings] == ["ready\n"] * 2
        for number in range(50):
            folder = tmp_path / str(number)
            for maker, training in enumerate(trainings):
                training.stdin.write(f"{folder} {maker}\n")
            attempts = [int(training.stdout.readline()) for training in trainings]
            assert sorted(attempts) == [0, 1]
            log = load(folder)
            made = log.events[log.events["stage"] == "produced"]
            assert log.health.complete and len(made) == 40
            by_attempt = made.groupby("attempt")["index"].agg(lambda it: set(it // contents.Rows.STRIDE))
            assert sorted(map(sorted, by_attempt)) == [[0], [1]]
    finally:
        for training in trainings:
            training.stdin.close()
            training.wait(60)
            training.stdout.close()
