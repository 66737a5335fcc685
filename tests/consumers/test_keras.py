"""What reaches the model in Keras 3, proved by a model that records what its steps are given."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDataset, PyDatasetAdapter
from keras.src.trainers.epoch_iterator import EpochIterator

import batchaudit as ba
from batchaudit import consumers
from batchaudit.consumers import places
from batchaudit.errors import BatchauditWarning
from batchaudit.sources import recorder_of
from batchaudit.watching import Watched
from tests.consumers.keras_fits import (
    SOURCES,
    NoisyPyTable,
    OwnNoisePyTable,
    PyTable,
    delivered,
    fit,
    make_model,
    rewriting,
    rows,
    run,
    sample_numbers,
    table_of,
    tf_dataset,
    weights,
)
from tests.loaders import endless, numbers, raising

pytestmark = [
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed"),
    pytest.mark.filterwarnings("ignore:Your input ran out of data"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]


@pytest.fixture
def audit(tmp_path):
    with ba.Audit(tmp_path / "run") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def watch(audit, source, name="train", **options):
    return audit.wrap(source, name=name, key=sample_numbers, **options)


# -- every kind of source, on every backend -------------------------------------------------------


@pytest.mark.parametrize("kind", SOURCES)
def test_delivered_is_what_the_model_was_given_and_the_model_is_the_same(folder, kind):
    watched, unwatched = run(folder, kind), run(folder, kind, watched=False)
    assert delivered(folder, "train") == watched.seen.of("train")
    assert delivered(folder, "val") == watched.seen.of("test")
    assert len(watched.seen.of("train")) == len(watched.seen.of("test")) == 3
    assert watched.seen.passes == unwatched.seen.passes
    assert weights(watched) == weights(unwatched)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_delivered_is_what_the_model_was_given_on_other_backends(tmp_path, backend):
    found = on_backend(backend, tmp_path)
    watched = {kind: its for kind, (its, _) in found.items()}
    assert watched == {kind: unwatched for kind, (_, unwatched) in found.items()}
    for kind in SOURCES:
        run_folder = tmp_path / kind.replace(":", "")
        assert delivered(run_folder, "train") == watched[kind]["train"], kind
        assert delivered(run_folder, "val") == watched[kind]["test"], kind
        assert len(watched[kind]["train"]) == len(watched[kind]["test"]) == 3
    # A model that is not built takes a batch first: it is a look, not an epoch.
    for kind in ("predict:unbuilt", "predict:unbuilt:generator"):
        predicted = watched[kind]["predict"]
        assert delivered(tmp_path / kind.replace(":", ""), "train") == predicted and len(predicted) == 2


def on_backend(backend, folder):
    kinds = ",".join([*SOURCES, "predict:unbuilt", "predict:unbuilt:generator"])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.consumers.keras_fits", str(folder), kinds],
        capture_output=True,
        text=True,
        timeout=540,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_batches_come_from_spawned_workers(audit, folder, spawning):
    model = make_model()
    fit(model, watch(audit, PyTable(4, workers=2, use_multiprocessing=True)), epochs=1)
    table = table_of(folder, "train")
    assert delivered(folder, "train") == model.seen.of("train")
    assert (table.delivered["made"] >= 0).all()
    assert (table.produced["pid"][~table.produced["probe"]] != os.getpid()).all()


@pytest.fixture
def spawning():
    import multiprocessing

    from keras.src.trainers.data_adapters import py_dataset_adapter

    before = multiprocessing.get_start_method(allow_none=True)
    fresh = {"_WORKER_ID_QUEUE": None, "_SEQUENCE_COUNTER": None}  # Keras' own are of one start method
    kept = {name: getattr(py_dataset_adapter, name) for name in fresh}
    multiprocessing.set_start_method("spawn", force=True)
    vars(py_dataset_adapter).update(fresh)
    yield
    multiprocessing.set_start_method(before, force=True)
    vars(py_dataset_adapter).update(kept)


# -- epochs and steps -----------------------------------------------------------------------------


def test_epochs_go_on_over_fits_evaluations_and_predictions(audit, folder):
    model, source = make_model(), watch(audit, PyTable(4))
    fit(model, source, epochs=2)
    fit(model, source, epochs=4, initial_epoch=3)
    model.evaluate(source, verbose=0, callbacks=[model.seen])
    model.predict(source, verbose=0, callbacks=[model.seen])
    assert [kind for kind, _ in model.seen.passes] == ["train", "train", "train", "test", "predict"]
    assert delivered(folder, "train") == [batches for _, batches in model.seen.passes]


@pytest.mark.parametrize("options", [{"steps_per_execution": 3}, {"run_eagerly": True}], ids=str)
def test_other_ways_to_run_a_step(audit, folder, options):
    model = make_model(**options)
    fit(model, watch(audit, PyTable(8)), validation=watch(audit, tf_dataset(8, 100), "val"))
    assert delivered(folder, "train") == model.seen.of("train")
    assert delivered(folder, "val") == model.seen.of("test")
    assert [len(batches) for batches in model.seen.of("train")] == [8, 8, 8]


def test_a_compiled_step(audit, folder):
    seen, source = (
        make_model(),
        PyTable(8),
    )  # what is compiled cannot record: the source is the same each time
    fit(seen, source, shuffle=False)
    compiled = keras.Sequential([keras.layers.Dense(1)])
    compiled.compile("sgd", "mse", jit_compile=True)
    compiled.fit(watch(audit, source), epochs=3, verbose=0, shuffle=False)
    assert delivered(folder, "train") == seen.seen.of("train")


@pytest.mark.parametrize("steps", [3, 6, 16])
def test_epochs_of_another_length_than_the_source(audit, folder, steps):
    model = make_model()
    fit(model, watch(audit, PyTable(8)), steps_per_epoch=steps)
    assert delivered(folder, "train") == model.seen.of("train")


def test_validation_of_some_steps_at_some_epochs(audit, folder):
    model = make_model()
    val = watch(audit, endless(), "val")
    fit(model, PyTable(2), validation=val, epochs=4, validation_steps=3, validation_freq=2)
    assert delivered(folder, "val") == model.seen.of("test")
    assert [len(batches) for batches in model.seen.of("test")] == [3, 3]


def test_a_fit_that_stops_within_an_epoch(audit, folder):
    model, source = make_model(), watch(audit, PyTable(8))

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs=None):
            self.model.stop_training = step == 2

    model.fit(source, epochs=3, verbose=0, callbacks=[model.seen, Stop()])
    fit(model, source, epochs=1)
    assert delivered(folder, "train") == model.seen.of("train")
    assert [len(batches) for batches in model.seen.of("train")] == [3, 8]


def test_what_keras_peeks_at_is_a_probe_until_it_is_delivered(audit, folder):
    model = make_model()
    fit(model, watch(audit, PyTable(8)), epochs=1)
    fit(model, watch(audit, numbers(8), "generator"), epochs=1)
    peeked = table_of(folder, "train").produced
    replayed = table_of(folder, "generator").produced
    assert len(peeked) == 10 and peeked["probe"].sum() == 2 and not peeked["delivered"][peeked["probe"]].any()
    assert len(replayed) == 8 and replayed["probe"].sum() == 2 and replayed["delivered"].all()


@pytest.mark.parametrize(
    "source", [rows, tf_dataset, lambda: numbers(8)], ids=["arrays", "tf.data", "generator"]
)
def test_tensorflow_threads_are_no_workers(audit, folder, source):
    fit(make_model(), watch(audit, source()), epochs=2)
    workers = table_of(folder, "train").produced.query("not probe")["worker"]
    assert len(workers) and set(workers) == {0}


# -- arrays ---------------------------------------------------------------------------------------


def test_arrays_with_weights_and_validation_arrays(audit, folder):
    x, y = rows(8)
    model = make_model()
    x, y, weight = watch(audit, (x, y, np.ones(len(x))))
    val = watch(audit, rows(2, 100), "val")
    model.fit(
        x, y, sample_weight=weight, batch_size=4, validation_data=val, epochs=2, verbose=0,
        callbacks=[model.seen],
    )  # fmt: skip
    assert delivered(folder, "train") == model.seen.of("train")
    assert delivered(folder, "val") == model.seen.of("test")


@pytest.mark.parametrize(
    "structure", [lambda x: x, lambda x: [x], lambda x: {"input": x}], ids=["x", "list", "dict"]
)
def test_one_watched_array_is_enough(audit, structure):
    x, y = rows(2)
    given = structure(audit.wrap(x, name="train"))
    inputs = structure(keras.Input((3,), name="input"))
    leaf = keras.tree.flatten(inputs)[0]
    model = keras.Model(inputs, keras.layers.Dense(1)(leaf))
    model.compile("sgd", "mse")
    model.fit(given, y, class_weight={0: 1.0}, batch_size=4, epochs=2, verbose=0)
    run_of = audit.report().runs[0]
    assert list(audit.report().epochs_of(run_of)["delivered"]) == [2, 2]


def test_a_part_of_watched_arrays_is_not_watched(audit, folder):
    x, y = watch(audit, rows(4))
    model = make_model()
    model.fit(x, y, validation_split=0.5, batch_size=4, verbose=0, callbacks=[model.seen])
    assert model.seen.of("train") and model.seen.of("test")
    assert audit.report().runs[0].skipped


# -- what was changed on the way ------------------------------------------------------------------


def test_a_buffer_that_is_written_again_is_seen(audit, folder):
    model = make_model()
    fit(model, watch(audit, rewriting(2)), epochs=1)  # Keras peeks at both before it delivers the first
    fit(model, watch(audit, numbers(2), "healthy"), epochs=1)
    table = table_of(folder, "train")
    assert delivered(folder, "train") == model.seen.of("train")[:1] == [[[4, 5, 6, 7], [4, 5, 6, 7]]]
    assert list(table.delivered["changed"]) == [True, False]
    assert table.produced["digest_lo"].nunique() == 2 and table.delivered["digest_lo"].nunique() == 1
    assert not table_of(folder, "healthy").delivered["changed"].any()


@pytest.mark.parametrize("workers", [{}, {"workers": 2, "use_multiprocessing": True}], ids=["serial", "fork"])
def test_class_weights_that_keras_adds_are_no_change(audit, folder, workers):
    model = make_model()
    source = watch(audit, PyTable(4, **workers))
    model.fit(source, class_weight={0: 1.0, 1: 2.0}, verbose=0, callbacks=[model.seen])
    assert delivered(folder, "train") == model.seen.of("train")
    assert not table_of(folder, "train").delivered["changed"].any()


def test_cloned_random_streams_are_found_and_healthy_ones_are_not(audit):
    model = make_model()
    fit(model, audit.wrap(NoisyPyTable(8), name="train"))
    fit(model, audit.wrap(OwnNoisePyTable(8), name="healthy"))
    found = {run.source: {finding.cause for finding in run.findings} for run in audit.report().runs}
    assert found["train"] >= {"rng-clone", "rng-epoch-reset"}
    assert found["healthy"] == set()


# -- what watching leaves alone -------------------------------------------------------------------


def test_nothing_of_keras_is_changed_after_the_audit(tmp_path):
    before = EpochIterator.__init__, PyDataset.__init__
    with ba.Audit(tmp_path):
        assert (EpochIterator.__init__, PyDataset.__init__) != before
    assert (EpochIterator.__init__, PyDataset.__init__) == before


def test_what_is_not_watched_is_left_alone(audit, folder):
    found = {}

    class Look(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            iterator = self.model._eval_epoch_iterator
            found.update(vars(iterator), iterator=type(iterator), adapter=type(iterator.data_adapter))

    model = make_model()
    val = PyTable(2, 100)
    model.fit(watch(audit, PyTable(2)), validation_data=val, verbose=0, callbacks=[model.seen, Look()])
    assert found["iterator"].__mro__[1] is EpochIterator
    assert found["adapter"] is PyDatasetAdapter
    assert not [name for name in found if "batchaudit" in name]
    assert set(ba.load(folder).events["source"]) == {"train"}


def test_a_source_goes_on_after_its_audit_with_one_warning(tmp_path):
    model = make_model()
    with ba.Audit(tmp_path) as audit:
        source = watch(audit, PyTable(4))
        fit(model, source, epochs=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(model, source, epochs=2)
    assert [len(batches) for batches in model.seen.of("train")] == [4, 4, 4]
    assert len(delivered(tmp_path, "train")) == 1
    assert len([it for it in caught if it.category is BatchauditWarning]) == 1


def test_an_audit_that_is_closed_during_a_fit(tmp_path):
    audit, model = ba.Audit(tmp_path), make_model()
    source = watch(audit, PyTable(4, workers=2))
    close = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: audit.close())
    with pytest.warns(BatchauditWarning, match="unwatched"):
        model.fit(source, epochs=3, verbose=0, callbacks=[model.seen, close])
    assert [len(batches) for batches in model.seen.of("train")] == [4, 4, 4]
    assert delivered(tmp_path, "train") == model.seen.of("train")[:1]


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_the_source_raises_is_what_comes_out(audit, wrapped):
    source = raising()
    with pytest.raises(Exception) as caught:  # TensorFlow makes an error of its own of it
        fit(make_model(), watch(audit, source) if wrapped else source, epochs=1)
    assert type(caught.value).__name__ == "InvalidArgumentError"
    assert "ValueError: the third batch is broken" in str(caught.value)


@pytest.mark.parametrize("workers", [{"workers": 0}, {"workers": 2}], ids=["serial", "threads"])
def test_nothing_of_a_fit_is_kept_longer_than_unwatched(audit, workers):
    def left_after(source):
        kept = []

        class Look(keras.callbacks.Callback):
            def on_test_begin(self, logs=None):
                iterator = self.model._eval_epoch_iterator
                kept.extend(map(weakref.ref, [iterator, iterator.data_adapter]))
                if iterator.data_adapter.enqueuer:
                    kept.append(weakref.ref(iterator.data_adapter.enqueuer))

        model = make_model()
        model.fit(PyTable(1), validation_data=source, verbose=0, callbacks=[model.seen, Look()])
        return [reference() is None for reference in kept]

    gc.collect()
    gc.disable()
    try:
        assert left_after(watch(audit, PyTable(2, **workers))) == left_after(PyTable(2, **workers))
    finally:
        gc.enable()


def test_the_source_is_free_for_another_consumer_after_the_fit(audit, folder):
    model, source = make_model(), watch(audit, PyTable(4))
    fit(model, source, epochs=2)
    assert recorder_of(source).passes.free
    mine = [sample_numbers(source[index]).tolist() for index in range(4)]
    assert delivered(folder, "train") == [*model.seen.of("train"), mine]


# -- sources that nobody has wrapped --------------------------------------------------------------


@pytest.fixture
def everything(folder):
    folder.mkdir()
    watcher = Watched(folder, 0, everything=True)
    consumers.begin(watcher)
    yield watcher
    consumers.end(watcher)
    watcher.close()


def test_what_keras_is_given_is_taken_and_named_after_its_place(everything, folder):
    model, name = make_model(), places.caller().rpartition(":")[0]
    x, y = rows(4)
    model.fit(x, y, batch_size=4, validation_data=rows(1, 100), verbose=0, callbacks=[model.seen])
    fitted = f"{name}:{this_line() - 1}"
    made = PyTable(2)
    evaluated = f"{name}:{this_line() - 1}"
    model.evaluate(made, verbose=0, callbacks=[model.seen])
    model.predict(numbers(2), verbose=0, callbacks=[model.seen])
    predicted = f"{name}:{this_line() - 1}"
    about = splits(folder)
    assert about == {
        fitted: "training",
        f"{fitted} (validation)": "validation",
        evaluated: "validation",
        predicted: "prediction",
    }
    counts = {source: table_of(folder, source).delivered.shape[0] for source in about}
    assert list(counts.values()) == [4, 1, 2, 2]


def test_both_parts_of_a_validation_split_are_taken(everything, folder):
    x, y = rows(4)
    model = make_model()
    model.fit(x, y, validation_split=0.25, batch_size=4, verbose=0, callbacks=[model.seen])
    about = splits(folder)
    assert sorted(about.values()) == ["training", "validation"]
    assert [len(table_of(folder, source).delivered) for source in about] == [3, 1]


def test_tensors_are_left_alone(everything, folder):
    import tensorflow as tf

    x, y = rows(2)
    model = make_model()
    model.fit(tf.constant(x), tf.constant(y), batch_size=4, verbose=0, callbacks=[model.seen])
    assert not list(folder.iterdir())


def splits(folder):
    return {writer["source"]: writer["about"]["split"] for writer in ba.load(folder).writers}


def this_line():
    return sys._getframe(1).f_lineno
