"""Threads over one source, as Keras' `fit_generator` runs them: one queue, and nothing synchronised."""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from batchaudit.errors import WorkerError
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import Job, Skip, Stream
from batchaudit.strategies.serial import drive_indexed, renewing
from batchaudit.strategies.spec import Strategy

ALREADY_EXECUTING = "generator already executing"
_END = object()


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a source with N threads: indices are dealt out, an iterator is shared.

    Args:
        job: what to drive.
        strategy: `threads:N`.

    Raises:
        Skip: the source is a dataset, which runs its own threads.
        WorkerError: a thread raised, or no batch came for `job.timeout` seconds.
    """
    source = job.make()
    kind = kind_of(source)
    if kind is Kind.DATASET:
        raise Skip("a tf.data.Dataset runs its own threads: audit it with as-is or serial")
    if kind is Kind.INDEXED:
        drive_indexed(job, source, lambda indices: _by_index(job, strategy, source, indices))
    else:
        sources = renewing(job, source)
        job.consume(lambda: _shared(job, strategy, iter(next(sources))))


def _by_index(job: Job, strategy: Strategy, source: Any, indices: Iterable[int]) -> Stream:
    def make(index: int) -> tuple[int, Any]:
        batch = source[index]
        return job.recorder.take_ticket(), batch

    todo = iter(indices)
    with ThreadPoolExecutor(strategy.workers) as pool:
        waiting = deque(pool.submit(make, i) for i in islice(todo, strategy.queue))
        try:
            while waiting:
                yield waiting.popleft().result(job.timeout)
                waiting.extend(pool.submit(make, i) for i in islice(todo, 1))
        except TimeoutError:
            raise WorkerError(f"no batch came from the threads for {job.timeout:g} s") from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _shared(job: Job, strategy: Strategy, batches: Any) -> Stream:
    ready: queue.Queue[Any] = queue.Queue(strategy.queue)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.05)
            except queue.Full:
                continue

    def work() -> None:
        try:
            while not stop.is_set():
                try:
                    batch = next(batches)
                except StopIteration:
                    break
                put((job.recorder.take_ticket(), batch))
                del batch
        except ValueError as error:
            # As in Keras 1 the thread is gone and the others go on; the log keeps that it happened.
            if ALREADY_EXECUTING not in str(error):
                put(_failure(error))
            else:
                job.recorder.raised(error)
        except BaseException as error:
            put(_failure(error))
        put(_END)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(strategy.workers)]
    for thread in threads:
        thread.start()
    try:
        alive = len(threads)
        while alive:
            try:
                item = ready.get(timeout=job.timeout)
            except queue.Empty:
                raise WorkerError(f"no batch came from the threads for {job.timeout:g} s") from None
            if item is _END:
                alive -= 1
            elif isinstance(item, WorkerError):
                raise item
            else:
                yield item
            del item
    finally:
        stop.set()
        for thread in threads:
            thread.join(1.0)


def _failure(error: BaseException) -> WorkerError:
    text = "".join(traceback.format_exception(error)).rstrip()
    return WorkerError(f"thread {threading.current_thread().name} raised:\n{text}")
