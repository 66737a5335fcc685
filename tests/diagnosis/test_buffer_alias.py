"""Buffers that are filled again while a batch waits, and what looks like it."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import Tables, tables
from batchaudit.diagnosis import buffer_alias
from tests.analysis.build import Batch, evidence, frames

SHAPE = (8, 16)
PATIENCE = 240.0  # seconds, for a machine however busy


def judged(report: ba.Report, number: int = -1):
    run = report.runs[number]
    verdict = next(it for it in run.verdicts if it.cause == buffer_alias.CAUSE)
    finding = next((it for it in run.findings if it.cause == buffer_alias.CAUSE), None)
    return verdict, finding


def filled(steps: int, copy: bool, dtype: str = "float32", made=lambda step: None):
    """One array, filled for each batch."""
    buffer = np.zeros(SHAPE, dtype)
    for step in range(steps):
        buffer[:] = step + np.arange(16)
        made(step)
        yield buffer.copy() if copy else buffer


class Locked:
    """An iterator that threads may share."""

    def __init__(self, batches):
        self.batches, self.lock = batches, threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            return next(self.batches)


# -- hand-made ----------------------------------------------------------------------------------------


def arrived(contents: list[int], nbytes: list[int] | None = None, ahead: bool = True) -> Evidence:
    """Batches made as 0, 1, 2 ... by a worker that is ahead of its consumer, and what arrived."""
    events, samples = frames([Batch(2, number) for number in range(len(contents))])
    told = events["stage"] == "delivered"
    for half in ("digest_hi", "digest_lo"):
        events.loc[told, half] = np.array(contents, np.uint64)
    if nbytes is not None:
        events.loc[told, "nbytes"] = nbytes
    if ahead:
        events.loc[told, ["began_ns", "ended_ns"]] += 10_000
    return with_tables(tables(events, samples), len(contents))


def with_tables(made: Tables, count: int) -> Evidence:
    known = evidence([Batch(2, number) for number in range(count)], Baseline())
    return Evidence(
        "s", "threads:1", "iterator", False, made, known.epochs, known.shares, [], False, Baseline()
    )


def test_a_batch_that_became_the_next_one():
    finding = buffer_alias.judge(arrived([1, 1, 2, 3, 4, 5])).finding
    assert finding is not None
    assert finding.severity == "error"
    assert finding.evidence["changed"] == 1
    assert finding.evidence["repeat_the_batch_before"] == 1
    assert finding.evidence["made_and_never_delivered"] == 1
    assert "epoch 0 step 0 was made by worker 0 as batch" in finding.evidence["first_example"]
    assert finding.evidence["first_example"].endswith("which was made for epoch 0 step 1")


def test_every_batch_became_the_next_one():
    finding = buffer_alias.judge(arrived([1, 2, 3, 4, 5, 0])).finding
    assert finding is not None
    assert finding.evidence["changed"] == 6


def test_a_conversion_changes_every_batch_into_what_was_never_made():
    judgement = buffer_alias.judge(arrived([100, 101, 102, 103, 104, 105]))
    assert judgement.verdict == "not observable"
    assert "converted" in judgement.reason


def test_a_conversion_to_another_size_that_is_equal_for_one_batch():
    judgement = buffer_alias.judge(arrived([100, 101, 102, 103, 104, 105], [8, 8, 8, 8, 8, 0]))
    assert judgement.verdict == "not observable"


def test_batches_that_are_converted_and_arrive_equal():
    finding = buffer_alias.judge(arrived([101, 101, 103, 103, 105, 105], [4] * 6)).finding
    assert finding is not None
    assert finding.evidence["repeat_the_batch_before"] == 3


def test_what_arrives_as_it_was_made():
    assert buffer_alias.judge(arrived(list(range(6)))).verdict == "ruled out"


def test_a_queue_in_which_nothing_waits_shows_nothing():
    judgement = buffer_alias.judge(arrived(list(range(6)), ahead=False))
    assert judgement.verdict == "not observable"
    assert "no batch waited" in judgement.reason


# -- real sources -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_generator_that_fills_one_array(dtype):
    def audited(copy):
        ahead = threading.Event()

        def wait(strategy, epoch, step):  # as a consumer does that trains: the queue fills meanwhile
            if strategy == "threads:1" and (epoch, step) == (0, 0):
                assert ahead.wait(PATIENCE)

        def made(step):
            if step == 4 and threading.current_thread() is not threading.main_thread():
                ahead.set()

        make = partial(filled, 40, copy, dtype, made)
        return judged(ba.audit(make, ["threads:1"], epochs=2, probes=False, on_progress=wait))

    sick, healthy = audited(False), audited(True)
    assert sick[0].verdict == "found"
    assert sick[1].severity == "error"
    assert healthy[0].verdict == "ruled out"


def test_an_array_that_threads_fill_in_turns():
    def make(copy):
        return Locked(filled(60, copy))

    sick, healthy = (
        ba.audit(lambda c=copy: make(c), ["threads:4"], epochs=2, probes=False) for copy in (False, True)
    )
    assert judged(sick)[0].verdict == "found"
    # What was overwritten is no race.
    assert {it.cause for it in sick.runs[0].findings if it.severity != "info"} == {"buffer-alias"}
    assert judged(healthy)[0].verdict == "ruled out"
    assert not [it for it in healthy.runs[0].findings if it.severity != "info"]


def test_without_a_queue_one_array_does_no_harm():
    verdict, _ = judged(ba.audit(lambda: filled(12, False), ["serial"], epochs=2, probes=False))
    assert verdict.verdict == "ruled out"


def test_a_process_sends_a_copy():
    verdict, _ = judged(ba.audit(lambda: filled(40, False), ["fork:2"], epochs=2, probes=False))
    assert verdict.verdict in ("ruled out", "not observable")


# -- frameworks ---------------------------------------------------------------------------------------


class Filling(IterableDataset):
    """One array for all batches; torch's worker pickles it in a thread, while the next is being filled."""

    def __init__(self, copy: bool):
        self.copy = copy

    def __iter__(self):
        yield from filled(40, self.copy)


