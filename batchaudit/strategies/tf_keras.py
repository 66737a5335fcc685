"""tf_keras' own machinery: `DataHandler`, `GeneratorEnqueuer`, `OrderedEnqueuer`. Requires tf_keras.

It drives what `Model.fit(source, workers=N, use_multiprocessing=...)` drives, without a model.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import tensorflow as tf
from tf_keras.src.engine import data_adapter
from tf_keras.src.utils import data_utils

from batchaudit.consumers import transit as transits
from batchaudit.consumers.transit import Transit, parcel, replaced
from batchaudit.errors import UsageError, WorkerError
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import Job, Skip
from batchaudit.strategies.pool_guard import Guard, Pools, guarded
from batchaudit.strategies.processes import check_pickles
from batchaudit.strategies.spec import Strategy
from batchaudit.strategies.start import start_method


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a generator, an iterator or a `Sequence` as tf_keras' `fit` does.

    Args:
        job: what to drive.
        strategy: `tf_keras-threads:N` or `tf_keras-processes:N`.

    Raises:
        Skip: tf_keras does not take the source, or its workers cannot be given it.
        WorkerError: a worker raised or died, or no batch came for `job.timeout` seconds.
    """
    with start_method(strategy.start) as method:
        source = _accepted(job, strategy, method)
        job.in_fits(source, lambda fresh, epochs: _fit(job, strategy, fresh, epochs))


def _accepted(job: Job, strategy: Strategy, method: str) -> Any:
    source = job.make()
    kind = kind_of(source)
    if kind is Kind.DATASET:
        raise Skip("tf_keras uses no workers for a tf.data.Dataset: audit it with as-is or serial")
    if kind is Kind.INDEXED and not isinstance(source, data_utils.Sequence):
        raise Skip(f"tf_keras takes no {type(source).__name__}: it wants a tf_keras Sequence, or a generator")
    if kind is Kind.ITERABLE:
        raise Skip(f"tf_keras takes no {type(source).__name__}: give it a generator or an iterator")
    if strategy.family.endswith("processes") and method != "fork":
        check_pickles(source, method)
    return source


def _fit(job: Job, strategy: Strategy, source: Any, epochs: range) -> None:
    transit, pools = Transit(job.recorder), Pools()
    with ExitStack() as stack:
        enqueuers = stack.enter_context(_followed(transit, pools))
        guard = stack.enter_context(guarded(pools, job.timeout, lambda: _give_up(enqueuers, guard)))
        stack.callback(_stop, enqueuers, pools)
        try:
            _epochs(job, _handler(job, strategy, source, epochs, transit), epochs, transit, guard)
        except tf.errors.OpError as error:
            raise WorkerError(guard.reason or transit.failure or str(error)) from None
        except WorkerError as error:
            raise WorkerError(guard.reason or str(error)) from None


def _handler(job: Job, strategy: Strategy, source: Any, epochs: range, transit: Transit) -> Any:
    with job.recorder.probing():  # it makes one batch to learn the shapes
        try:
            handler = data_adapter.DataHandler(
                source,
                epochs=len(epochs),
                steps_per_epoch=job.steps_per_epoch,
                shuffle=strategy.shuffle,
                workers=strategy.workers,
                use_multiprocessing=strategy.family.endswith("processes"),
                max_queue_size=strategy.queue,
            )
        except StopIteration:
            raise UsageError("the source yields no batch at all.") from None
        except ValueError as error:
            if "non-empty" in str(error):
                raise UsageError("the source yields no batch at all.") from None
            raise
        transit.peeked = [ticket for ticket in [job.recorder.take_ticket()] if ticket]
    return handler


def _epochs(job: Job, handler: Any, epochs: range, transit: Transit, guard: Guard) -> None:
    for number, batches in handler.enumerate_epochs():
        with handler.catch_stop_iteration():
            for step in handler.steps():
                batch = next(batches)
                guard.progress()
                job.deliver(batch, epochs[number], step, transit.take())
                job.check_length(step)


# -- following the batches through tf_keras' pool -------------------------------------------------


def produce_next(uid: int) -> Any:
    """Stands in for `data_utils.next_sample` in the workers: the same, with the ticket."""
    source = data_utils._SHARED_SEQUENCES[uid]
    try:
        batch = next(source)
    except ValueError as error:  # "generator already executing" comes from outside the watched frame
        recorder = transits.find_recorder(uid, source)
        if recorder is not None:
            recorder.raised(error)
        raise
    return parcel(uid, source, batch)


def produce_index(uid: int, index: int) -> Any:
    """Stands in for `data_utils.get_index` in the workers: the same, with the ticket."""
    source = data_utils._SHARED_SEQUENCES[uid]
    return parcel(uid, source, source[index])


@contextmanager
def _followed(transit: Transit, pools: Pools) -> Iterator[weakref.WeakSet[Any]]:
    def following(original: Any) -> Any:
        def handle(self: Any, x: Any, workers: int, use_multiprocessing: bool, max_queue_size: int) -> Any:
            generator_fn = original(self, x, workers, use_multiprocessing, max_queue_size)
            if workers > 1 or use_multiprocessing:
                return generator_fn
            return lambda: transit.follow(generator_fn())

        return handle

    with ExitStack() as stack:
        enqueuers = stack.enter_context(
            transits.followed(
                transit,
                data_utils,
                [data_utils.GeneratorEnqueuer, data_utils.OrderedEnqueuer],
                pools.stand_in(data_utils.get_pool_class),
                pools.failed,
                next_sample=produce_next,
                get_index=produce_index,
            )
        )
        for adapter in (data_adapter.GeneratorDataAdapter, data_adapter.KerasSequenceAdapter):
            original = adapter._handle_multiprocessing
            stack.enter_context(replaced(adapter, _handle_multiprocessing=following(original)))
        yield enqueuers


class _Lost:
    """Stands in the queue for the result of a worker that is no more."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def get(self) -> Any:
        raise WorkerError(self._reason)


def _give_up(enqueuers: weakref.WeakSet[Any], guard: Guard) -> None:
    for enqueuer in list(enqueuers):
        with suppress(Exception):
            enqueuer.queue.put_nowait(_Lost(guard.reason or "given up"))


def _stop(enqueuers: weakref.WeakSet[Any], pools: Pools) -> None:
    for enqueuer in list(enqueuers):
        if enqueuer.is_running():
            enqueuer.stop(timeout=5)
    pools.end()
