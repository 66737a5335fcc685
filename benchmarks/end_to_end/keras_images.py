"""Keras 3: `fit` on batches of 32x96x96x3, flipped and brightened anew in each epoch by a `PyDataset`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.end_to_end import trainings
from benchmarks.end_to_end.stored import BATCH, Array, Stored, images_of_96, small_network
from benchmarks.lines import Line
from benchmarks.measure import Effort


class Images(Stored):
    """Stored images, half of them flipped, all of them brighter or darker."""

    def augmented(self, images: Array) -> Array:
        images = images * np.random.uniform(0.8, 1.2, (BATCH, 1, 1, 1)).astype(np.float32)
        flipped = np.random.rand(BATCH) < 0.5
        images[flipped] = images[flipped, :, ::-1]
        return images


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    batches, epochs = effort.amount(48, 2), effort.amount(2, 1)
    stored, model = images_of_96(batches), small_network()
    training = trainings.Training(
        "fit on 32x96x96x3",
        epochs * batches,
        lambda: Images(*stored),
        lambda source: model.fit(source, epochs=epochs, verbose=0),
    )
    yield from trainings.lines(training, effort)
