"""`ba.audit(advise=)`: every strategy is timed, nothing else changes. None of it rests on how fast this machine is."""

from __future__ import annotations

import importlib
import json
import random

import numpy as np
import pytest

import batchaudit as ba
from batchaudit import measuring
from batchaudit.cli.exit_codes import of_report
from batchaudit.errors import UsageError
from tests.loaders import (
    Broken,
    NoisyTable,
    Numbers,
    Passes,
    Table,
    endless,
    numbers,
    numpy_noise,
    unsendable,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measuring, "SECONDS", 0.05)
    monkeypatch.setattr(measuring, "_TOGETHER_SECONDS", 0.05)
    monkeypatch.setattr(importlib.import_module("batchaudit.timing.machine"), "_ROUND_SECONDS", 0.01)
    # The second batch may take longer than all that was asked for.
    monkeypatch.setattr(importlib.import_module("batchaudit.timing.clocked"), "_PATIENCE", 20)


def audit(source, strategies=("serial",), **options):
    return ba.audit(source, strategies, **{"epochs": 2, "probes": False, "advise": None, **options})


def compared(report):
    (advice,) = report.advice
    return {one.option.strategy: one.option for one in advice.compared}


def measured(report):
    return [name for name, option in compared(report).items() if option.timing is not None]


# -- what is compared ------------------------------------------------------------------------------


def test_what_was_asked_for_is_timed_with_stopwatches_alone():
    report = audit(Table, ["serial", "threads:2", "fork:2"])
    found = compared(report)
    assert measured(report) == ["serial", "threads:2", "fork:2"]
    assert all(option.timing.clocked for option in found.values())
    assert [option.timing.workers for option in found.values()] == [1, 2, 2]
    assert report.advice.best in found
    assert report.timing["clocked"].tolist() == [True] * 3


def test_all_that_could_drive_it_is_compared():
    pytest.importorskip("tensorflow")
    report = audit(Table, advise=True)
    assert {"serial", "fork", "threads", "tf.data"} == {
        compared(report)[name].family for name in measured(report)
    }
    assert "its workers are a DataLoader's" in next(
        option.refused for option in compared(report).values() if option.family == "torch"
    )
    assert [run.strategy for run in report.runs] == ["serial"]
    assert [option.asked for option in compared(report).values()].count(True) == 1


def test_of_a_generator_what_walks_all_of_it_twice_is_not_advised():
    report = audit(numbers, advise=True)
    fork = next(option for option in compared(report).values() if option.family == "fork")
    assert "unsharded-replica" in fork.causes and fork.fix
    assert not report.findings
    assert report.advice["numbers"].best != fork.strategy


@pytest.mark.parametrize("kind", ["PyTable", "TfTable"])
def test_keras_workers(kind):
    frameworks = pytest.importorskip("tests.strategies.frameworks", exc_type=ImportError)
    report = audit(getattr(frameworks, kind), advise=True)
    prefix = "keras" if kind == "PyTable" else "tf_keras"
    families = {compared(report)[name].family for name in measured(report)}
    assert {"serial", f"{prefix}-threads", f"{prefix}-processes", "tf.data"} <= families
    assert all(compared(report)[name].timing.workers <= 16 for name in measured(report))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_torch_loader(workers):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(32.0).reshape(16, 2))
    report = audit(
        lambda: torch.utils.data.DataLoader(data, batch_size=2, num_workers=workers), None, advise=True
    )
    families = {compared(report)[name].family for name in measured(report)}
    assert {"serial", "as-is", "torch"} <= families
    assert compared(report)["as-is"].workers == workers


def test_a_dataset():
    tf = pytest.importorskip("tensorflow")
    report = audit(lambda: tf.data.Dataset.range(12).batch(2), None, advise=True)
    assert {"as-is"} == set(measured(report))
    assert "tf-data" in {reason.rule for reason in report.advice.sources[0].reasons}


# -- nothing else changes --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [numpy_noise, NoisyTable])
def test_the_global_streams_are_given_back(make):
    np.random.seed(1), random.seed(1)
    expected = np.random.normal(size=3).tolist(), random.random()
    np.random.seed(1), random.seed(1)
    audit(make, ["serial", "threads:1", "fork:2"])
    assert (np.random.normal(size=3).tolist(), random.random()) == expected


@pytest.mark.parametrize("make", [numbers, NoisyTable])
def test_runs_findings_and_verdicts_are_those_without_timing(make, tmp_path):
    with_advice, without = (
        audit(make, ["serial", "fork:2"], advise=advise, out=tmp_path / str(advise) / "run")
        for advise in (True, False)
    )
    assert [(run.strategy, run.findings, run.verdicts) for run in with_advice.runs] == [
        (run.strategy, run.findings, run.verdicts) for run in without.runs
    ]
    assert (with_advice.notes, with_advice.across_verdicts) == (without.notes, without.across_verdicts)
    assert with_advice.epochs["strategy"].tolist() == without.epochs["strategy"].tolist()
    assert of_report(with_advice, "warning") == of_report(without, "warning")
    again = ba.auditing.report(tmp_path / "True" / "run")
    assert again.advice == with_advice.advice
    json.dumps(again.to_dict(), allow_nan=False)


