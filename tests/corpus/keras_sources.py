"""Sequences and PyDatasets with real pictures, and fits of them with worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tf_keras

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.pictures import (
    A_MOMENT,
    BATCHES,
    Batch,
    pictures,
)
from tests.corpus.runs import trained

PROCESSES = {"workers": 4, "use_multiprocessing": True}


class Pictures:
    """The batches of a Sequence or PyDataset; what is made of each is left to `augmented`."""

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        time.sleep(A_MOMENT)
        images, labels = pictures(index)
        return self.augmented(images, index), labels

    def augmented(self, images: np.ndarray, index: int) -> np.ndarray:
        return images


class PicturesOfKeras(Pictures, keras.utils.PyDataset):
    """The Keras 3 form; it keeps its own settings of workers."""


class PicturesOfTfKeras(Pictures, tf_keras.utils.Sequence):
    """The tf_keras form; workers are arguments of `fit`."""


def fit_processes(source: Any, epochs: int = 3) -> bare.Epochs:
    """What a model is given by four worker processes."""
    if isinstance(source, keras.utils.PyDataset):
        source.workers, source.use_multiprocessing = 4, True
        return bare.fit(keras, source, epochs=epochs)
    return bare.fit(tf_keras, source, epochs=epochs, steps=BATCHES, **PROCESSES)


def live(make: Callable[[], Any]) -> ba.Report:
    def train(audit: ba.Audit) -> None:
        fit_processes(audit.wrap(make(), name="train"))

    return trained(train)
