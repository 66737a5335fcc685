"""Trains on real images with Keras 3 and says whether the batches were what they should be.

Run it as it is, or without batchaudit in it under `batchaudit run`.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits

import batchaudit as ba


class Digits(keras.utils.PyDataset):
    """Handwritten digits, shifted by up to a pixel, drawn from the epoch and the index of the batch."""

    def __init__(self, images, labels, batch_size=32, augment=False, **settings):
        super().__init__(**settings)
        self.images, self.labels = images, labels
        self.batch_size, self.augment = batch_size, augment
        self.epoch = 0

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        images = self.images[rows]
        if self.augment:
            # Not from np.random: every worker process would have a copy of its state.
            rng = np.random.default_rng([self.epoch, index])
            images = np.stack([np.roll(image, rng.integers(-1, 2, 2), (0, 1)) for image in images])
        return images, self.labels[rows]

    def on_epoch_end(self):
        self.epoch += 1


def main(folder="runs/digits-keras"):
    """Trains for three epochs and prints accuracy and report."""
    keras.utils.set_random_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    train = Digits(images[:1280], labels[:1280], augment=True, workers=2, use_multiprocessing=True)
    val = Digits(images[1280:], labels[1280:])

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])

    with ba.Audit(folder) as audit:
        history = model.fit(
            audit.wrap(train, name="train"),
            validation_data=audit.wrap(val, name="val"),
            epochs=3,
            callbacks=[audit.callback(on_finding="raise")],
            verbose=0,
        )
    print("accuracy", [round(value, 3) for value in history.history["val_accuracy"]])
    print("different batches", history.history["audit/effective_ratio"])
    print(audit.report())


if __name__ == "__main__":
    main(*sys.argv[1:])
