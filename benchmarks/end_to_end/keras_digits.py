"""Keras 3: `fit` on scikit-learn's images of digits, shifted anew in each epoch by a `PyDataset`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

from benchmarks.end_to_end import trainings
from benchmarks.end_to_end.stored import BATCH, Array, Stored, compiled
from benchmarks.lines import Line
from benchmarks.measure import Effort


class Digits(Stored):
    """The images, each shifted by up to a pixel and with some noise."""

    def augmented(self, images: Array) -> Array:
        shifts = np.random.randint(-1, 2, (BATCH, 2))
        images = np.stack(
            [np.roll(image, shift, (0, 1)) for image, shift in zip(images, shifts, strict=True)]
        )
        return images + np.random.normal(0, 0.1, images.shape).astype(np.float32)


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    model = _model()
    epochs = effort.amount(6, 1)
    training = trainings.Training(
        "fit on the digits images",
        epochs * (len(images) // BATCH),
        lambda: Digits(images, labels),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)


def _model() -> Any:
    layers = keras.layers
    return compiled(
        [
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
