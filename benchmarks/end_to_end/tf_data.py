"""Keras 3: `fit` on a `tf.data` pipeline that shuffles, augments in parallel, batches and prefetches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from benchmarks.end_to_end import trainings
from benchmarks.end_to_end.stored import BATCH, Array, images_of_96, small_network
from benchmarks.lines import Line
from benchmarks.measure import Effort


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    batches, epochs = effort.amount(48, 2), effort.amount(2, 1)
    stored, model = images_of_96(batches), small_network()
    training = trainings.Training(
        "fit on a tf.data pipeline, 32x96x96x3",
        epochs * batches,
        lambda: _pipeline(*stored),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)


def _pipeline(images: Array, labels: Array) -> Any:
    def augmented(image: Any, label: Any) -> tuple[Any, Any]:
        return tf.image.random_flip_left_right(tf.image.random_brightness(image, 0.2)), label

    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images))
    return dataset.map(augmented, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)
