"""Threads and processes that race, and their repaired twins."""

from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import shared_state_race
from tests.analysis.build import Batch, evidence, table

ROWS = np.random.default_rng(0).random((320, 8, 8)).astype("float32")


def judged(report: ba.Report, number: int = -1):
    run = report.runs[number]
    verdict = next(it for it in run.verdicts if it.cause == shared_state_race.CAUSE)
    return verdict, next((it for it in run.findings if it.cause == shared_state_race.CAUSE), None)


def audited(make, strategy: str, **options):
    return judged(ba.audit(make, [strategy], epochs=options.pop("epochs", 3), **options))


# -- threads ------------------------------------------------------------------------------------------


class Meeting:
    """Threads that come here wait until there are two: what may happen then does."""

    def __init__(self):
        self.barrier = threading.Barrier(2)

    def __call__(self):
        if threading.current_thread() is threading.main_thread():
            return
        try:
            self.barrier.wait(0.05)
        except threading.BrokenBarrierError:
            self.barrier.reset()


class Starving:
    """Its lock keeps one thread waiting, which began with the first, until past the end of the serial passes."""

    def __init__(self):
        self.position, self.lock = 0, threading.Lock()
        self.starved, self.late = None, threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        me = threading.current_thread()
        if me is not threading.main_thread():
            self.starved = self.starved or me
            if self.starved is me:
                self.late.wait(60)
        with self.lock:
            position, self.position = self.position, self.position + 1
            if self.position >= 50:
                self.late.set()
        return ROWS[np.arange(position, position + 4) % len(ROWS)]


def test_a_thread_that_waits_long_for_the_lock_has_torn_nothing():
    verdict, finding = audited(Starving, "threads:3", steps_per_epoch=16)
    assert finding is None, finding.summary
    assert verdict.verdict == "ruled out"


class OneBuffer:
    """Two threads fill one buffer, a half before the other has read it."""

    def __init__(self):
        self.buffer, self.meet = np.zeros((8, 8, 8), "float32"), Meeting()

    def __len__(self):
        return 12

    def __getitem__(self, i):
        buffer = self.place()
        buffer[:4] = ROWS[8 * i : 8 * i + 4]
        self.meet()
        buffer[4:] = ROWS[8 * i + 4 : 8 * i + 8]
        self.meet()
        return buffer.copy()

    def place(self):
        return self.buffer


class OwnBuffer(OneBuffer):
    def place(self):
        return np.zeros((8, 8, 8), "float32")


def test_threads_that_fill_one_buffer():
    verdict, finding = audited(OneBuffer, "threads:2")
    assert verdict.verdict == "found"
    assert finding.severity == "error"
    assert finding.evidence["in_no_baseline"] > 0
    verdict, finding = audited(OwnBuffer, "threads:2")
    assert verdict.verdict == "ruled out"


class Cursor:
    """Two threads read one position."""

    def __init__(self):
        self.at, self.meet = 0, Meeting()

    def __iter__(self):
        return self

    def __next__(self):
        at = self.at
        if at >= 40:
            raise StopIteration
        self.meet()
        self.at = at + 1
        return ROWS[8 * at : 8 * at + 8].copy()


class LockedCursor(Cursor):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.meet = lambda: None

    def __next__(self):
        with self.lock:
            return super().__next__()


def test_an_iterator_without_a_lock():
    verdict, finding = audited(Cursor, "threads:2", epochs=2, probes=False)
    assert verdict.verdict == "found"
    assert finding.evidence["made_twice"] > 0
    assert audited(LockedCursor, "threads:2", epochs=2, probes=False)[0].verdict == "ruled out"


class SharedSamples:
    """Threads make batches of their own of samples that they take in turns, each under a lock."""

    def __init__(self):
        self.samples, self.lock, self.meet = iter(ROWS), threading.Lock(), Meeting()

    def __iter__(self):
        return self

    def __next__(self):
        taken = []
        for _ in range(8):
            with self.lock:
                taken.append(next(self.samples))
            self.meet()
        return np.stack(taken)


def test_threads_that_share_out_the_samples_tear_none():
    assert audited(SharedSamples, "threads:2", epochs=2, probes=False)[0].verdict == "ruled out"


