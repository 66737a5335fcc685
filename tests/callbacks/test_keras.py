"""The callback in real trainings of Keras 3 and of tf_keras, both loaded in one process."""

from __future__ import annotations

import copy
import csv
import gc
import math
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

import batchaudit as ba  # noqa: E402
from batchaudit.callbacks.watch import FIGURES  # noqa: E402
from batchaudit.errors import BatchauditWarning  # noqa: E402
from tests.callbacks.logs import Training  # noqa: E402

BATCHES, ROWS = 8, 4


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(number * ROWS, (number + 1) * ROWS, dtype="float32")[:, None]
    return rows / 100, rows


class Indexed:
    """A `PyDataset` or `Sequence`; the sick one gives each batch twice an epoch, and half of them never."""

    sick = False

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int):
        return batch(index // 2 if self.sick else index)


class PyDataset(Indexed, keras.utils.PyDataset):
    pass


class Sequence(Indexed, tf_keras.utils.Sequence):
    pass


SOURCES = {keras: PyDataset, tf_keras: Sequence}


@pytest.fixture
def no_pool_is_left() -> Iterator[None]:
    """tf_keras, watched or not, never ends the workers of an endless generator."""
    yield
    for enqueuer in [it for it in gc.get_objects() if type(it) is tf_keras.utils.GeneratorEnqueuer]:
        enqueuer.stop()
    for pool in list(tf_keras.src.utils.data_utils._DATA_POOLS):
        pool.terminate()


@pytest.fixture(params=[keras, tf_keras], ids=["keras 3", "tf_keras"])
def flavour(request):
    return request.param


@pytest.fixture
def model(flavour):
    model = flavour.Sequential([flavour.layers.Input((1,)), flavour.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Writing(keras.callbacks.Callback, tf_keras.callbacks.Callback):
    """Writes the log of a sick training beside the fit that it is in, and keeps the epochs that were trained."""

    def __init__(self, training: Training, *, replicas: bool) -> None:
        super().__init__()
        self._supports_tf_logs = True
        self.training, self.replicas = training, replicas
        self.epochs: list[int] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.training.run_epoch(replicas=self.replicas)


def fit(model, callbacks, epochs=3, data=None):
    return model.fit(
        *(batch(0) if data is None else (data,)), epochs=epochs, callbacks=callbacks, verbose=0
    ).history


def test_it_is_a_callback_of_both(tmp_path):
    with ba.Audit(tmp_path) as audit:
        callback = audit.callback("keras")
    assert isinstance(callback, keras.callbacks.Callback)
    assert isinstance(callback, tf_keras.callbacks.Callback)
    assert type(copy.deepcopy(callback)) is type(callback)


@pytest.mark.parametrize("sick", [False, True])
def test_history_and_csv_have_the_figures_of_every_epoch(tmp_path, flavour, model, sick):
    data = SOURCES[flavour]()
    data.sick = sick
    table = tmp_path / "log.csv"
    with ba.Audit(tmp_path / "run") as audit:
        callbacks = [audit.callback("keras", on_finding="ignore"), flavour.callbacks.CSVLogger(str(table))]
        history = model.fit(audit.wrap(data), epochs=3, callbacks=callbacks, shuffle=False, verbose=0).history
    assert history["audit/effective_ratio"] == [0.5 if sick else 1.0] * 3
    assert history["audit/duplicate_fraction"] == [0.5 if sick else 0.0] * 3
    assert all(type(value) is float for name in FIGURES for value in history[name])
    rows = list(csv.DictReader(table.open()))
    assert [float(row["audit/effective_ratio"]) for row in rows] == history["audit/effective_ratio"]
    assert set(FIGURES) <= set(rows[0])


def test_a_history_that_stands_before_it_has_the_figures_once(tmp_path, flavour, model):
    with ba.Audit(tmp_path) as audit:
        writing = Writing(Training(tmp_path), replicas=True)
        callbacks = [flavour.callbacks.History(), writing, audit.callback("keras", on_finding="ignore")]
        history = fit(model, callbacks)
    assert history["audit/effective_ratio"] == [0.5] * 3
    assert len(history["loss"]) == 3


def test_an_error_stops_fit_after_its_first_epoch(tmp_path, model):
    with ba.Audit(tmp_path) as audit:
        writing = Writing(Training(tmp_path), replicas=True)
        with pytest.raises(ba.FindingError, match="unsharded-replica in train"):
            fit(model, [writing, audit.callback("keras", on_finding="raise")])
    assert writing.epochs == [0]


def test_a_healthy_training_is_not_stopped(tmp_path, model):
    with ba.Audit(tmp_path) as audit:
        writing = Writing(Training(tmp_path), replicas=False)
        assert (
            fit(model, [writing, audit.callback("keras", on_finding="raise")])["audit/effective_ratio"]
            == [1.0] * 3
        )
    assert writing.epochs == [0, 1, 2]


def test_a_finding_is_warned_of_once_in_all_fits(tmp_path, model):
    with ba.Audit(tmp_path) as audit:
        writing, callback = Writing(Training(tmp_path), replicas=True), audit.callback("keras")
        with pytest.warns(BatchauditWarning, match="unsharded-replica") as seen:
            fit(model, [writing, callback])
            history = fit(model, [writing, callback])
    assert len([one for one in seen if one.category is BatchauditWarning]) == 1
    assert history["audit/effective_ratio"][-3:] == [0.5] * 3


def test_without_a_watched_source_training_goes_on(tmp_path, model):
    with ba.Audit(tmp_path) as audit, pytest.warns(BatchauditWarning, match=r"audit\.wrap"):
        history = fit(model, [audit.callback("keras", on_finding="raise")])
    assert all(math.isnan(value) for name in FIGURES for value in history[name])
    assert len(history["loss"]) == len(history[FIGURES[0]]) == 3


def test_it_has_no_hook_for_batches(tmp_path):
    with ba.Audit(tmp_path) as audit:
        callback = audit.callback("keras")
    hooks = [name for name in dir(keras.callbacks.Callback) if "batch" in name]
    assert hooks
    assert all(keras.src.utils.is_default(getattr(callback, name)) for name in hooks)
    assert not callback._implements_train_batch_hooks()
    assert not callback._implements_test_batch_hooks()
    assert not callback._implements_predict_batch_hooks()


def test_what_is_not_known_is_refused(tmp_path):
    with ba.Audit(tmp_path) as audit:
        with pytest.raises(ba.UsageError, match="'warn', 'raise', 'ignore'"):
            audit.callback("keras", on_finding="stop")
        with pytest.raises(ba.UsageError, match="'keras', 'lightning'"):
            audit.callback("pytorch")
        assert isinstance(audit.callback("keras"), keras.callbacks.Callback)


class InTurn:
    """Has two forked workers make their batches side by side, however fast each of them is."""

    def __init__(self) -> None:
        self._parent, self._barrier = os.getpid(), multiprocessing.Barrier(2)

    def wait(self) -> None:
        if os.getpid() != self._parent:
            self._barrier.wait(60)


class Noisy(keras.utils.PyDataset):
    """Draws its augmentation from NumPy's global stream, which Keras' forked workers share a state of."""

    def __init__(self, in_turn: InTurn, **settings) -> None:
        super().__init__(**settings)
        self.in_turn = in_turn

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int):
        self.in_turn.wait()
        rows, labels = batch(index)
        return rows + np.random.random(rows.shape).astype("float32"), labels


def test_cloned_workers_of_keras_3_stop_fit_after_its_first_epoch(tmp_path: Path):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    epochs: list[int] = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with ba.Audit(tmp_path) as audit:
        data = audit.wrap(Noisy(InTurn(), workers=2, use_multiprocessing=True))
        with pytest.raises(ba.FindingError, match="rng-clone"):
            model.fit(
                data, epochs=3, callbacks=[audit.callback("keras", on_finding="raise"), count], verbose=0
            )
    assert epochs == [0]


def numbered(in_turn: InTurn):
    for number in range(10_000):
        in_turn.wait()
        yield batch(number)


def test_replicas_of_tf_keras_stop_fit_after_its_first_epoch(tmp_path: Path, no_pool_is_left):
    model = tf_keras.Sequential([tf_keras.layers.Input((1,)), tf_keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    epochs: list[int] = []
    count = tf_keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with ba.Audit(tmp_path) as audit:
        data = audit.wrap(numbered(InTurn()))
        with pytest.raises(ba.FindingError, match="unsharded-replica"):
            model.fit(
                data, epochs=3, steps_per_epoch=16, workers=2, use_multiprocessing=True,
                callbacks=[audit.callback("keras", on_finding="raise"), count], verbose=0,
            )  # fmt: skip
    assert epochs == [0]
