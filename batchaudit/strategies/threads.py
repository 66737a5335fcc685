"""Threads over one source, as Keras' `fit_generator` runs them: one queue, and nothing synchronised."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from batchaudit.errors import WorkerError, in_full
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
    asked: queue.SimpleQueue[tuple[int, queue.SimpleQueue[Any]] | None] = queue.SimpleQueue()

    def work() -> None:
        while (order := asked.get()) is not None:
            index, answer = order
            try:
                batch = source[index]
                answer.put((job.recorder.take_ticket(), batch))
                del batch
            except BaseException as error:
                answer.put(_failure(error))
            del order, answer

    # Not an executor: it would wait, at the latest when the program ends, for a thread that hangs.
    for _ in range(strategy.workers):
        threading.Thread(target=work, daemon=True).start()
    waiting: deque[queue.SimpleQueue[Any]] = deque()
    todo = iter(indices)
    try:
        while True:
            for index in islice(todo, strategy.queue - len(waiting)):
                waiting.append(queue.SimpleQueue())
                asked.put((index, waiting[-1]))
            if not waiting:
                return
            yield _received(waiting.popleft(), job.timeout)
    finally:
        with suppress(queue.Empty):
            while True:
                asked.get_nowait()
        for _ in range(strategy.workers):
            asked.put(None)


def _received(source: Any, timeout: float) -> Any:
    """What a thread has put into a queue, or the error that it did."""
    try:
        item = source.get(timeout=timeout)
    except queue.Empty:
        raise WorkerError(f"no batch came from the threads for {timeout:g} s") from None
    if isinstance(item, WorkerError):
        raise item
    return item


def _shared(job: Job, strategy: Strategy, batches: Any) -> Stream:
    ready: queue.Queue[Any] = queue.Queue(strategy.queue)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.05)
                return
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
            item = _received(ready, job.timeout)
            if item is _END:
                alive -= 1
            else:
                yield item
            del item
    finally:
        stop.set()
        for thread in threads:
            thread.join(1.0)


def _failure(error: BaseException) -> WorkerError:
    return WorkerError(f"thread {threading.current_thread().name} raised:\n{in_full(error)}")
