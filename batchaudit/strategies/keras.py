"""Keras 3's own machinery: `EpochIterator`, its data adapters and the `PyDataset` enqueuer. Requires Keras 3.

It drives what `Model.fit(source)` drives, without a model; on the TensorFlow backend that is
`TFEpochIterator`, which peeks at two batches, on the others the plain `EpochIterator`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from keras.src import backend
from keras.src.trainers.data_adapters import generator_data_adapter, py_dataset_adapter
from keras.src.trainers.epoch_iterator import EpochIterator

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
    """Drives a `PyDataset`, or a generator with one worker, as Keras 3's `fit` does.

    Args:
        job: what to drive.
        strategy: `keras-threads:N` or `keras-processes:N`; `as-is` for the dataset's own settings.

    Raises:
        Skip: Keras 3 does not take the source, or does not use workers for it.
        WorkerError: a worker raised or died, or no batch came for `job.timeout` seconds.
    """
    with start_method(strategy.start) as method, ExitStack() as stack:
        source = _accepted(job, strategy)
        if isinstance(source, py_dataset_adapter.PyDataset):
            stack.enter_context(_configured(source, strategy))
            if source.use_multiprocessing and method != "fork":
                check_pickles(source, method)
        job.in_fits(source, lambda fresh, epochs: _fit(job, strategy, fresh, epochs))


def is_py_dataset(source: object) -> bool:
    """Whether a source is a Keras 3 `PyDataset`."""
    return isinstance(source, py_dataset_adapter.PyDataset)


def _accepted(job: Job, strategy: Strategy) -> Any:
    source = job.make()
    kind = kind_of(source)
    if isinstance(source, py_dataset_adapter.PyDataset):
        return source
    if kind is Kind.DATASET:
        raise Skip("Keras 3 uses no workers for a tf.data.Dataset: audit it with as-is or serial")
    if kind is not Kind.ITERATOR or not hasattr(source, "gi_frame"):
        raise Skip(f"Keras 3 takes no {type(source).__name__}: it wants a PyDataset or a real generator")
    if strategy.workers > 1 or strategy.family == "keras-processes":
        raise Skip("Keras 3 uses no workers for a generator: make it a PyDataset, or audit keras-threads:1")
    return source


@contextmanager
def _configured(source: Any, strategy: Strategy) -> Iterator[None]:
    """Gives a `PyDataset` the strategy's workers, and its own back."""
    names = ("workers", "use_multiprocessing", "max_queue_size")
    before = {name: getattr(source, name) for name in names}
    if strategy.family != "as-is":
        processes = strategy.family == "keras-processes"
        for name, value in zip(names, (strategy.workers, processes, strategy.queue), strict=True):
            setattr(source, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(source, name, value)


def _fit(job: Job, strategy: Strategy, source: Any, epochs: range) -> None:
    transit, pools = Transit(job.recorder), Pools()
    with ExitStack() as stack:
        enqueuers = stack.enter_context(_followed(transit, pools))
        guard = stack.enter_context(guarded(pools, job.timeout, lambda: _give_up(enqueuers, guard)))
        stack.callback(_stop, enqueuers, pools)
        try:
            _epochs(job, _epoch_iterator(job, strategy, source), epochs, transit, guard)
        except (UsageError, KeyboardInterrupt):
            raise
        except Exception as error:
            reason = guard.reason or transit.failure
            if reason is None:
                raise
            raise WorkerError(reason) from (None if guard.reason else error)


def _epoch_iterator(job: Job, strategy: Strategy, source: Any) -> Any:
    kwargs = {"x": source, "steps_per_epoch": job.steps_per_epoch, "shuffle": strategy.shuffle}
    with job.recorder.probing():
        try:
            if backend.backend() == "tensorflow":
                import tensorflow as tf
                from keras.src.backend.tensorflow.trainer import TFEpochIterator

                iterator = TFEpochIterator(distribute_strategy=tf.distribute.get_strategy(), **kwargs)
            else:
                iterator = EpochIterator(**kwargs)
        except ValueError as error:
            if "at least one batch" in str(error) or "length 0" in str(error):
                raise UsageError("the source yields no batch at all.") from None
            raise
        iterator.reset()  # as `fit` does before its first epoch
    return iterator


def _epochs(job: Job, iterator: Any, epochs: range, transit: Transit, guard: Guard) -> None:
    for epoch in epochs:
        step = 0
        with iterator.catch_stop_iteration():
            for _, _, batches in iterator:
                # The TensorFlow backend hands out its iterator, the others a list of batches.
                for batch in batches if isinstance(batches, list) else [next(batches)]:
                    guard.progress()
                    job.deliver(batch, epoch, step, transit.take())
                    step += 1
                    job.check_length(step)


# -- following the batches through Keras' pool ----------------------------------------------------


def produce_index(uid: int, index: int) -> Any:
    """Stands in for `py_dataset_adapter.get_index` in the workers: the same, with the ticket."""
    source = py_dataset_adapter._SHARED_SEQUENCES[uid]
    return parcel(uid, source, source[index])


@contextmanager
def _followed(transit: Transit, pools: Pools) -> Iterator[weakref.WeakSet[Any]]:
    get_iterator = py_dataset_adapter.PyDatasetAdapter._get_iterator
    peek = generator_data_adapter.peek_and_restore

    def following(self: Any) -> Any:
        batches = get_iterator(self)
        return batches if self.enqueuer else transit.follow(batches)

    def peeking(generator: Any) -> Any:
        def noted() -> Iterator[Any]:
            for batch in generator:
                transit.peeked.append(transit.recorder.take_ticket())
                yield batch

        first, _ = peek(noted())
        transit.peeked = transit.peeked[: len(first)]
        return first, lambda: transit.follow(_chain(first, generator))

    with (
        transits.followed(
            transit,
            py_dataset_adapter,
            [py_dataset_adapter.OrderedEnqueuer],
            pools.stand_in(py_dataset_adapter.get_pool_class),
            pools.failed,
            get_index=produce_index,
        ) as enqueuers,
        replaced(py_dataset_adapter.PyDatasetAdapter, _get_iterator=following),
        replaced(generator_data_adapter, peek_and_restore=peeking),
    ):
        yield enqueuers


def _chain(first: list[Any], rest: Any) -> Iterator[Any]:
    yield from first
    yield from rest


def _give_up(enqueuers: weakref.WeakSet[Any], guard: Guard) -> None:
    for enqueuer in list(enqueuers):
        with suppress(Exception):
            enqueuer.future_queue.put_nowait(WorkerError(guard.reason or "given up"))


def _stop(enqueuers: weakref.WeakSet[Any], pools: Pools) -> None:
    for enqueuer in list(enqueuers):
        with suppress(Exception):
            enqueuer.stop(drain_queue_and_join=False)
    pools.end()
