"""Keras 3: `fit` on a `tf.data` pipeline that shuffles, augments in parallel, batches and prefetches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.end_to_end import trainings
from benchmarks.end_to_end.keras_images import small_network
from benchmarks.lines import Line
from benchmarks.measure import Effort

_BATCH = 32


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    draw = np.random.default_rng(0)
    batches, epochs = effort.amount(48, 2), effort.amount(2, 1)
    images = draw.random((batches * _BATCH, 96, 96, 3), np.float32)
    labels = draw.integers(0, 10, len(images))
    model = small_network()
    training = trainings.Training(
        "fit on a tf.data pipeline, 32x96x96x3",
        epochs * batches,
        lambda: _pipeline(images, labels),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)


def _pipeline(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Any:
    def augmented(image: Any, label: Any) -> tuple[Any, Any]:
        return tf.image.random_flip_left_right(tf.image.random_brightness(image, 0.2)), label

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images))
    return (
        dataset.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH).prefetch(tf.data.AUTOTUNE)
    )
