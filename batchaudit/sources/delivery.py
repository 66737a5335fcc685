"""One iterator's batches as their consumer takes them, where they were made somewhere else."""

from __future__ import annotations

from typing import Any

from batchaudit.capture.passes import Pass
from batchaudit.capture.recorder import EXHAUSTED, Recorder


class Delivery:
    """Notes what one iterator hands on, unless a framework's own hooks do.

    Args:
        recorder: the source's.
    """

    __slots__ = ("_pass", "_recorder")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._pass: Pass | None = None

    def hand_on(self, batch: Any, ticket: int, waited_ns: int) -> None:
        """Notes a batch that is about to be handed to whoever asked for it.

        Args:
            batch: the batch.
            ticket: of the record of its making; 0 where that is not known.
            waited_ns: for how long the consumer waited for it, nanoseconds.
        """
        recorder = self._recorder
        if recorder.off():
            return
        passes = recorder.passes
        if passes is None or not recorder.asked_by_consumer:
            recorder.hand_on(ticket)
            return
        self._pass = self._pass or Pass(passes)
        epoch, step = self._pass.take()
        recorder.deliver(batch, epoch=epoch, step=step, ticket=ticket, waited_ns=waited_ns)

    def end(self) -> None:
        """The iterator has come to its end."""
        ended, self._pass = self._pass, None
        if ended is not None:
            self._recorder.hook(EXHAUSTED, epoch=ended.epoch, step=ended.taken)
