"""What a framework's hooks have in common: from the framework's iteration to records of what was delivered."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from batchaudit.capture.passes import Pass
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
        assert recorder.passes is not None, "only the sources of a live audit have a consumer"
        self.recorder = recorder
        self.transit = Transit(recorder)
        self.building = False
        """Whether the framework only wants to know the shapes: it trains on nothing it takes now."""
        self._makes = makes
        self._passes = recorder.passes
        self._pass: Pass | None = None
        self._claimed = True
        recorder.claim()

    def release(self) -> None:
        """The framework is done with the source; may be called again."""
        if self._claimed:
            self._claimed = False
            self.recorder.release()

    def __del__(self) -> None:
        self.release()

    def begin_epoch(self) -> None:
        """An epoch of the framework begins."""
        self._pass = Pass(self._passes, one_epoch=True)
        self.recorder.hook("epoch", epoch=self._pass.epoch)

    def deliver(self, batch: Any, waited_ns: int = 0) -> None:
        """Notes a batch that the framework hands to the model.

        Args:
            batch: the batch.
            waited_ns: for how long the framework waited for it, nanoseconds.
        """
        if self.recorder.closed():
            return
        probe = self.building or self._pass is None
        epoch, step = (-1, -1) if self._pass is None or probe else self._pass.take()
        if not self._makes:
            self.recorder.consume(batch, epoch=epoch, step=step, waited_ns=waited_ns, probe=probe)
            return
        ticket = self.transit.take() or self.recorder.take_ticket()
        self.recorder.deliver(
            batch, epoch=epoch, step=step, ticket=ticket, waited_ns=waited_ns, probe=probe
        )

    def delivering(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, each noted when the framework takes it.

        Args:
            batches: what the framework iterates over.

        Yields:
            The batches.
        """
        iterator = iter(batches)
        while True:
            asked = time.monotonic_ns()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.deliver(batch, time.monotonic_ns() - asked)
            yield batch
            del batch