class Collate:
    """One tensor for all batches, which the workers share with the parent."""

    def __init__(self, copy: bool):
        self.batch, self.copy = torch.empty(8, 64), copy

    def __call__(self, items):
        for row, item in enumerate(items):
            self.batch[row] = item
        return self.batch.clone() if self.copy else self.batch


def collated(copy: bool):
    return DataLoader(torch.arange(160.0), 8, num_workers=2, prefetch_factor=4, collate_fn=Collate(copy))


def test_torch_s_workers_send_what_is_being_filled():
    sick, healthy = (
        judged(ba.audit(lambda c=copy: collated(c), epochs=2, probes=False)) for copy in (False, True)
    )
    assert sick[1].evidence["changed"] > 0
    assert sick[1].scope == "worker"
    assert healthy[0].verdict in ("ruled out", "not observable")


def test_copies_in_torch_s_queue_are_left_alone():
    made = DataLoader(Filling(copy=True), batch_size=None, num_workers=1, prefetch_factor=4)
    verdict, _ = judged(ba.audit(lambda: made, epochs=2, probes=False))
    assert verdict.verdict in ("ruled out", "not observable")


def trained(tmp_path, keras, copy: bool):
    """Trains on 6 batches of one array, and returns the audit's judgement and the first value of each."""
    seen = []

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, batch):
            seen.append(float(batch[0][0]))
            return self.dense(batch)

    def batches():
        for batch in filled(50, copy):
            yield batch, np.zeros((8, 1), "float32")

    model = Model()
    model.compile(loss="mse", run_eagerly=True)
    with ba.Audit(tmp_path / str(copy)) as audit:
        callbacks = [audit.callback(framework="keras")]
        model.fit(audit.wrap(batches()), steps_per_epoch=6, epochs=1, verbose=0, callbacks=callbacks)
    return judged(audit.report()), seen[-6:]


def test_keras_3_trains_on_what_it_peeked_at_before_it_was_overwritten(tmp_path):
    keras = pytest.importorskip("keras")
    (_, finding), seen = trained(tmp_path, keras, copy=False)
    assert seen != [0, 1, 2, 3, 4, 5]
    assert finding is not None
    (_, finding), seen = trained(tmp_path, keras, copy=True)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert finding is None


def test_tf_keras_copies(tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    (_, finding), seen = trained(tmp_path, tf_keras, copy=False)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert finding is None
