"""What every strategy is given: where sources come from, how many epochs to drive, who gets the batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.errors import BatchauditError, UsageError, WorkerError
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind

Stream = Generator[tuple[int, Any], None, None]
"""Yields (ticket of the produced batch or 0, batch)."""

MOST_BATCHES, MOST_SECONDS = 10_000, 60.0
"""Where no epoch length is given or known, a pass of more is taken for an endless one."""


class Skip(BatchauditError):  # noqa: N818 - it is no error of anybody's
    """A strategy cannot run this source; the message is the reason."""


@dataclass
class Job:
    """One source to be driven by one strategy.

    Attributes:
        make: gives a watched source: a new one at each call where `renewable`, else always the same.
        recorder: notes what is produced and delivered.
        epochs: how many epochs to drive.
        steps_per_epoch: batches of an epoch; None for the source's own length.
        timeout: seconds without a batch after which the workers are given up.
        renewable: whether an exhausted source can be made anew.
        sized: whether the source says how long it is.
        on_batch: told the epoch and step of each delivered batch.
        until: when to give up, by `time.monotonic()`; None for never.
        begin: the number of the first epoch.
        anew: whether each epoch begins a new pass, although the one before is not at its end.
        plain: as `make`, but gives a source that is not watched; for probes.
    """

    make: Callable[[], Any]
    recorder: Recorder
    epochs: int
    steps_per_epoch: int | None = None
    timeout: float = 120.0
    renewable: bool = False
    sized: bool = False
    on_batch: Callable[[int, int], None] = lambda epoch, step: None
    until: float | None = None
    begin: int = 0
    anew: bool = False
    plain: Callable[[], Any] = lambda: None

    def in_fits(self, source: Any, fit: Callable[[Any, range], None]) -> None:
        """Drives all epochs as calls of a framework's `fit` would.

        Args:
            source: the first source.
            fit: drives epochs over a source. An iterator of unknown length cannot start over, so each
                pass over one is a `fit` of its own, on a new source.
        """
        if kind_of(source) is not Kind.ITERATOR or self.steps_per_epoch is not None:
            fit(source, range(self.epochs))
            return
        for epoch in range(self.epochs if self.renewable else 1):
            fit(source if epoch == 0 else self.make(), range(epoch, epoch + 1))

    def deliver(self, batch: object, epoch: int, step: int, ticket: int = 0) -> None:
        """Hands one batch to the consumer: the audit itself.

        Raises:
            WorkerError: the time for this is over.
        """
        if self.until is not None and time.monotonic() > self.until:
            raise WorkerError("the time for it was over")
        self.recorder.deliver(batch, epoch=self.begin + epoch, step=step, ticket=ticket)
        self.on_batch(epoch, step)

    def consume(self, open_stream: Callable[[], Stream]) -> None:
        """Drives all epochs over a stream that goes on across them and is opened anew when it has ended.

        Args:
            open_stream: opens one; called again when a pass is over.

        Raises:
            UsageError: the first pass yields nothing, or does not end and no `steps_per_epoch` is given.
        """
        stream: Stream | None = None
        try:
            for epoch in range(self.epochs):
                stream = stream or open_stream()
                step = self._epoch(stream, epoch)
                if step == 0 and epoch > 0:  # the pass ended with the last epoch
                    stream.close()
                    stream = open_stream()
                    step = self._epoch(stream, epoch)
                if step == 0:
                    if epoch == 0:
                        raise UsageError("the source yields no batch at all.")
                    return
                if self.anew or step != self.steps_per_epoch:
                    stream.close()
                    stream = None
        finally:
            if stream is not None:
                stream.close()

    def _epoch(self, stream: Stream, epoch: int) -> int:
        step, began = 0, time.monotonic()
        while step != self.steps_per_epoch:
            try:
                ticket, batch = next(stream)
            except StopIteration:
                break
            self.deliver(batch, epoch, step, ticket)
            del batch
            step += 1
            self.check_length(step, time.monotonic() - began)
        return step

    def check_length(self, step: int, seconds: float = 0.0) -> None:
        """Refuses to follow a pass without an end.

        Args:
            step: batches delivered in this epoch.
            seconds: for how long.

        Raises:
            UsageError: no length of the epoch is given or known, and it is longer than `MOST_BATCHES` or
                `MOST_SECONDS`.
        """
        if self.steps_per_epoch is not None or self.sized:
            return
        if step >= MOST_BATCHES or seconds > MOST_SECONDS:
            raise UsageError(
                f"still yielding after {step:,} batches and {seconds:.0f} s: give an endless or long source "
                "the length of its epoch (steps_per_epoch=, or --steps-per-epoch on the command line)."
            )
