"""Fits of Keras 3 whose model records what it is given; also a program, for one backend a process.

    KERAS_BACKEND=torch python -m tests.consumers.keras_fits FOLDER KIND,KIND,...

prints what the model was given, watched and not, and its weights as one JSON document. Every sample's first
number says which sample it is.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys

import keras
import numpy as np

import batchaudit as ba
from batchaudit.analysis.tables import tables
from tests.loaders import batch, endless, numbers

SIZE = 4


class PyTable(keras.utils.PyDataset):
    """Batch i of a stream in which no sample is repeated."""

    def __init__(self, count=8, first=0, **options):
        super().__init__(**options)
        self.count, self.first = count, first

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return batch(self.first + index)


class SharedPyTable(PyTable):
    """Its two worker processes share the work evenly, however fast each of them is."""

    def __init__(self, *args, **options):
        super().__init__(*args, workers=2, use_multiprocessing=True, **options)
        self.both = multiprocessing.Barrier(2, timeout=60)

    def __getitem__(self, index):
        if multiprocessing.parent_process() is not None:
            self.both.wait()
        return super().__getitem__(index)


class NoisyPyTable(SharedPyTable):
    """It draws from NumPy's global stream."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        x[:, 2] = np.random.normal(size=len(x))
        return x, y


class OwnNoisePyTable(SharedPyTable):
    """Its noise is bound to the batch and the epoch, whoever makes it."""

    epoch = 0

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        x[:, 2] = np.random.default_rng((self.epoch, index)).normal(size=len(x))
        return x, y

    def on_epoch_end(self):
        self.epoch += 1


def rewriting(count):
    """A generator that has one buffer for all batches."""
    x, y = batch(0)
    for number in range(count):
        x[:], y[:] = batch(number)
        yield x, y


