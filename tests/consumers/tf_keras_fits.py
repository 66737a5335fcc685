"""Models that keep what they are given, and sources at module level, so that spawned workers can import them."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
import tf_keras

ROWS = 4


def numbered(number, base=0):
    """Batch `number` of a stream in which every batch says which it is."""
    x = np.full((ROWS, 3), base + number, np.float32)
    return x, x[:, :1]


class Table(tf_keras.utils.Sequence):
    """Batches that say which they are."""

    def __init__(self, count=6, base=0):
        self.count, self.base = count, base

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return numbered(index, self.base)


def stream(count=10_000, base=0):
    for number in range(count):
        yield numbered(number, base)


def stream_of_two(meeting):
    """The stream of two workers, neither of which makes a batch while the other makes none: both share the work.

    Args:
        meeting: a `multiprocessing.Barrier` of two that both inherit; the parent's peek waits for nobody.
    """
    parent = os.getpid()
    for item in stream():
        if os.getpid() != parent:
            meeting.wait()
        yield item


def dataset(count=6, base=0):
    x = np.repeat(np.arange(base, base + count, dtype=np.float32), ROWS)[:, None] * np.ones(3, np.float32)
    return tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(ROWS)


class Recording(tf_keras.Model):
    """A model that keeps which batches its steps were given, in the order in which they were."""

    def __init__(self):
        super().__init__()
        self.dense = tf_keras.layers.Dense(1, kernel_initializer="ones")
        self.given = {"fit": [], "evaluate": [], "predict": []}

    def call(self, x):
        return self.dense(x * 1e-3)

    def _keep(self, what, x):
        kept = tf.py_function(lambda value: self.given[what].append(int(value)), [x[0, 0]], [])
        with tf.control_dependencies([kept]):
            return tf.identity(x)

    def train_step(self, data):
        x, y, *_ = data
        return super().train_step((self._keep("fit", x), y))

    def test_step(self, data):
        x, y, *_ = data
        return super().test_step((self._keep("evaluate", x), y))

    def predict_step(self, data):
        x = data[0] if isinstance(data, tuple) else data
        return super().predict_step(self._keep("predict", x))


def model():
    made = Recording()
    made.compile("sgd", "mse")
    return made
