"""What queues and looks draw ahead of a training, each with its healthy twin."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.diagnosis import prefetch_loss
from tests.analysis.build import Batch, evidence

keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

BATCHES, STEPS = 12, 6


def batch(number):
    rows = number * 4 + np.arange(4.0)
    return rows[:, None], rows


def endless():
    number = 0
    while True:
        yield batch(number)
        number += 1


def finite():
    yield from map(batch, range(BATCHES))


class Locked:
    """An iterator for several threads."""

    def __init__(self):
        self.batches, self.lock = endless(), threading.Lock()

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            return next(self.batches)


def fit(framework, source, given, epochs=1, **options):
    """Trains, and keeps the number of the batch of each step."""

    class Recording(framework.Sequential):
        def train_step(self, data):
            given.append(int(np.array(data[0])[0, 0]) // 4)
            return super().train_step(data)

    model = Recording([framework.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(source, epochs=epochs, verbose=0, **options)


def losses(report):
    return [finding for finding in report.findings if finding.cause == "prefetch-loss"]


def verdict(report):
    return next(one.verdict for run in report.runs for one in run.verdicts if one.cause == "prefetch-loss")


@pytest.mark.parametrize("framework", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_two_fits_on_one_generator(tmp_path, framework):
    given = []
    with ba.Audit(tmp_path) as audit:
        source = audit.wrap(endless(), name="train")
        for _ in range(2):
            fit(framework, source, given, steps_per_epoch=STEPS)
    hole = given[STEPS] - given[STEPS - 1] - 1
    [finding] = losses(audit.report())
    assert (finding.severity, finding.evidence["batches_lost"]) == ("warning", [hole])
    assert hole > 0


@pytest.mark.parametrize("framework", [keras, tf_keras], ids=["keras", "tf_keras"])
def test_one_fit_of_two_epochs(tmp_path, framework):
    given = []
    with ba.Audit(tmp_path) as audit:
        fit(framework, audit.wrap(endless(), name="train"), given, epochs=2, steps_per_epoch=STEPS)
    assert given == list(range(2 * STEPS))
    assert verdict(audit.report()) == "ruled out"


@pytest.mark.parametrize(("fits", "found"), [(2, True), (1, False)])
def test_threads_that_fill_a_queue(tmp_path, fits, found):
    given = []
    with ba.Audit(tmp_path) as audit:
        source = audit.wrap(Locked(), name="train")
        for _ in range(fits):
            fit(tf_keras, source, given, 2 // fits, steps_per_epoch=STEPS, workers=2)
    assert bool(losses(audit.report())) == found
    assert (len(set(range(max(given))) - set(given)) > 0) == found or not found


def test_a_finite_generator_is_only_looked_at_again(tmp_path):
    given = []
    with ba.Audit(tmp_path) as audit:
        fit(keras, audit.wrap(finite(), name="train"), given, epochs=3)
    assert given == [*range(BATCHES), 0, 1, 0, 1]
    [finding] = losses(audit.report())
    assert (finding.severity, finding.evidence["replayed"]) == ("error", [0, 2, 2])


def test_a_validation_that_is_looked_at_again_is_only_noted(tmp_path):
    with ba.Audit(tmp_path) as audit:
        given = []
        validation = audit.wrap(endless(), name="val")
        train = audit.wrap(endless(), name="train")
        options = {"validation_data": validation, "validation_steps": 3, "steps_per_epoch": STEPS}
        fit(keras, train, given, epochs=3, **options)
    assert not [finding for finding in losses(audit.report()) if finding.severity != "info"]


class OfKeras(keras.utils.PyDataset):
    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        return batch(index)


class OfTfKeras(tf_keras.utils.Sequence):
    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        return batch(index)


@pytest.mark.parametrize(
    ("framework", "source"), [(keras, OfKeras), (tf_keras, OfTfKeras)], ids=["keras", "tf_keras"]
)
def test_looks_at_what_has_an_index_are_harmless(tmp_path, framework, source):
    given = []
    with ba.Audit(tmp_path) as audit:
        fit(framework, audit.wrap(source(), name="train"), given, epochs=2, shuffle=False)
    report = audit.report()
    assert given == [*range(BATCHES)] * 2
    assert not losses(report) and verdict(report) == "ruled out"


def test_a_loop_of_ones_own_loses_nothing(tmp_path):
    with ba.Audit(tmp_path) as audit:
        source = audit.wrap(endless(), name="train", steps_per_epoch=STEPS)
        for _ in range(3 * STEPS):
            next(source)
    report = audit.report()
    assert not losses(report) and verdict(report) == "ruled out"


def test_an_audit_of_a_generator_loses_nothing():
    strategies = ["serial", "threads:2", "keras-threads:1"]
    report = ba.audit(endless, strategies, epochs=2, steps_per_epoch=STEPS, probes=False)
    assert not losses(report)


def test_what_is_left_at_the_end_is_no_loss():
    batches = [Batch(1, number, 0 if number < 4 else None) for number in range(8)]
    assert prefetch_loss.judge(evidence(batches)).finding is None


def test_a_hole_lies_between_two_epochs_of_one_process():
    def judged(pids):
        epochs = [0, 0, None, None, 1, 1]
        batches = [
            Batch(pid, number, epoch) for number, (pid, epoch) in enumerate(zip(pids, epochs, strict=True))
        ]
        return prefetch_loss.judge(evidence(batches)).finding

    found = judged([1] * 6)
    assert found is not None and found.evidence["batches_lost"] == [2]
    assert judged([1, 1, 1, 1, 2, 2]) is None  # the next epoch's worker begins anew


def test_what_was_made_in_the_middle_of_an_epoch_is_no_matter_of_this_rule():
    batches = [Batch(1, number, None if number == 2 else number // 4) for number in range(8)]
    assert prefetch_loss.judge(evidence(batches)).finding is None