def rows(count=8, first=0):
    """(x, y) of so many batches, whole."""
    parts = [batch(first + number) for number in range(count)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def tf_dataset(count=8, first=0):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(rows(count, first)).shuffle(8, seed=3).batch(SIZE).prefetch(2)


def data_loader(count=8, first=0, workers=0):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y = rows(count, first)
    return DataLoader(
        TensorDataset(torch.tensor(x), torch.tensor(y)),
        batch_size=SIZE,
        shuffle=True,
        num_workers=workers,
        generator=torch.Generator().manual_seed(3),
    )


SOURCES = {
    "dataset": lambda: PyTable(workers=0),
    "threads": lambda: PyTable(workers=2),
    "processes": lambda: PyTable(workers=2, use_multiprocessing=True),
    "finite": lambda: numbers(8),
    "endless": endless,
    "tf.data": tf_dataset,
    "arrays": rows,
    "loader": data_loader,
    "loader:2": lambda: data_loader(workers=2),
}
STEPS = {"endless": 3}
VALIDATION = {
    "dataset": lambda: tf_dataset(2, 100) if keras.backend.backend() == "tensorflow" else PyTable(2, 100),
    "threads": lambda: PyTable(2, 100, workers=2),
    "processes": lambda: rows(2, 100),
    "finite": lambda: PyTable(2, 100),
    "endless": lambda: PyTable(2, 100, workers=1, use_multiprocessing=True),
    "tf.data": lambda: rows(2, 100),
    "arrays": lambda: rows(2, 100),
    "loader": lambda: PyTable(2, 100),
    "loader:2": lambda: PyTable(2, 100),
}


def sample_numbers(given):
    """Which samples a batch holds."""
    x = given[0] if isinstance(given, (tuple, list)) else given
    return np.asarray(x)[:, 0].astype(np.int64)


class Seen(keras.callbacks.Callback):
    """What a model was given: [kind of pass, [samples of each batch]] of each pass."""

    def __init__(self):
        super().__init__()
        self.passes = []

    def on_epoch_begin(self, epoch, logs=None):
        self.passes.append(["train", []])

    def on_test_begin(self, logs=None):
        self.passes.append(["test", []])

    def on_predict_begin(self, logs=None):
        self.passes.append(["predict", []])

    def note(self, x):
        self.passes[-1][1].append([int(number) for number in np.asarray(x)[:, 0]])

    def of(self, kind):
        return [batches for its, batches in self.passes if its == kind]


class Model(keras.Sequential):
    """It says to `seen` what each of its steps is given."""

    seen = None

    def _note(self, data):
        x = data[0] if isinstance(data, (tuple, list)) else data
        if keras.backend.backend() != "tensorflow":
            self.seen.note(x)
            return
        import tensorflow as tf

        tf.py_function(lambda it: self.seen.note(it.numpy()), [x], [])

    def train_step(self, *args):
        self._note(args[-1])
        return super().train_step(*args)

    def test_step(self, *args):
        self._note(args[-1])
        return super().test_step(*args)

    def predict_step(self, *args):
        self._note(args[-1])
        return super().predict_step(*args)


def make_model(built=False, **options):
    """A model that records; `model.seen` has to be among the callbacks."""
    keras.utils.set_random_seed(5)
    model = Model(([keras.Input((3,))] if built else []) + [keras.layers.Dense(2), keras.layers.Dense(1)])
    eager = keras.backend.backend() != "tensorflow"
    model.compile("sgd", "mse", **{"jit_compile": False, "run_eagerly": eager, **options})
    model.optimizer.learning_rate = 1e-6
    model.seen = Seen()
    return model


def fit(model, source, *, validation=None, epochs=3, **options):
    """`model.fit` of a source or of arrays (x, y)."""
    given = (
        {"x": source[0], "y": source[1], "batch_size": SIZE} if isinstance(source, tuple) else {"x": source}
    )
    return model.fit(
        **given, validation_data=validation, epochs=epochs, verbose=0, callbacks=[model.seen], **options
    )


def weights(model):
    return [weight.tobytes().hex() for weight in model.get_weights()]


def delivered(folder, source):
    """What the audit says that was delivered: the samples of each batch of each epoch."""
    table = table_of(folder, source)
    ids = table.samples.dropna(subset=["id"]).groupby("event")["id"].apply(list)
    return [
        [[int(it) for it in ids[row]] for row in epoch.index] for _, epoch in table.delivered.groupby("epoch")
    ]


def table_of(folder, source):
    log = ba.load(folder)
    events = log.events[log.events["source"] == source]
    return tables(events, log.samples[log.samples["event"].isin(events.index)])


def run(folder, kind, watched=True, **options):
    """Three epochs of a source of a kind and its validation.

    Returns:
        The model.
    """
    model = make_model(**options)
    train, val = SOURCES[kind](), VALIDATION[kind]()
    if not watched:
        fit(model, train, validation=val, steps_per_epoch=STEPS.get(kind))
        return model
    with ba.Audit(folder) as audit:
        train = audit.wrap(train, name="train", key=sample_numbers)
        val = audit.wrap(val, name="val", key=sample_numbers)
        fit(model, train, validation=val, steps_per_epoch=STEPS.get(kind))
    return model


def predict(folder, source, watched):
    """Two predictions, the first by a model that is not built."""
    model = make_model()
    with ba.Audit(folder) if watched else contextlib.nullcontext() as audit:
        source = audit.wrap(source, name="train", key=sample_numbers) if watched else source
        for _ in range(2):
            model.predict(source, steps=2, verbose=0, callbacks=[model.seen])
    return model


def main(folder, kinds):
    found = {}
    for kind in kinds.split(","):
        for watched in (True, False):
            place = os.path.join(folder, kind.replace(":", ""))
            if kind.startswith("predict"):
                model = predict(place, endless() if kind.endswith("generator") else PyTable(4), watched)
            else:
                model = run(place, kind, watched)
            seen = {phase: model.seen.of(phase) for phase in ("train", "test", "predict")}
            found.setdefault(kind, []).append({**seen, "weights": weights(model)})
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
