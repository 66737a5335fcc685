from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from batchaudit.errors import BatchauditWarning
from batchaudit.journal import process_file
from batchaudit.journal.layout import KIND_END, Event, Stage
from batchaudit.journal.reader import load
from batchaudit.journal.scan import scan
from batchaudit.journal.writer import JournalWriter

ROOT = Path(__file__).parents[2]


def writer_in(folder: Path, source: str = "train") -> JournalWriter:
    return JournalWriter(folder, source=source, strategy="fork:4", run="r")


def event(step: int = 0) -> Event:
    return Event(Stage.PRODUCED, step=step, began_ns=step, samples=np.arange(4, dtype=np.uint64))


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.baj"))


def in_child(action) -> int:
    """Runs `action` in a forked child that must not hang, and returns its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(60)  # a deadlock must end the test, not hang it
            action()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def run_python(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    prelude = (
        "import sys, os\n"
        "from batchaudit.journal.writer import JournalWriter\n"
        "from batchaudit.journal.layout import Event\n"
        "def writer_in(folder): return JournalWriter(folder, source='s', strategy='serial', run='r')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True, timeout=120,
        **options,
    )  # fmt: skip


def test_the_file_is_opened_at_the_first_append(tmp_path):
    writer = writer_in(tmp_path / "new")
    assert files_in(tmp_path / "new") == []
    writer.append(event())
    (path,) = files_in(tmp_path / "new")
    assert path.name.startswith("0-") and f"-{os.getpid()}-" in path.name
    assert not os.get_inheritable(writer._file.fd)


def test_host_in_the_name_is_made_safe(tmp_path, monkeypatch):
    monkeypatch.setattr(process_file, "host", lambda: "../a b/ü" + "x" * 300)
    writer_in(tmp_path).append(event())
    assert files_in(tmp_path)[0].name.startswith("0-.._a_b__xxx")
    assert load(tmp_path).events["host"][0].startswith("../a b/ü")


def test_tickets_are_unique_and_name_the_produced_event(tmp_path):
    writers = [writer_in(tmp_path) for _ in range(3)]
    tickets = [writer.append(event(step)) for step in range(20) for writer in writers]
    for writer in writers:
        writer.close()
    assert 0 not in tickets
    assert len(set(tickets)) == 60
    assert sorted(load(tmp_path).events["ticket"]) == sorted(tickets)


def test_threads_append_at_once(tmp_path):
    writer = writer_in(tmp_path)
    start = threading.Barrier(8)

    def append(thread: int) -> None:
        start.wait()
        for step in range(200):
            assert writer.append(event(thread * 1000 + step))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    log = load(tmp_path)
    assert len(files_in(tmp_path)) == 1  # the threads raced to open it
    assert sorted(log.events["step"]) == sorted(t * 1000 + s for t in range(8) for s in range(200))
    assert log.health.complete and not log.health.files_not_ended


def test_a_forked_child_writes_its_own_file_and_leaves_its_parents_alone(tmp_path):
    writer = writer_in(tmp_path)
    writer.append(event(0))

    def child() -> None:
        writer.append(event(1))
        writer.close()

    assert in_child(child) == 0
    assert in_child(writer.close) == 0  # a child that never appended has nothing to end
    assert writer.append(event(2))
    writer.close()
    log = load(tmp_path)
    assert log.health.files == 2 and log.health.complete and not log.health.files_not_ended
    assert log.events.groupby("pid")["step"].apply(list).to_dict()[os.getpid()] == [0, 2]
    ends = [int((scan(path.read_bytes()).kinds == KIND_END).sum()) for path in files_in(tmp_path)]
    assert ends == [1, 1]


def test_a_fork_while_a_thread_is_opening_does_not_deadlock(tmp_path):
    writer = writer_in(tmp_path)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with writer._lock():
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    status = in_child(lambda: writer.append(event()) or os._exit(3))
    done.set()
    thread.join()
    assert status == 0


def test_fork_while_threads_append(tmp_path):
    writer = writer_in(tmp_path)
    stop = threading.Event()
    written = [0] * 3

    def append(number: int) -> None:
        while not stop.is_set():
            written[number] += bool(writer.append(event()))

    def child() -> None:
        for step in range(50):
            assert writer.append(event(step))

    threads = [threading.Thread(target=append, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks in processes with threads: that is the test
        statuses = [in_child(child) for _ in range(6)]
    stop.set()
    for thread in threads:
        thread.join()
    writer.close()
    log = load(tmp_path)
    assert statuses == [0] * 6
    assert log.health.complete
    assert len(log.health.files_not_ended) == 6  # the children left by os._exit
    assert len(log.events) == sum(written) + 6 * 50


def append_in_worker(writer: JournalWriter, steps: int) -> int:
    for step in range(steps):
        assert writer.append(event(step))
    return os.getpid()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool_workers_end_their_files(tmp_path, method):
    writer = writer_in(tmp_path)
    with multiprocessing.get_context(method).Pool(2) as pool:
        pids = set(pool.starmap(append_in_worker, [(writer, 5)] * 8, chunksize=1))
        pool.close()
        pool.join()
    log = load(tmp_path)
    assert len(log.events) == 40 and set(log.events["pid"]) == pids
    assert log.health.complete and not log.health.files_not_ended


kept: list[JournalWriter] = []


def append_and_keep(writer: JournalWriter) -> None:
    kept.append(writer)  # nothing may collect it: only the end of the process is left to end the file
    append_in_worker(writer, 5)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_that_keeps_its_writer_ends_its_file_when_it_leaves(tmp_path, method):
    process = multiprocessing.get_context(method).Process(target=append_and_keep, args=(writer_in(tmp_path),))
    process.start()
    process.join()
    log = load(tmp_path)
    assert process.exitcode == 0 and len(log.events) == 5 and not log.health.files_not_ended


def test_terminated_pool_workers_lose_nothing(tmp_path):
    writer = writer_in(tmp_path)
    with multiprocessing.get_context("fork").Pool(2) as pool:  # leaving it terminates the workers
        pool.starmap(append_in_worker, [(writer, 5)] * 4, chunksize=1)
    log = load(tmp_path)
    assert len(log.events) == 20 and log.health.complete


def append_until_killed(writer: JournalWriter, steps: int) -> None:
    append_in_worker(writer, steps)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_finished_records_survive_kill_9(tmp_path, method):
    writer = writer_in(tmp_path)
    process = multiprocessing.get_context(method).Process(target=append_until_killed, args=(writer, 30))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    log = load(tmp_path)
    assert log.events["step"].tolist() == list(range(30))
    assert log.health.complete
    assert log.health.files_not_ended == (files_in(tmp_path)[0].name,)


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "del w", "os.fork() or sys.exit(0); os.wait()"])
def test_a_process_that_leaves_normally_ends_its_file(tmp_path, ending):
    result = run_python(f"w = writer_in(sys.argv[1]); w.append(Event(0)); {ending}", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    log = load(tmp_path)
    assert not log.health.files_not_ended and log.health.repeats == 0
    (path,) = files_in(tmp_path)
    assert (scan(path.read_bytes()).kinds == KIND_END).sum() == 1


def test_a_writer_that_is_thrown_away_ends_its_file_and_frees_its_descriptor(tmp_path):
    writer = writer_in(tmp_path)
    writer.append(event())
    fd = writer._file.fd
    del writer
    gc.collect()
    assert not load(tmp_path).health.files_not_ended
    with pytest.raises(OSError):
        os.fstat(fd)


def test_nothing_is_written_after_close(tmp_path):
    writer = writer_in(tmp_path)
    assert writer.append(event())
    writer.close()
    writer.close()
    assert writer.append(event()) == 0
    assert pickle.loads(pickle.dumps(writer)).append(event()) == 0
    assert in_child(lambda: writer.append(event()) and os._exit(3)) == 0
    assert len(load(tmp_path).events) == 1


def test_a_pickled_writer_opens_its_own_file_of_the_same_run(tmp_path):
    writer = JournalWriter(tmp_path, source="s", strategy="t", run="r", attempt=2, rank=3, world=4)
    writer.append(event())
    copy = pickle.loads(pickle.dumps(writer))
    copy.append(event())
    log = load(tmp_path)
    assert log.health.files == 2
    for name, value in {"source": "s", "strategy": "t", "run": "r", "attempt": 2, "rank": 3}.items():
        assert set(log.events[name]) == {value}
    assert [each["world"] for each in log.writers] == [4, 4]


def test_a_copy_of_the_header_follows_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(process_file, "_HEADER_EVERY", 4)
    writer = writer_in(tmp_path)
    for step in range(10):
        writer.append(event(step))
    (path,) = files_in(tmp_path)
    path.write_bytes(bytes(100) + path.read_bytes()[100:])  # the header that the file begins with is lost
    log = load(tmp_path)
    assert log.events["step"].tolist() == list(range(10))
    assert log.health.bytes_dropped > 0 and log.health.gaps == 0


def test_a_record_taken_in_pieces_is_whole(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 3)]))
    writer = writer_in(tmp_path)
    for step in range(5):
        assert writer.append(event(step))
    writer.close()
    monkeypatch.undo()
    log = load(tmp_path)
    assert log.events["step"].tolist() == list(range(5)) and log.health.complete


# --- when logging fails, the training goes on -------------------------------------------------------------

FILL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
w = writer_in(sys.argv[1])
tickets = [w.append(Event(0, step=step)) for step in range(100)]
w.close()
print(sum(map(bool, tickets)), tickets[-1])
"""


