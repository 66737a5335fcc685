"""A recorder that looks at the clocks alone, so that what is timed is not what watching costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from batchaudit.capture.fingerprint import fingerprint
from batchaudit.capture.recorder import Recorder
from batchaudit.journal.layout import Event, Stage

T = TypeVar("T")

_HASHED = 1
"""Which delivered batch is fingerprinted. The first one tells how long the workers took to start."""


class Stopwatch(Recorder):
    """Notes when batches are made and delivered, and the processor time that making one took.

    A produced event's text is two whole numbers, nanoseconds: the processor time of the thread that made it,
    and of its whole process, while it was made. An early delivered batch, which no
    rate counts, is fingerprinted to see what that takes.

    Attributes:
        hashing: nanoseconds that it took; None where no batch was, or it could not be.
    """

    hashing: int | None = None

    _delivered = 0

    def bind(self, source: object) -> Recorder:
        """Itself: no random stream is looked for."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._shared,)

    def produce(self, make: Callable[..., T], *args: Any, index: int = -1) -> T:
        """Calls `make(*args)` and notes how long it took; see `Recorder.produce`."""
        shared = self._shared
        local = shared.local
        # `__iter__` of a source may call its own `__getitem__`.
        if getattr(local, "looking", False):
            return make(*args)
        local.looking, local.ticket = True, 0
        try:
            began, thread, process = time.monotonic_ns(), time.thread_time_ns(), time.process_time_ns()
            batch = make(*args)
            thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process
            ended = time.monotonic_ns()
        finally:
            local.looking = False
        if not shared.probing:
            local.ticket = shared.journal.append(
                Event(
                    stage=Stage.PRODUCED, thread=threading.get_native_id(), index=index, began_ns=began,
                    ended_ns=ended, text=f"{thread} {process}",
                    framework_worker=getattr(local, "framework_worker", -1),
                )
            )  # fmt: skip
        if shared.in_order is not None:
            shared.in_order.append(local.ticket)
        return batch

    def replayed(self, batch: object) -> None:
        """A batch that nobody made costs nothing."""

    def consume(
        self, batch: object, *, epoch: int, step: int, waited_ns: int = 0, probe: bool = False
    ) -> None:
        """Notes that a batch arrived of which nothing was seen before."""
        self.deliver(batch, epoch=epoch, step=step, waited_ns=waited_ns, probe=probe)

    def deliver(
        self,
        batch: object,
        *,
        epoch: int,
        step: int,
        ticket: int = 0,
        waited_ns: int = 0,
        probe: bool = False,
    ) -> None:
        """Notes that a batch arrived; see `Recorder.deliver`."""
        if probe:
            return
        now = time.monotonic_ns()
        self._shared.journal.append(
            Event(
                stage=Stage.DELIVERED, thread=threading.get_native_id(), epoch=epoch, step=step,
                ticket=ticket, began_ns=now - waited_ns, ended_ns=now,
            )
        )  # fmt: skip
        if self._delivered == _HASHED:
            self._hash(batch)
        self._delivered += 1

    def _hash(self, batch: object) -> None:
        try:
            fingerprint(batch)  # the first of its kind also has to find out how
            began = time.perf_counter_ns()
            fingerprint(batch)
            self.hashing = time.perf_counter_ns() - began
        except Exception:  # what cannot be hashed can be timed all the same
            self.hashing = None


def _rebuilt(shared: Any) -> Stopwatch:
    made = object.__new__(Stopwatch)
    made._shared = shared
    return made
