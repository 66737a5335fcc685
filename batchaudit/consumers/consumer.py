"""What the hooks of all frameworks share: from a framework's iteration to records of what was delivered."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.consumers.transit import Transit


class Consumer:
    """One `fit`, `evaluate` or `predict` over one watched source.

    While it is there the source's own wrapper leaves it to say what was delivered.

    Args:
        recorder: the source's, of a live audit.
        makes: whether the source's wrapper sees the batches being made; False where the consumer's side is
            the first place at which one is seen (arrays, datasets).
    """

    def __init__(self, recorder: Recorder, *, makes: bool) -> None:
        self._claimed = False
        assert recorder.passes is not None, "only the sources of a live audit have a consumer"
        self.recorder = recorder
        self.transit = Transit(recorder)
        self.building = False
        """Whether the framework only wants to know the shapes: it trains on nothing it takes now."""
        self.peeking = True
        """Whether the framework is being set up: it will replay what it takes now."""
        self._makes = makes
        self._passes = recorder.passes
        self._epoch = -1
        self._step = 0
        self._ended = True
        self._look = -1
        recorder.claim()
        self._claimed = True

    def release(self) -> None:
        """The framework is done with the source; may be called again."""
        if self._claimed:
            self._claimed = False
            self.recorder.release()

    def __del__(self) -> None:
        self.release()

    def begin_epoch(self) -> None:
        """An epoch of the framework begins."""
        self._epoch = self._passes.next_epoch() if self._look < 0 else self._look
        self._look, self._step, self._ended = -1, 0, False
        if not self.recorder.off():
            self.recorder.hook("epoch", epoch=self._epoch)

    def end_epoch(self) -> None:
        """The framework has come to the end of an epoch."""
        self._ended = True

    def start_over(self) -> None:
        """The framework is about to start over, for which it may have left the epoch that it was in.

        If it took no more than one batch of that epoch, it wanted to know the shapes: the next epoch takes
        its number and its place.
        """
        if not self._ended and self._step <= 1:
            self._look = self._epoch
        self._ended = True

    def deliver(self, batch: Any, waited_ns: int = 0) -> None:
        """Notes a batch that the framework hands to the model.

        Args:
            batch: the batch.
            waited_ns: for how long the framework waited for it, nanoseconds.
        """
        ticket = self.transit.take() or self.recorder.take_ticket()
        if self.recorder.is_off:  # no warning: it may be TensorFlow's thread that draws ahead after the end
            return
        probe = self.building or self._epoch < 0
        epoch, step = (-1, -1) if probe else (self._epoch, self._step)
        if not probe:
            self._step += 1
        if self._makes:
            self.recorder.deliver(
                batch, epoch=epoch, step=step, ticket=ticket, waited_ns=waited_ns, probe=probe
            )
            return
        with self.recorder.as_worker(0):  # whichever of the framework's threads this is
            self.recorder.consume(batch, epoch=epoch, step=step, waited_ns=waited_ns, probe=probe)

    def delivering(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, each noted when the framework takes it.

        Args:
            batches: what the framework iterates over; asked for its iterator now, as the framework would.

        Returns:
            An iterator over the batches.
        """
        return _Delivering(iter(batches), self)


class _Delivering:
    """An iterator that holds no batch while it waits to be asked, as a generator's frame would."""

    __slots__ = ("__weakref__", "_batches", "_consumer")

    def __init__(self, batches: Iterator[Any], consumer: Consumer) -> None:
        self._batches = batches
        self._consumer = consumer

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        asked = time.monotonic_ns()
        batch = next(self._batches)
        self._consumer.deliver(batch, time.monotonic_ns() - asked)
        return batch