def test_a_full_disk_cuts_back_to_the_last_good_record_and_warns_once(tmp_path):
    result = run_python(FILL, tmp_path)
    assert result.returncode == 0
    written, last = map(int, result.stdout.split())
    assert 0 < written < 100 and last == 0
    assert result.stderr.count("BatchauditWarning") == 1 and "incomplete" in result.stderr
    (path,) = files_in(tmp_path)
    assert path.stat().st_size < 5000  # the part that fitted has been taken back
    log = load(tmp_path)
    assert log.events["step"].tolist() == list(range(written))
    assert (log.health.bytes_dropped, log.health.gaps) == (0, 0)
    assert not log.health.complete
    assert "File too large" in log.health.failures[0]


NO_DESCRIPTORS = """
import resource, warnings
from batchaudit.errors import BatchauditWarning
w = writer_in(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 64))
with warnings.catch_warnings(record=True) as caught:
    print(w.append(Event(0)), w.append(Event(0)))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
other = writer_in(sys.argv[1])
print(bool(other.append(Event(0))), [issubclass(each.category, BatchauditWarning) for each in caught])
"""


def test_without_descriptors_the_mark_is_left_all_the_same(tmp_path):
    result = run_python(NO_DESCRIPTORS, tmp_path)
    assert result.stdout.split("\n")[:2] == ["0 0", "True [True]"], result.stderr
    health = load(tmp_path).health
    assert len(health.failures) == 1 and not health.complete


