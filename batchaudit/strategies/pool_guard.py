"""Keeps Keras' pools from waiting for ever.

`multiprocessing.Pool` replaces a worker that dies but loses its task, and Keras waits for the result
without a time limit. While a strategy runs, a thread watches the pools: a dead worker, or a time without
progress, fails the results that are outstanding, so that Keras raises as it does for any failed batch.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import RUN, TERMINATE, Pool
from typing import Any

from batchaudit.errors import WorkerError
from batchaudit.strategies.start import in_words


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
            for process in list(getattr(pool, "born", ())):
                code = process.exitcode
                if code is not None and _too_early(pool, code):
                    return f"worker pid {process.pid} died ({in_words(code)}); its batch is lost"
        return None

    def _stall(self) -> str | None:
        if time.monotonic() - self._progress < self._timeout:
            return None
        return f"no batch came from the workers for {self._timeout:g} s"


class WatchedPool(Pool):
    """A pool that remembers its workers: one that dies at once is replaced before anybody looks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        born: list[Any] = []

        def process(context: Any, *args: Any, **kwargs: Any) -> Any:
            made = context.Process(*args, **kwargs)
            born.append(made)
            return made

        self.born = born
        # It stands in for a method, and is no method: the pool's threads may not refer to the pool itself.
        setattr(self, "Process", process)  # noqa: B010
        super().__init__(*args, **kwargs, context=multiprocessing.get_context())  # type: ignore[call-arg,misc]


def ours(pools: Iterable[Any]) -> list[WatchedPool]:
    """Those of Keras' pools that belong to an audit; the user's program may have pools of its own."""
    return [pool for pool in pools if isinstance(pool, WatchedPool)]


def pool_class(original: Callable[[bool], Any]) -> Callable[[bool], Any]:
    """Stands in for Keras' `get_pool_class`.

    Args:
        original: Keras' own.

    Returns:
        The same, with a `WatchedPool` in place of `multiprocessing.Pool`.
    """

    def get_pool_class(use_multiprocessing: bool) -> Any:
        made = original(use_multiprocessing)
        return WatchedPool if made == multiprocessing.Pool else made

    return get_pool_class


def _too_early(pool: Any, code: int) -> bool:
    """Whether a worker that ended was still needed.

    A pool that is terminated kills its workers; one that is closed lets them end, once nothing is owed.
    """
    return pool._state != TERMINATE and (code != 0 or pool._state == RUN or bool(pool._cache))


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
