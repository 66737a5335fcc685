"""The pipelines of the demo, as people write them. Requires Keras 3 and tf_keras.

Each takes the folder of the images and gives a new source. They are module-level, and so are what they
return, so that they reach worker processes by every start method that their kind allows.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import keras
import numpy as np
from keras.src.legacy.preprocessing import image as keras_image
from tf_keras.preprocessing import image as tf_keras_image

from batchaudit.demo.images import BATCH_SIZE, IMAGE_SIZE, Batch, image_files, read_batch

Folder = str | os.PathLike[str]
Numbered = tuple[dict[str, np.ndarray], np.ndarray]
"""Images that say which files they came from, and labels."""

_NOISE = 0.1  # standard deviation; pixels go from 0 to 1
_SHIFT = 0.1  # of a side


# -- (a) a deterministic generator ----------------------------------------------------------------


def in_order(folder: Folder) -> Iterator[Batch]:
    """Yields the images in the order of their files, and begins again: an endless generator."""
    while True:
        yield from one_pass(folder)


def one_pass(folder: Folder) -> Iterator[Batch]:
    """Yields the images in the order of their files, once: what (e) gives to tf.data."""
    files = image_files(folder)
    for start in range(0, len(files), BATCH_SIZE):
        yield read_batch(files[start : start + BATCH_SIZE])


def in_order_locked(folder: Folder) -> Locked:
    """The same, of which one thread at a time may ask for a batch."""
    return Locked(in_order(folder))


class Locked:
    """An iterator that threads may share.

    Args:
        batches: the iterator that they may not.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._lock = threading.Lock()

    def __iter__(self) -> Locked:
        return self

    def __next__(self) -> Batch:
        with self._lock:
            return next(self._batches)


# -- (b) the same, drawing its batches with NumPy's random numbers --------------------------------


def at_random(folder: Folder) -> Iterator[Batch]:
    """Yields batches of images drawn with NumPy's global stream, endlessly."""
    files = image_files(folder)
    while True:
        yield read_batch([files[i] for i in np.random.randint(len(files), size=BATCH_SIZE)])


# -- (c) ImageDataGenerator -----------------------------------------------------------------------


def tf_keras_images(folder: Folder, seed: int | None = None) -> Any:
    """tf_keras' ImageDataGenerator flowing from the folder, shuffled and shifted: a `Sequence`."""
    return _flow(tf_keras_image, folder, seed)


def keras_images(folder: Folder, seed: int | None = None) -> Any:
    """Keras 3's ImageDataGenerator flowing from the folder, shuffled and shifted: a `PyDataset`."""
    return _flow(keras_image, folder, seed)


def images_in_generator(
    folder: Folder, seed: int | None = None, looked_at: bool = False
) -> Iterator[Numbered]:
    """A generator around tf_keras' ImageDataGenerator, which says of each image which file it is.

    Args:
        folder: where the images are.
        seed: of the ImageDataGenerator.
        looked_at: whether somebody has had a look at one batch before: its order exists from then on.

    Returns:
        An endless generator.
    """
    images = tf_keras_images(folder, seed)
    labels = np.asarray(images.classes)
    images.classes = np.arange(len(labels))  # so that it gives numbers of files for labels
    if looked_at:
        next(images)
    return _numbered(images, labels)


def _numbered(images: Any, labels: np.ndarray) -> Iterator[Numbered]:
    while True:
        batch, numbers = next(images)
        files = numbers.astype(np.int64)
        yield {"image": batch, "file": files}, labels[files]


def file_numbers(batch: Numbered) -> np.ndarray:
    """Which files the images of a batch came from: the audit's `key`."""
    return batch[0]["file"]


def _flow(module: Any, folder: Folder, seed: int | None) -> Any:
    augment = module.ImageDataGenerator(rescale=1 / 255, width_shift_range=_SHIFT, height_shift_range=_SHIFT)
    with redirect_stdout(io.StringIO()):  # it prints how many images it found
        return augment.flow_from_directory(
            os.fspath(folder),
            target_size=(IMAGE_SIZE, IMAGE_SIZE),
            color_mode="grayscale",
            class_mode="sparse",
            batch_size=BATCH_SIZE,
            shuffle=True,
            seed=seed,
        )


# -- (d) a Keras 3 PyDataset ----------------------------------------------------------------------


class Noisy(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches in the order of the files, with noise from NumPy's global stream.

    Args:
        folder: where the images are.
    """

    def __init__(self, folder: Folder) -> None:
        super().__init__()
        self.files = image_files(folder)

    def __len__(self) -> int:
        return len(self.files) // BATCH_SIZE

    def __getitem__(self, index: int) -> Numbered:
        files = np.arange(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        images, labels = read_batch([self.files[number] for number in files])
        return {"image": images + self.noise(index, images.shape), "file": files}, labels

    def noise(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """The noise of one batch: float32 of the given shape."""
        return np.random.normal(0, _NOISE, shape).astype(np.float32)


class NoisyByIndex(Noisy):
    """The same, with noise from a generator that is seeded by the epoch and the index of the batch."""

    epoch = 0

    def noise(self, index: int, shape: tuple[int, ...]) -> np.ndarray:
        """The noise of one batch, whichever worker makes it."""
        rng = np.random.default_rng([7, self.epoch, index])
        return rng.normal(0, _NOISE, shape).astype(np.float32)

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch."""
        self.epoch += 1