READ_ONLY = """
w = writer_in(sys.argv[1])
os.chmod(sys.argv[1], 0o555)
os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))
print(w.append(Event(0)), w.append(Event(0)))
"""


def test_a_read_only_folder_stops_no_training(tmp_path):
    folder = tmp_path / "run"
    result = run_python(READ_ONLY, folder)
    assert (result.returncode, result.stdout) == (0, "0 0\n"), result.stderr
    assert result.stderr.count("BatchauditWarning") == 1 and "PermissionError" in result.stderr
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_no_training(tmp_path):
    (tmp_path / "file").write_text("")
    writer = writer_in(tmp_path / "file" / "run")
    with pytest.warns(BatchauditWarning, match="NotADirectoryError"):
        assert writer.append(event()) == 0


def test_a_folder_removed_before_the_first_append_does_not_come_back(tmp_path):
    writer = writer_in(tmp_path / "run")
    (tmp_path / "run").rmdir()
    with pytest.warns(BatchauditWarning, match="FileNotFoundError"):
        assert writer.append(event()) == 0
    assert not (tmp_path / "run").exists()


def test_a_file_removed_while_it_is_written_is_told_of_at_the_end(tmp_path):
    writer = writer_in(tmp_path)
    writer.append(event())
    files_in(tmp_path)[0].unlink()
    assert writer.append(event())
    with pytest.warns(BatchauditWarning, match="FileNotFoundError"):
        writer.close()
    assert len(list(tmp_path.glob("*.failed"))) == 1


