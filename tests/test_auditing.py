"""`audit()` as a whole: what it refuses, what it leaves behind, and that one failure does not end the rest."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.diagnosis import pages
from batchaudit.errors import UsageError
from tests.loaders import (
    Broken,
    Numbers,
    Table,
    batch,
    empty,
    endless,
    numbers,
    numpy_noise,
    private_noise,
    python_noise,
    slow,
)


def runs(report):
    return {run.strategy: run for run in report.runs}


def test_the_states_of_the_random_streams_are_as_before():
    np.random.seed(1), random.seed(1)
    expected = np.random.normal(size=3).tolist(), random.random()
    np.random.seed(1), random.seed(1)
    for source in (numpy_noise, python_noise, private_noise):
        ba.audit(source, ["serial", "threads:1", "fork:2"], epochs=2)
    assert (np.random.normal(size=3).tolist(), random.random()) == expected


def test_every_strategy_starts_from_the_same_states():
    report = ba.audit(numpy_noise, ["serial", "threads:1", "fork:1"], epochs=1)
    digests = report.batches.sort_values("step").groupby("strategy").digest.apply(tuple)
    assert digests["serial"] == digests["threads:1"] == digests["fork:1"]


def test_no_process_thread_or_start_method_is_left():
    threads = set(threading.enumerate())
    ba.audit(endless, ["threads:2", "fork:2"], epochs=1, steps_per_epoch=6)
    assert multiprocessing.active_children() == []
    assert set(threading.enumerate()) <= threads
    assert multiprocessing.get_start_method(allow_none=True) in (
        None,
        multiprocessing.get_all_start_methods()[0],
    )


def test_numpys_random_is_not_loaded_for_us():
    code = """
import sys
import numpy as np
if "numpy.random" in sys.modules:
    print("NumPy loads it itself")
    sys.exit()
seen = []
def source():
    for i in range(4):
        seen.append("numpy.random" in sys.modules)
        yield np.full((2, 2), i)
import batchaudit.auditing as auditing
auditing._report_of = lambda manifest, folder: None  # the reading, which may load pandas, comes after the workers
auditing.audit(source, ["serial", "threads:1", "fork:2"], epochs=1)
print(any(seen), "numpy.random" in sys.modules, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("False False False", "NumPy loads it itself")


def test_a_strategy_that_fails_or_is_skipped_does_not_end_the_others():
    report = ba.audit(lambda: Broken("kill"), ["fork:2", "serial", "spawn:1"], name="broken", epochs=1)
    found = runs(report)
    assert "SIGKILL" in found["fork:2"].error
    assert (found["serial"].error, found["serial"].skipped) == (None, None)
    assert len(report.batches[report.batches.strategy == "serial"]) == 8
    skipped = runs(ba.audit(numbers, ["spawn:2", "serial"], epochs=1))
    assert "generator" in skipped["spawn:2"].skipped
    assert skipped["serial"].skipped is None


def test_default_strategies():
    assert list(runs(ba.audit(Table, epochs=1))) == ["serial", "threads:4", "fork:4"]


def test_a_source_itself_can_be_audited():
    report = ba.audit(Table(4), ["serial", "fork:2"], epochs=2)
    assert report.epochs.delivered.tolist() == [4, 4, 4, 4]
    assert runs(report)["serial"].source == "Table"


def test_progress_is_told_of_every_delivered_batch():
    told = []
    ba.audit(Table, ["serial"], epochs=2, on_progress=lambda *args: told.append(args))
    assert [it for it in told if it[0] == "serial"] == [("serial", e, s) for e in range(2) for s in range(8)]


def test_slow_deterministic_replicas_give_a_fraction_of_the_epoch():
    report = ba.audit(slow, ["serial", "fork:4"], epochs=3, steps_per_epoch=16)
    unique = report.epochs.set_index(["strategy", "epoch"]).unique
    assert unique["serial"].tolist() == [16, 16, 16]
    assert unique["fork:4"].tolist() == [4, 4, 4]


# -- key ------------------------------------------------------------------------------------------


def test_key_gives_the_samples_their_ids(tmp_path):
    ba.audit(numbers, ["serial", "fork:2"], epochs=1, key=lambda item: item[1], out=tmp_path / "run")
    samples = ba.load(tmp_path / "run").samples
    assert set(samples.id.dropna().astype(int)) == set(range(32))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda item: [1, 2], "2 ids for a batch of 4 samples"),
        (lambda item: 1 / 0, "ZeroDivisionError"),
        (lambda item: None, "key="),
    ],
)
@pytest.mark.parametrize("make", [numbers, Table])
def test_a_wrong_key_is_an_error_at_once(key, words, make):
    with pytest.raises(UsageError, match=words):
        ba.audit(make, ["serial"], epochs=1, key=key)