class OneStream:
    """K18: each thread draws from one stream when its turn comes."""

    def __init__(self):
        self.rng, self.meet = np.random.RandomState(1), Meeting()

    def __len__(self):
        return 12

    def __getitem__(self, i):
        self.meet()
        return ROWS[8 * i : 8 * i + 8] + self.rng.rand(8, 8, 8)


def test_threads_that_draw_from_one_stream_do_no_harm():
    verdict, finding = audited(OneStream, "threads:4")
    assert finding is None or finding.severity == "info"
    assert verdict.verdict in ("found", "ruled out")


class FlipsByEpochAndIndex:
    """Healthy: the content depends on the epoch, which a framework may begin early."""

    def __init__(self):
        self.epoch = 0

    def __len__(self):
        return 12

    def __getitem__(self, i):
        return np.stack([self.flipped(j) for j in range(8 * i, 8 * i + 8)])

    def flipped(self, j):
        return ROWS[j][::-1] if np.random.default_rng([self.epoch, j]).random() < 0.5 else ROWS[j]

    def on_epoch_end(self):
        self.epoch += 1


@pytest.mark.parametrize("framework", ["python", "keras", "tf_keras"])
def test_an_epoch_that_is_ahead_is_not_torn(framework):
    if framework == "python":
        verdict, finding = audited(FlipsByEpochAndIndex, "threads:4", probes=False)
    elif framework == "keras":
        keras = pytest.importorskip("keras")

        class Flips(FlipsByEpochAndIndex, keras.utils.PyDataset):
            def __init__(self):
                keras.utils.PyDataset.__init__(self)
                FlipsByEpochAndIndex.__init__(self)

        verdict, finding = audited(Flips, "keras-threads:4", probes=False)
    else:
        tf_keras = pytest.importorskip("tf_keras")

        class FlipsToo(FlipsByEpochAndIndex, tf_keras.utils.Sequence):
            pass

        verdict, finding = audited(FlipsToo, "tf_keras-threads:4", probes=False)
    assert finding is None
    assert verdict.verdict in ("ruled out", "not observable")


# -- processes ----------------------------------------------------------------------------------------


class FromAFile(Dataset):
    """Two workers come in between a seek and a read of each other, in the first images that each of them reads."""

    def __init__(self, path, own: bool):
        self.path, self.own, self.pid, self.meetings = path, own, os.getpid(), 0
        self.file = None if own else open(path, "rb", buffering=0)  # noqa: SIM115
        self.both = multiprocessing.get_context("fork").Barrier(2, timeout=60)

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, i):
        if self.own and self.file is None:
            self.file = open(self.path, "rb", buffering=0)  # noqa: SIM115
        meets = os.getpid() != self.pid and self.meetings < 12
        self.meetings += meets
        self.file.seek(i * 256)
        if meets:
            self.both.wait()
        image = np.frombuffer(self.file.read(256), "float32")
        if meets:
            self.both.wait()
        return image if len(image) == 64 else np.zeros(64, "float32")


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_that_share_a_handle(tmp_path, shuffle):
    path = tmp_path / "rows"
    ROWS.tofile(path)

    def make(own):
        return DataLoader(FromAFile(path, own), 8, shuffle=shuffle, num_workers=2)

    _, finding = audited(lambda: make(own=False), "as-is", probes=["again"])
    assert finding is not None
    assert finding.severity == "error"
    assert finding.evidence["shared"] == "a file handle or connection"
    assert finding.evidence["wrong_items"] > 0
    assert audited(lambda: make(own=True), "as-is", probes=["again"])[0].verdict == "ruled out"


class Lines(IterableDataset):
    """Each worker reads on where any of them has read last."""

    def __init__(self, path, own: bool):
        self.path, self.own = path, own
        self.file = open(path, "rb")  # noqa: SIM115

    def __iter__(self):
        file = open(self.path, "rb") if self.own else self.file  # noqa: SIM115
        file.seek(0)
        for line in file:
            yield np.frombuffer(line.rstrip(b"\n").ljust(64)[:64], np.uint8).copy()


