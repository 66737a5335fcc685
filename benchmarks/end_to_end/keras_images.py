"""Keras 3: `fit` on batches of 32x96x96x3, flipped and brightened anew in each epoch by a `PyDataset`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from benchmarks.end_to_end import trainings
from benchmarks.lines import Line
from benchmarks.measure import Effort

_BATCH = 32


class Images(keras.utils.PyDataset):  # type: ignore[misc]
    """Stored images, half of them flipped, all of them brighter or darker."""

    def __init__(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images) // _BATCH

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        rows = slice(index * _BATCH, (index + 1) * _BATCH)
        images = self.images[rows] * np.random.uniform(0.8, 1.2, (_BATCH, 1, 1, 1)).astype(np.float32)
        flipped = np.random.rand(_BATCH) < 0.5
        images[flipped] = images[flipped, :, ::-1]
        return images, self.labels[rows]


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    draw = np.random.default_rng(0)
    batches, epochs = effort.amount(48, 2), effort.amount(2, 1)
    images = draw.random((batches * _BATCH, 96, 96, 3), np.float32)
    labels = draw.integers(0, 10, len(images))
    model = small_network()
    training = trainings.Training(
        "fit on 32x96x96x3",
        epochs * batches,
        lambda: Images(images, labels),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)


def small_network() -> Any:
    """A convolutional network for images, compiled."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