def test_a_warning_made_an_error_stops_no_training(tmp_path, capsys):
    writer = writer_in(tmp_path / "run")
    (tmp_path / "run").rmdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert writer.append(event()) == 0
    assert "incomplete" in capsys.readouterr().err


def test_a_child_of_a_process_that_failed_tries_for_itself_and_does_not_warn_again(tmp_path):
    writer = writer_in(tmp_path / "run")
    (tmp_path / "run").rmdir()
    with pytest.warns(BatchauditWarning):
        writer.append(event())
    (tmp_path / "run").mkdir()
    assert in_child(lambda: writer.append(event()) or os._exit(3)) == 0
    assert writer.append(event()) == 0
    assert len(load(tmp_path / "run").events) == 1


def test_an_event_that_is_none_raises_nothing_and_is_told_of(tmp_path):
    writer = writer_in(tmp_path)
    assert writer.append(event())
    with pytest.warns(BatchauditWarning):
        assert writer.append(Event(0, samples=object())) == 0
    assert not load(tmp_path).health.complete


def test_weird_texts_are_kept(tmp_path):
    writer = writer_in(tmp_path)
    for text in ("\ud800", "a\0", "\U0001f600" * 20_000, "\xff"):
        assert writer.append(Event(Stage.RAISED, text=text))
    writer.close()
    texts = load(tmp_path).events["text"].tolist()
    assert texts[0] == "\\ud800" and texts[1] == "a\0" and texts[3] == "\xff"
    assert texts[2] == "\U0001f600" * (32_768 // 4)


def test_writing_imports_neither_pandas_nor_numpy_random(tmp_path):
    code = (
        "w = writer_in(sys.argv[1]); w.append(Event(0)); w.close()\n"
        "heavy = {'pandas', 'numpy.random', 'torch', 'tensorflow', 'multiprocessing'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = run_python(code, tmp_path)
    assert result.stdout == "[]\n", result.stderr


def test_a_file_whose_numbers_run_out_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(process_file, "_HEADER_EVERY", 4)
    monkeypatch.setattr(process_file, "_LAST", 6)
    writer = writer_in(tmp_path)
    tickets = [writer.append(event(step)) for step in range(20)]
    writer.close()
    assert len(set(tickets)) == 20 and len(files_in(tmp_path)) == 3
    log = load(tmp_path)
    assert log.events["step"].tolist() == list(range(20))
    assert log.health.complete and not log.health.files_not_ended


INTERRUPTED = """
import signal, threading
from batchaudit.journal.reader import load
folder = sys.argv[1]
writer = writer_in(folder)
finished = began = interrupted = 0
appending = False
def interrupt(number, frame):
    global appending
    if appending:
        appending = False
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
while interrupted < 300:
    try:
        began += 1
        appending = True
        writer.append(Event(0, step=began))
        appending = False
        finished += 1
    except KeyboardInterrupt:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
writer.close()
log = load(folder)
print(finished, began, len(log.events), log.health.gaps, log.health.bytes_dropped, interrupted)
"""


def test_an_interrupt_inside_an_append_leaves_no_gap(tmp_path):
    result = run_python(INTERRUPTED, tmp_path)
    assert result.returncode == 0, result.stderr
    finished, began, read, gaps, dropped, interrupted = map(int, result.stdout.split())
    assert (gaps, dropped, interrupted) == (0, 0, 300)
    assert finished <= read <= began