def test_without_timing_the_audits_own_rates_are_told():
    report = audit(Table, ["serial", "fork:2"], advise=False)
    assert not any(option.timing.clocked for option in compared(report).values())
    assert "not-clocked" in {reason.rule for reason in report.advice["Table"].reasons}


# -- sources that cannot be driven again and again -------------------------------------------------


def test_an_iterator_that_was_given_once_is_left_alone():
    once = Numbers()
    report = audit(once, ["threads:2"], epochs=1, advise=True)
    assert once.position == 8
    assert report.epochs["delivered"].tolist() == [8]
    assert not any(
        one.option.timing.clocked for advice in report.advice for one in advice.compared if one.option.timing
    )


def test_a_second_source_that_cannot_be_made_is_told():
    audit(counted(10**9), advise=False)
    again = counted(counted.made)
    report = audit(again)
    assert not report.findings
    assert str(report)


def counted(sound):
    counted.made = 0

    def source():
        counted.made += 1
        if counted.made > sound:
            raise ConnectionError("one at a time")
        return Table()

    return source


def test_a_worker_that_dies_ends_only_its_own():
    report = audit(lambda: Broken("kill"), ["serial", "fork:2"], name="broken")
    found = compared(report)
    assert found["serial"].timing.clocked
    assert found["fork:2"].timing is None and "SIGKILL" in found["fork:2"].refused
    assert report.advice.best == "serial"


def test_batches_that_do_not_pickle():
    report = audit(unsendable, ["serial", "threads:1"])
    assert measured(report) == ["serial", "threads:1"]
    assert "sending" not in {reason.rule for reason in report.advice["unsendable"].reasons}


def test_an_endless_source():
    report = audit(endless, ["serial", "threads:2"], steps_per_epoch=4)
    assert measured(report) == ["serial", "threads:2"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_few_batches(count):
    report = audit(lambda: Table(count), ["serial", "threads:2"], name="few")
    assert measured(report) == ["serial", "threads:2"]
    unclocked = audit(lambda: Table(count), ["serial", "threads:2"], name="few", advise=False)
    assert all(not advice.best for advice in unclocked.advice)
    assert str(unclocked)


# -- the step of a training ------------------------------------------------------------------------


def test_seconds_of_a_step():
    report = audit(Table, step_time=10.0)
    assert report.advice["Table"].step_time == 10.0
    assert report.advice["Table"].stalled_before == report.advice["Table"].stalled_after
    assert report.advice.best == "serial"


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf")])
def test_a_step_that_takes_no_time_is_refused(wrong):
    with pytest.raises(UsageError, match="step_time="):
        audit(Table, step_time=wrong)


def test_a_number_of_numpys_is_a_number():
    assert audit(Table, step_time=np.float32(0.5)).advice["Table"].step_time == 0.5


def test_a_report_of_no_training_shows_no_step(tmp_path):
    audited = audit(Table, advise=False, out=tmp_path / "run")
    for given in (audited, tmp_path / "run"):
        with pytest.raises(UsageError, match="no watched training"):
            audit(Table, step_time=given)


def watched_loop(folder):
    with ba.Audit(folder) as watching:
        watched = watching.wrap(Passes(20), name="train")
        for _ in range(2):
            for _ in watched:
                pass
        return watching.report()


def test_the_step_of_a_watched_loop(tmp_path):
    live = watched_loop(tmp_path / "run")
    (advice,) = live.advice
    assert (advice.source, advice.best) == ("train", None)
    assert "A step takes" in advice.summary and "waits for data for" in advice.summary
    assert 0 <= advice.stalled_before <= 1
    step = advice.step_time
    assert live.timing["step"].tolist() == [step]
    for given in (live, tmp_path / "run", str(tmp_path / "run")):
        assert audit(Table, step_time=given).advice["Table"].step_time == step


def test_the_step_of_a_watched_fit(tmp_path):
    keras = pytest.importorskip("keras")
    frameworks = pytest.importorskip("tests.strategies.frameworks", exc_type=ImportError)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with ba.Audit(tmp_path / "run") as watching:
        model.fit(watching.wrap(frameworks.PyTable(12), name="train"), epochs=2, verbose=0)
        live = watching.report()
    (advice,) = live.advice
    assert advice.step_time > 0
    assert 0 <= advice.stalled_before <= 1
    assert audit(Table, step_time=live).advice["Table"].step_time == advice.step_time


def test_the_step_of_a_watched_torch_loop(tmp_path):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(40.0).reshape(20, 2))
    with ba.Audit(tmp_path / "run") as watching:
        for _ in watching.wrap(torch.utils.data.DataLoader(data, batch_size=2), name="train"):
            pass
        live = watching.report()
    assert live.advice["train"].step_time > 0
