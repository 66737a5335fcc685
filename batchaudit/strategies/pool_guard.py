"""Keeps Keras' pools from waiting for ever.

`multiprocessing.Pool` replaces a worker that dies but loses its task, and Keras waits for the result
without a time limit. While a strategy runs, a thread watches the pools: a dead worker, or a time without
progress, fails the results that are outstanding, so that Keras raises as it does for any failed batch.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import RUN, TERMINATE, Pool
from typing import Any

from batchaudit.errors import WorkerError, in_full
from batchaudit.strategies.start import in_words


class Guard:
    """Watches the pools of one audit.

    Attributes:
        reason: why results were failed; None while nothing happened.
    """

    def __init__(self, pools: Pools, timeout: float, give_up: Callable[[], None]) -> None:
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
            self.reason = self.reason or self._pools.failure or self._death() or self._stall()
            if self.reason:
                for pool in self._pools:
                    fail_outstanding(pool, WorkerError(self.reason))
                self._give_up()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()

    def _death(self) -> str | None:
        for pool in self._pools:
            for process in list(pool.born):
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


class Pools:
    """The pools that a framework makes during one audit; the user's program may have pools of its own.

    They are held here, because a pool that nobody holds terminates itself, and `Pool.terminate` may wait for
    ever: it puts a word into a queue whose lock a worker holds that nobody reads from any more.

    Attributes:
        failure: what the thread that fills them raised; None while it did not.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self._made: list[WatchedPool] = []

    def __iter__(self) -> Iterator[WatchedPool]:
        return iter(list(self._made))

    def stand_in(self, original: Callable[[bool], Any]) -> Callable[[bool], Any]:
        """Stands in for Keras' `get_pool_class`.

        Args:
            original: Keras' own.

        Returns:
            The same, with pools that are kept here in place of `multiprocessing.Pool`.
        """

        def get_pool_class(use_multiprocessing: bool) -> Any:
            made = original(use_multiprocessing)
            return self._make if made == multiprocessing.Pool else made

        return get_pool_class

    def failed(self, error: Exception) -> None:
        """Says what the thread that starts the pools and fills their queue raised.

        Args:
            error: what nobody who waits at the queue would hear of.
        """
        self.failure = self.failure or f"the thread that feeds the workers ended: {in_full(error)}"

    def _make(self, *args: Any, **kwargs: Any) -> WatchedPool:
        self._made = [pool for pool in self._made if any(worker.is_alive() for worker in pool.born)]
        made = WatchedPool(*args, **kwargs)
        self._made.append(made)
        return made

    def end(self, seconds: float = 5.0) -> None:
        """Lets the workers finish what they owe and go; those that do not go in time are killed.

        Args:
            seconds: for how long to wait for all of them together.
        """
        until = time.monotonic() + seconds
        for pool in self._made:
            pool.close()
        for pool in self._made:
            for worker in list(pool.born):
                if worker.pid is None:  # the pool's own thread is about to start it
                    continue
                worker.join(max(0.0, until - time.monotonic()))
                if worker.is_alive():
                    worker.kill()
            last = threading.Thread(target=pool.terminate, daemon=True)
            last.start()
            last.join(1.0)
            for worker in pool.born:
                if worker.is_alive():
                    worker.kill()
        self._made = []


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
def guarded(pools: Pools, timeout: float, give_up: Callable[[], None] = lambda: None) -> Iterator[Guard]:
    """Watches pools within the context.

    Args:
        pools: those of the audit.
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