# -- what is refused ------------------------------------------------------------------------------


def _raises():
    raise LookupError("no such folder")


def _breaks():
    yield batch(0)
    raise LookupError("a hole in the data")


BAD = {
    "None": (None, "None"),
    "a number": (3, "int"),
    "a text": ("pkg:loader", "str"),
    "returns None": (lambda: None, "returned None"),
    "returns a number": (lambda: 3, "int"),
    "raises": (_raises, "LookupError: no such folder"),
    "raises later": (_breaks, "LookupError: a hole in the data"),
    "yields nothing": (empty, "no batch"),
    "an empty list": (list, "no batch"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_source_is_refused_with_a_clear_message(case):
    source, words = BAD[case]
    with pytest.raises(UsageError, match=words):
        ba.audit(source, ["serial"], epochs=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategies": ["fork:0"]}, "fork:0"),
        ({"strategies": ["nothing:2"]}, "nothing:2"),
        ({"strategies": []}, "no strategy"),
        ({"epochs": 0}, "epochs=0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, words):
    called = []
    with pytest.raises(UsageError, match=words):
        ba.audit(lambda: called.append(1) or numbers(), **options)
    assert called == []


def test_one_strategy_needs_no_list():
    report = ba.audit(numbers, "threads:2", epochs=1, probes=False)
    assert [run.strategy for run in report.runs] == ["threads:2"]


def test_a_kept_run_is_reported_again(tmp_path):
    first = ba.audit(numbers, "serial", epochs=1, probes=False, advise=False, out=tmp_path / "run")
    assert ba.report_of(tmp_path / "run").to_dict() == first.to_dict()
    with pytest.raises(UsageError, match="not the ranks of one training"):
        ba.report_of()
    with pytest.raises(UsageError, match="not the ranks of one training"):
        ba.report_of(tmp_path / "run", tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        ba.audit(numbers, ["serial"], epochs=1, out=tmp_path / "file" / "run")


def test_a_second_audit_into_a_folder_is_the_next_attempt(tmp_path):
    for _ in range(2):
        report = ba.audit(Numbers, ["serial"], epochs=1, out=tmp_path)
    assert len(report.batches) == 8
    assert sorted(ba.load(tmp_path).events.attempt.unique()) == [0, 1]
    assert os.getpid() in set(ba.load(tmp_path).events.pid)


def test_a_callable_that_gives_one_iterator_again_has_one_pass():
    import batchaudit as ba

    batches = iter([[0.0, float(n)] for n in range(6)])
    report = ba.audit(lambda: batches, ["serial", "threads:2"], epochs=2)
    serial, threads = report.runs
    assert report.epochs_of(serial)["delivered"].tolist() == [6]
    assert "used up" in threads.skipped
    assert any("one pass" in note for note in report.notes)


def test_every_report_has_a_verdict_on_all_sixteen_causes():
    report = ba.audit(lambda: iter(np.split(np.arange(32), 8)), ["serial"], epochs=2)
    verdicts = [*report.runs[0].verdicts, *report.across_verdicts]
    assert sorted(one.cause for one in verdicts) == sorted(pages.CAUSES)
    assert all(one.reason for one in verdicts)


def test_a_serial_pass_of_a_loader_that_has_workers_is_meant_to_have_none():
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(list(range(6)), batch_size=2, num_workers=2)
    report = ba.audit(lambda: loader, ["serial", "as-is"], epochs=1, probes=False)
    assert [run.workers_configured for run in report.runs] == [0, 2]
    assert report.epochs["workers_configured"].tolist() == [1, 2]
