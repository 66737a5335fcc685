"""The frameworks alone: what a model, or a loop, is really given. It knows nothing of batchaudit.

The same trainings run inside the live audits of the cases, so that both see one thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

Epochs = list[list[np.ndarray]]


def fit(framework: Any, source: Any, *, epochs: int = 3, steps: int | None = None, **options: Any) -> Epochs:
    """Trains a small model that keeps what its steps are given.

    Args:
        framework: the module `keras` (Keras 3) or `tf_keras`.
        source: what is trained on: batches (images, labels).
        epochs: how many.
        steps: `steps_per_epoch`.
        **options: further arguments of `fit`.

    Returns:
        The images of each batch of each epoch.
    """
    given: Epochs = []

    class Recording(framework.Sequential):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            given[-1].append(np.array(data[0]))
            return super().train_step(data)

    class Epoch(framework.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            given.append([])

    model = Recording([framework.layers.Flatten(), framework.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(source, epochs=epochs, steps_per_epoch=steps, verbose=0, callbacks=[Epoch()], **options)
    return given


def loop(source: Iterable[Any], *, epochs: int = 3, steps: int | None = None) -> Epochs:
    """A loop of one's own over an iterable: what it is given in each epoch.

    Args:
        source: batches (images, labels), or images.
        epochs: how many.
        steps: where each epoch ends; None for where the source does.
    """
    given: Epochs = []
    for _ in range(epochs):
        given.append([])
        for batch in source:
            given[-1].append(np.array(batch[0] if isinstance(batch, tuple) else batch))
            if len(given[-1]) == steps:
                break
    return given
