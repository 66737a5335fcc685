"""The callback for Keras 3, tf_keras, or both. Neither is imported here: they come as base classes."""

from __future__ import annotations

from functools import cache
from typing import Any

from batchaudit.callbacks.watch import EpochWatch


@cache
def callback_class(bases: tuple[type, ...]) -> Any:
    """Makes the class.

    Args:
        bases: `Callback` of each Keras that is loaded, Keras 3 first: its `model` cannot be set from outside,
            so that it must be the one whose `__init__` runs.

    Returns:
        A class to be made with an `EpochWatch` and the name of the framework. It has no hook for batches, so
        that Keras goes on skipping those.
    """

    class AuditCallback(*bases):  # type: ignore[misc]
        """Writes the audit's figures into the logs of each epoch."""

        # To tf_keras: it never turns a tensor of the logs into a number, so that nobody must for its sake.
        _supports_tf_logs = True
        _chief_worker_only = None
        validation_data = None

        def __init__(self, watch: EpochWatch, framework: str) -> None:
            super().__init__()
            self._supports_tf_logs = True
            self._watch = watch
            self._framework = framework

        def __reduce__(self) -> tuple[Any, ...]:
            from batchaudit.callbacks import make

            return make, (self._watch.folder, self._watch.attempt, self._framework, self._watch.on_finding)

        def set_model(self, model: Any) -> None:
            super().set_model(model)
            self._trained = model  # with JAX, to ask Keras 3 for `model` copies the state out of the training

        def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
            self._watch.begin()

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            figures = self._watch.end_epoch(epoch)
            if logs is not None:
                logs.update(figures)  # one dictionary for all callbacks
            _catch_up(getattr(self._trained, "history", None), epoch, figures)

        def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
            self._watch.end()

    return AuditCallback


def _catch_up(history: Any, epoch: int, figures: dict[str, float]) -> None:
    """Gives the figures to a `History` that stands before this callback and has read the logs already."""
    if getattr(history, "epoch", [])[-1:] == [epoch]:
        for name, value in figures.items():
            history.history.setdefault(name, []).append(value)
