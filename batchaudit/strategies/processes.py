"""Worker processes as Keras' `fit_generator` runs them: replicas of an iterator, or indices dealt out.

Every worker has a pipe of its own, so that a worker that dies is seen at once as the end of its pipe,
and no lock that it held can stop the others. Semaphores bound what is made ahead, as one queue would;
each worker has its part of the places, or the first to start would take them all.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from batchaudit.errors import WorkerError, in_full
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import Job, Skip, Stream
from batchaudit.strategies.serial import drive_indexed, renewing
from batchaudit.strategies.spec import Strategy
from batchaudit.strategies.start import in_words

_BATCH, _END, _ERROR = range(3)
_PATIENCE = 2.0  # seconds
_MOST_ASKED = 100  # indices in a worker's pipe: more could fill it while the worker waits to send a batch


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a source with N processes.

    Args:
        job: what to drive.
        strategy: `fork:N`, `spawn:N` or `forkserver:N`.

    Raises:
        Skip: the source cannot be sent to a process, or the platform has no such start method.
        WorkerError: a worker raised or died, or no batch came for `job.timeout` seconds.
    """
    method = strategy.start or strategy.family
    if method not in multiprocessing.get_all_start_methods():
        raise Skip(f"this platform cannot start processes by {method}")
    source = job.make()
    kind = kind_of(source)
    if kind is Kind.DATASET:
        raise Skip(
            "TensorFlow does not work in forked processes: audit a tf.data.Dataset with as-is or serial"
        )
    if method != "fork":
        check_pickles(source, method)  # now, for a reason that names the source
    if kind is Kind.INDEXED:
        drive_indexed(job, source, lambda indices: _by_index(job, strategy, source, indices))
    else:
        sources = renewing(job, source)
        job.consume(lambda: _replicas(job, strategy, next(sources)))


def check_pickles(source: Any, method: str) -> bytes:
    """Pickles a source as a start method other than fork would.

    Args:
        source: the watched source.
        method: the start method, for the message.

    Returns:
        The pickle.

    Raises:
        Skip: it does not pickle; the reason names the type and what refused.
    """
    try:
        return bytes(ForkingPickler.dumps(source))
    except Exception as error:
        raise Skip(
            f"{method} sends the source to its workers by pickling it, and a {type(source).__name__} "
            f"refuses: {type(error).__name__}: {error}"
        ) from None


