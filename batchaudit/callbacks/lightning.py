"""The callback for Lightning, of either package. Neither is imported here: they come as base classes."""

from __future__ import annotations

from functools import cache
from typing import Any

from batchaudit.callbacks.watch import EpochWatch


@cache
def callback_class(bases: tuple[type, ...]) -> Any:
    """Makes the class.

    Args:
        bases: `Callback` of `lightning.pytorch`, of `pytorch_lightning`, or both.

    Returns:
        A class to be made with an `EpochWatch` and the name of the framework. It acts in the process of rank
        zero alone and keeps nothing in checkpoints.
    """

    class AuditCallback(*bases):  # type: ignore[misc]
        """Logs the audit's figures at the end of each training epoch."""

        def __init__(self, watch: EpochWatch, framework: str) -> None:
            super().__init__()
            self._watch = watch
            self._framework = framework

        def __reduce__(self) -> tuple[Any, ...]:
            from batchaudit.callbacks import make

            return make, (self._watch.folder, self._watch.attempt, self._framework, self._watch.on_finding)

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            # Before the loaders are made, whose first batches may be drawn ahead.
            if trainer.is_global_zero:
                self._watch.begin()

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.is_global_zero:
                return
            figures = self._watch.end_epoch(trainer.current_epoch)
            # One value an epoch: no batch has to be looked at for its size. With `rank_zero_only` no rank
            # waits for another; `sync_dist` only keeps Lightning from advising it.
            pl_module.log_dict(
                figures, on_step=False, on_epoch=True, batch_size=1, sync_dist=True, rank_zero_only=True
            )

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            self._watch.end()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self._watch.end()

    return AuditCallback
