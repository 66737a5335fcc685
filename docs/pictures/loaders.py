"""The loaders of the documentation's pictures: real images, sick and repaired."""

import time

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
BATCHES, BATCH, A_MOMENT = 32, 32, 0.01
"""A moment is as long as reading 32 images takes."""


def images_of(index):
    """The images and labels of one batch."""
    time.sleep(A_MOMENT)
    rows = slice(BATCH * index, BATCH * (index + 1))
    return digits.images[rows], digits.target[rows]


def a_generator():
    """Sick with worker processes: each of them walks all of it."""
    while True:
        for index in range(BATCHES):
            yield images_of(index)


class Digits:
    """The repair: batches that can be asked for by index, so that workers can share them out."""

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        return images_of(index)


class Noise(Digits):
    """Sick with forked workers that nobody seeds: all of them have a copy of one random state."""

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images + np.random.normal(size=images.shape), labels