class _Workers:
    """N processes with a pipe each, for the time of one pass."""

    def __init__(self, job: Job, strategy: Strategy, source: Any, by_index: bool) -> None:
        method = strategy.start or strategy.family
        context = multiprocessing.get_context(method)
        self._job = job
        places = max(1, strategy.queue // strategy.workers)
        self.slots = [context.Semaphore(places) for _ in range(strategy.workers)]
        self.pipes: list[Connection] = []
        self.processes: list[Any] = []
        self.batches = [0] * strategy.workers
        whole = (source, job.recorder)
        payload = whole if method == "fork" else check_pickles(whole, method)
        for worker in range(strategy.workers):
            ours, theirs = context.Pipe(duplex=True)
            self.pipes.append(ours)
            inherited = list(self.pipes) if method == "fork" else []
            args = (
                worker,
                payload,
                theirs,
                inherited,
                None if by_index else self.slots[worker],
                strategy.seed,
            )
            process = context.Process(target=_work, args=args, daemon=True)  # type: ignore[attr-defined]
            process.start()
            theirs.close()  # or the end of the pipe would never be seen
            self.processes.append(process)

    def receive(self, worker: int) -> tuple[int, Any]:
        """One message of a worker that has one, or whose pipe has ended."""
        try:
            kind, *rest = self.pipes[worker].recv()
        except (EOFError, OSError):  # OSError: it died in the middle of a batch
            raise WorkerError(self._obituary(worker)) from None
        if kind == _ERROR:
            raise WorkerError(
                f"worker {worker} (pid {self.processes[worker].pid}) raised after "
                f"{self.batches[worker]} batches:\n{rest[0]}"
            )
        self.batches[worker] += kind == _BATCH
        return kind, rest

    def wait(self, pipes: list[Connection]) -> list[Any]:
        """The pipes that have something to say."""
        ready = wait(pipes, self._job.timeout)
        if not ready:
            raise WorkerError(f"no batch came from the workers for {self._job.timeout:g} s")
        return ready

    def stop(self) -> None:
        """Ends all workers: first by closing their pipes, then by force."""
        for pipe in self.pipes:
            pipe.close()
        for slots in self.slots:
            slots.release()
        self._join()
        for end in ("terminate", "kill"):
            for process in self.processes:
                if process.is_alive():
                    getattr(process, end)()
            self._join()

    def _join(self) -> None:
        until = time.monotonic() + _PATIENCE  # for all of them together
        for process in self.processes:
            process.join(max(0.0, until - time.monotonic()))

    def _obituary(self, worker: int) -> str:
        process = self.processes[worker]
        process.join(_PATIENCE)
        how = in_words(process.exitcode)
        return f"worker {worker} (pid {process.pid}) died ({how}) after {self.batches[worker]} batches"


def _replicas(job: Job, strategy: Strategy, source: Any) -> Stream:
    workers = _Workers(job, strategy, source, by_index=False)
    turns = _Turns(workers)
    try:
        while turns.alive:
            worker = turns.next()
            kind, rest = workers.receive(worker)
            if kind == _END:
                turns.alive.remove(worker)
                continue
            workers.slots[worker].release()
            yield rest[0], rest[1]
            del rest
    finally:
        workers.stop()


class _Turns:
    """Whose batch is taken next: of those that are ready, that of the worker that has delivered least.

    The audit consumes in no time, a training step does not: while it runs, the queue fills and workers
    that are equally fast get equal shares. So a worker that is a moment late is waited for, once; one
    that is slower than the others loses its turns, and its share shows it.
    """

    def __init__(self, workers: _Workers) -> None:
        self.alive = list(range(len(workers.pipes)))
        self._workers = workers
        self._slow: set[int] = set()

    def next(self) -> int:
        """The worker to receive from; waits for it."""
        ready = self._ready(self.alive, None)
        first = min(ready, key=self._workers.batches.__getitem__)
        late = [w for w in self.alive if self._behind(w, first) and w not in self._slow]
        if not late:
            self._slow = {w for w in self._slow if self._behind(w, first)}
            return first
        caught_up = self._ready(late, _PATIENCE)
        if caught_up:
            return caught_up[0]
        self._slow.update(late)
        return first

    def _behind(self, worker: int, other: int) -> bool:
        return self._workers.batches[worker] < self._workers.batches[other]

    def _ready(self, workers: list[int], seconds: float | None) -> list[int]:
        pipes = {id(self._workers.pipes[worker]): worker for worker in workers}
        waited = [self._workers.pipes[worker] for worker in workers]
        ready = self._workers.wait(waited) if seconds is None else wait(waited, seconds)
        return [pipes[id(pipe)] for pipe in ready]


def _by_index(job: Job, strategy: Strategy, source: Any, indices: Iterable[int]) -> Stream:
    workers = _Workers(job, strategy, source, by_index=True)
    count, todo = strategy.workers, iter(indices)
    most = max(count, min(strategy.queue, count * _MOST_ASKED))
    try:
        sent = taken = 0
        while True:
            while sent - taken < most:
                index = next(todo, None)
                if index is None:
                    break
                with suppress(OSError):  # its last words are in the pipe: receive() says them
                    workers.pipes[sent % count].send(index)
                sent += 1
            if taken == sent:
                return
            worker = taken % count
            workers.wait([workers.pipes[worker]])
            _, rest = workers.receive(worker)
            taken += 1
            yield rest[0], rest[1]
            del rest
    finally:
        workers.stop()


# -- in the worker --------------------------------------------------------------------------------


def _work(
    worker: int, payload: Any, pipe: Connection, inherited: list[Connection], slots: Any, seed: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends its workers
    for other in inherited:
        other.close()
    try:
        source, recorder = pickle.loads(payload) if isinstance(payload, bytes) else payload
        _seed(worker, seed)
        for batch in _asked(source, pipe) if slots is None else _ahead(source, slots):
            pipe.send((_BATCH, recorder.take_ticket(), batch))
            del batch
        pipe.send((_END,))
    except (BrokenPipeError, EOFError, ConnectionResetError):
        pass  # the parent has what it wanted
    except BaseException as error:
        with suppress(Exception):
            pipe.send((_ERROR, in_full(error)))
    finally:
        with suppress(Exception):
            pipe.close()


def _ahead(source: Any, slots: Any) -> Iterator[Any]:
    for batch in source:
        slots.acquire()
        yield batch
        del batch


def _asked(source: Any, pipe: Connection) -> Iterator[Any]:
    while True:
        yield source[pipe.recv()]


def _seed(worker: int, seed: Any) -> None:
    """What the versions of Keras did to NumPy's stream in a worker."""
    if seed == "inherit":
        return
    import numpy.random

    numpy.random.seed(None if seed == "fresh" else seed + worker)
