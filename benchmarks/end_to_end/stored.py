"""What the trainings with Keras share: stored images, who gives them out in batches, a network for them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

BATCH = 32

Array = np.ndarray[Any, Any]


class Stored(keras.utils.PyDataset):  # type: ignore[misc]
    """Stored images with their labels; a subclass says what it makes of those of a batch."""

    def __init__(self, images: Array, labels: Array) -> None:
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images) // BATCH

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.augmented(self.images[rows]), self.labels[rows]

    def augmented(self, images: Array) -> Array:
        """The images of a batch, as they are given out."""
        raise NotImplementedError


def images_of_96(batches: int) -> tuple[Array, Array]:
    """Random images of 96x96x3 and labels, for so many batches."""
    draw = np.random.default_rng(0)
    images = draw.random((batches * BATCH, 96, 96, 3), np.float32)
    return images, draw.integers(0, 10, len(images))


def small_network() -> Any:
    """A convolutional network for images, compiled."""
    layers = keras.layers
    return compiled(
        [
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def compiled(layers: list[Any]) -> Any:
    """A network that tells ten classes apart."""
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
