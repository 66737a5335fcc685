"""Which epoch and step a batch has for the one who consumes it."""

from __future__ import annotations

import os
from typing import Any


class Pass:
    """One pass of a consumer over a source.

    Args:
        passes: counts the epochs of all passes.
        one_epoch: whether the pass is one epoch, however long, because its consumer says where that ends.
    """

    __slots__ = ("_epoch", "_passes", "_seen", "_step", "_steps")

    def __init__(self, passes: Passes, *, one_epoch: bool = False) -> None:
        self._passes = passes
        self._steps = None if one_epoch else passes.steps_per_epoch
        self._epoch = passes.next_epoch()
        self._step = 0
        self._seen: set[int] = set()

    @property
    def epoch(self) -> int:
        """The epoch of the batch that was taken last."""
        return self._epoch

    @property
    def taken(self) -> int:
        """How many batches of this epoch were taken."""
        return self._step

    def take(self, index: int = -1) -> tuple[int, int]:
        """Counts one batch.

        Args:
            index: its number, where it was asked for by number: one that comes again begins a new epoch.

        Returns:
            Its epoch and its step.
        """
        if self._step == self._steps or index in self._seen:
            self._epoch, self._step = self._passes.next_epoch(), 0
            self._seen.clear()
        if index >= 0:
            self._seen.add(index)
        self._step += 1
        return self._epoch, self._step - 1


class Passes:
    """Counts the passes over one source; the process that made it is the one that consumes.

    Args:
        steps_per_epoch: batches of an epoch, for a pass without an end; None where a pass is an epoch.
    """

    def __init__(self, steps_per_epoch: int | None = None) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.owners = 0
        self._epochs = 0
        self._process = os.getpid()

    def next_epoch(self) -> int:
        """The number of an epoch that begins now."""
        self._epochs += 1
        return self._epochs - 1

    @property
    def free(self) -> bool:
        """Whether no framework has taken it upon itself to say what was delivered."""
        return self.owners <= 0

    @property
    def here(self) -> bool:
        """Whether what is made in this process is also consumed in it, by whoever asks for it."""
        return self.free and self._process == os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        # What another process makes of a source that it was sent goes on to somebody else.
        return _elsewhere, (self.steps_per_epoch,)


def _elsewhere(steps_per_epoch: int | None) -> Passes:
    passes = Passes(steps_per_epoch)
    passes._process = -1
    return passes
