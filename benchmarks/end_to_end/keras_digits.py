"""Keras 3: `fit` on scikit-learn's images of digits, shifted anew in each epoch by a `PyDataset`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_digits

from benchmarks.end_to_end import trainings
from benchmarks.lines import Line
from benchmarks.measure import Effort

_BATCH = 32


class Digits(keras.utils.PyDataset):  # type: ignore[misc]
    """The images, each shifted by up to a pixel and with some noise."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images) // _BATCH

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        rows = slice(index * _BATCH, (index + 1) * _BATCH)
        shifts = np.random.randint(-1, 2, (_BATCH, 2))
        images = np.stack(
            [np.roll(image, shift, (0, 1)) for image, shift in zip(self.images[rows], shifts, strict=True)]
        )
        return images + np.random.normal(0, 0.1, images.shape).astype(np.float32), self.labels[rows]


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    model = _model()
    epochs = effort.amount(6, 1)
    training = trainings.Training(
        "fit on the digits images",
        epochs * (len(images) // _BATCH),
        lambda: Digits(images, labels),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)


def _model() -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
