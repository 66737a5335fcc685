"""Keeps Keras' pools from waiting for ever.

`multiprocessing.Pool` replaces a worker that dies but loses its task, and Keras waits for the result
without a time limit. While a strategy runs, a thread watches the pools: a dead worker, or a time without
progress, fails the results that are outstanding, so that Keras raises as it does for any failed batch.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import RUN, TERMINATE, Pool
from typing import Any

from batchaudit.errors import WorkerError


class Guard:
    """Watches the pools of one audit.

    Attributes:
        reason: why results were failed; None while nothing happened.
    """

    def __init__(
        self, pools: Callable[[], Iterable[Any]], timeout: float, give_up: Callable[[], None]
    ) -> None:
        self.reason: str | None = None
        self._pools = pools
        self._timeout = timeout
        self._give_up = give_up
        self._progress = time.monotonic()
        self._stop = threading.Event()
        self._seen: dict[int, tuple[Any, Any]] = {}

    def progress(self) -> None:
        """Says that a batch has come."""
        self._progress = time.monotonic()

    def watch(self) -> None:
        """The thread's work."""
        while not self._stop.wait(0.1):
            self.reason = self.reason or self._death() or self._stall()
            if self.reason:
                for pool in self._pools():
                    fail_outstanding(pool, WorkerError(self.reason))
                self._give_up()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()

    def _death(self) -> str | None:
        for pool in self._pools():
            for process in list(getattr(pool, "_pool", ())):
                if hasattr(process, "exitcode"):
                    self._seen[process.pid] = (pool, process)
        for pid, (pool, process) in list(self._seen.items()):
            code = process.exitcode
            if code is None:
                continue
            del self._seen[pid]
            # A pool that is closed lets its workers end; one that is terminated kills them.
            if pool._state != TERMINATE and (code != 0 or pool._state == RUN):
                how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                return f"worker pid {pid} died ({how}); its batch is lost"
        return None

    def _stall(self) -> str | None:
        if time.monotonic() - self._progress < self._timeout:
            return None
        return f"no batch came from the workers for {self._timeout:g} s"


def fail_outstanding(pool: Pool, error: Exception) -> None:
    """Fails every result that a pool still owes.

    Args:
        pool: a `multiprocessing.Pool` or `ThreadPool`.
        error: what its waiting consumer will see raised.
    """
    for result in list(pool._cache.values()):  # type: ignore[attr-defined]
        result._set(0, (False, error))


@contextmanager
def guarded(
    pools: Callable[[], Iterable[Any]], timeout: float, give_up: Callable[[], None] = lambda: None
) -> Iterator[Guard]:
    """Watches pools within the context.

    Args:
        pools: the pools there are now.
        timeout: seconds without progress after which outstanding results are failed.
        give_up: called beside it, for what waits for something else than a result.

    Yields:
        The guard.
    """
    guard = Guard(pools, timeout, give_up)
    thread = threading.Thread(target=guard.watch, name="batchaudit-pool-guard", daemon=True)
    thread.start()
    try:
        yield guard
    finally:
        guard.stop()
        thread.join()