def test_lines_of_a_shared_file(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d line %s\n" % (n, b"y" * (n % 37)) for n in range(2000)))

    def make(own):
        return DataLoader(Lines(path, own), 16, num_workers=2)

    verdict, _ = audited(lambda: make(own=False), "as-is", epochs=2, probes=["again", "queue"])
    assert verdict.verdict in ("found", "not observable", "ruled out")
    verdict, finding = audited(lambda: make(own=True), "as-is", epochs=2, probes=["again", "queue"])
    assert verdict.verdict == "ruled out"
    assert finding is None


class FlipsByWorker(Dataset):
    """Healthy: in a worker, an image is flipped as the worker's seed says."""

    def __len__(self):
        return 160

    def __getitem__(self, i):
        worker = get_worker_info()
        rng = np.random.default_rng([worker.seed if worker else 0, i])
        return ROWS[i][::-1].copy() if rng.random() < 0.5 else ROWS[i].copy()


def test_what_depends_on_the_worker_is_not_torn():
    verdict, finding = audited(
        lambda: DataLoader(FlipsByWorker(), 8, num_workers=2), "as-is", probes=["again"]
    )
    assert finding is None
    assert verdict.verdict == "not observable"


# -- hand-made ----------------------------------------------------------------------------------------


def items(contents: list[int], pids: tuple[int, ...] = (2, 3), epoch: int = 0) -> list[Batch]:
    return [Batch(pids[n % len(pids)], content, epoch, index=n) for n, content in enumerate(contents)]


RIGHT = list(range(100, 112))
TWO_EPOCHS = table(items(RIGHT, (1,)) + items(RIGHT, (1,), epoch=1))
SERIAL = Baseline(TWO_EPOCHS, *(table(items(RIGHT, (1,))) for _ in range(2)))


def of_processes(contents: list[int], again: list[int] | None = None):
    probes = {} if again is None else {"again": table(items(again))}
    return shared_state_race.judge(evidence(items(contents), SERIAL, kind="indexed", probes=probes))


def swapped(*places: int, by: int = 0) -> list[int]:
    return [RIGHT[(n + 1) % 12] + by if n in places else content for n, content in enumerate(RIGHT)]


def test_two_equal_runs_that_disagree():
    finding = of_processes(swapped(3, 8), RIGHT).finding
    assert finding is not None
    assert finding.evidence["wrong_items"] == 2
    assert finding.evidence["of_another_item"] == 2
    assert finding.evidence["otherwise_in_an_equal_run"] == 2
    assert "worker 1 at its step 1 made batch 3" in finding.evidence["first_example"]


def test_two_equal_runs_that_agree_do_not_race():
    assert of_processes(swapped(3, 8, by=900), swapped(3, 8, by=900)).verdict == "not observable"


def test_what_is_wrong_throughout_depends_on_the_worker():
    wrong = [content + 900 for content in RIGHT]
    assert of_processes(wrong, [content + 1 for content in wrong]).verdict == "not observable"


def test_what_one_process_alone_makes_tells_whether_it_is_the_process_or_the_others():
    wrong = [content + 900 for content in RIGHT]
    probes = {"again": table(items([content + 1 for content in wrong]))}

    def judged_with(contents: list[int]):
        alone = {**probes, "accesses": table(items(contents, (4,)))}
        return shared_state_race.judge(evidence(items(wrong), SERIAL, kind="indexed", probes=alone))

    assert judged_with(RIGHT[:2]).verdict == "found"
    assert judged_with([5, 6]).verdict == "not observable"


def test_without_a_second_run_only_another_item_s_content_tells():
    assert of_processes(swapped(3, 8)).verdict == "found"
    assert of_processes(swapped(3, 8, by=900)).verdict == "not observable"


def test_what_is_as_without_workers():
    assert of_processes(RIGHT, RIGHT).verdict == "ruled out"


@pytest.mark.parametrize("cause", ["buffer-alias", "inplace-mutation"])
def test_what_explains_the_contents_already(cause):
    judgement = shared_state_race.judge(evidence(items(swapped(3)), SERIAL, kind="indexed"), [cause])
    assert judgement.verdict == "not observable"
    assert cause in judgement.reason
