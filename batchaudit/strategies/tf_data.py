"""tf.data's own machinery around a Python source. Requires TensorFlow.

What can only be iterated becomes N interleaved `from_generator` copies, each a new source; what can be
indexed becomes a parallel `map` over its indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from batchaudit.errors import UsageError, WorkerError, in_full
from batchaudit.sources import kind_of
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import Job, Skip, Stream
from batchaudit.strategies.serial import drive_indexed
from batchaudit.strategies.spec import Strategy


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a Python source through tf.data with N parallel calls.

    Args:
        job: what to drive.
        strategy: `tf.data:N`.

    Raises:
        Skip: the source is a dataset already, or yields what TensorFlow has no type for.
        WorkerError: the source raised; with its own traceback.
    """
    source = job.make()
    kind = kind_of(source)
    if kind is Kind.DATASET:
        raise Skip("a tf.data.Dataset runs its own parallel calls: audit it with as-is")
    if kind is Kind.ITERATOR and not job.renewable and strategy.workers > 1:
        raise Skip("tf.data needs a new source for each of its copies: give a callable that makes one")
    failures: list[str] = []
    try:
        if kind is Kind.INDEXED:
            types = _Types(_peek(job, lambda: source[0]))
            drive_indexed(job, source, lambda i: _mapped(job, strategy, source, i, types, failures))
        else:
            sources = iter([source])
            first = _peek(job, lambda: next(iter(job.make() if job.renewable else source)))
            make = (lambda: next(sources, None) or job.make()) if job.renewable else (lambda: source)
            _interleaved(job, strategy, make, _Types(first), failures)
    except tf.errors.OpError as error:
        raise WorkerError(failures[0] if failures else str(error)) from None


def _peek(job: Job, first: Callable[[], Any]) -> Any:
    with job.recorder.probing():
        try:
            batch = first()
        except (StopIteration, IndexError):
            raise UsageError("the source yields no batch at all.") from None
    job.recorder.take_ticket()
    return batch


class _Types:
    """TensorFlow's types of a source's batches, seen in one of them: dtypes and ranks, no lengths."""

    def __init__(self, batch: Any) -> None:
        batch = _tuples(batch)
        try:
            leaves = [tf.TensorSpec([None] * np.ndim(x), _dtype(x)) for x in tf.nest.flatten(batch)]
        except (TypeError, ValueError) as error:
            raise Skip(f"tf.data has no type for what the source yields: {error}") from None
        self.spec = tf.nest.pack_sequence_as(batch, leaves)
        self.leaves = leaves


def _dtype(leaf: Any) -> tf.DType:
    if leaf is None:
        raise TypeError("None")
    return leaf.dtype if tf.is_tensor(leaf) else tf.as_dtype(np.asarray(leaf).dtype)


def _tuples(batch: Any) -> Any:
    """Lists as tuples: tf.data takes a list for a tensor."""
    if isinstance(batch, (list, tuple)) and not hasattr(batch, "_fields"):
        return tuple(_tuples(item) for item in batch)
    if isinstance(batch, dict):
        return {key: _tuples(value) for key, value in batch.items()}
    return batch


def _signed(ticket: int) -> int:
    return ticket - (1 << 64) if ticket >= 1 << 63 else ticket


def _tickets(dataset: tf.data.Dataset) -> Stream:
    for ticket, batch in dataset:
        yield int(ticket) % (1 << 64), batch
        del batch


def _interleaved(
    job: Job, strategy: Strategy, make: Callable[[], Any], types: _Types, failures: list[str]
) -> None:
    count = strategy.workers

    def copy(number: int) -> Iterator[Any]:
        batches = iter(make())
        try:
            while True:
                with job.recorder.as_worker(int(number)):
                    try:
                        batch = next(batches)
                    except StopIteration:
                        return
                yield _signed(job.recorder.take_ticket()), _tuples(batch)
                del batch
        except GeneratorExit:
            raise
        except BaseException as error:
            _keep(failures, error)
            raise

    signature = (tf.TensorSpec([], tf.int64), types.spec)

    def one_copy(number: Any) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(copy, output_signature=signature, args=(number,))

    copies = tf.data.Dataset.range(count).interleave(
        one_copy, cycle_length=count, block_length=1, num_parallel_calls=count
    )
    job.consume(lambda: _tickets(copies))


def _mapped(
    job: Job, strategy: Strategy, source: Any, indices: Iterable[int], types: _Types, failures: list[str]
) -> Stream:
    def make(index: Any) -> list[Any]:
        try:
            batch = _tuples(source[int(index)])
        except BaseException as error:
            _keep(failures, error)
            raise
        ticket = np.int64(_signed(job.recorder.take_ticket()))
        return [ticket, *(np.asarray(leaf) for leaf in tf.nest.flatten(batch))]

    def call(index: Any) -> tuple[Any, Any]:
        ticket, *leaves = tf.numpy_function(make, [index], [tf.int64, *(leaf.dtype for leaf in types.leaves)])
        for leaf, spec in zip(leaves, types.leaves, strict=True):
            leaf.set_shape(spec.shape)
        return ticket, tf.nest.pack_sequence_as(types.spec, leaves)

    order = tf.data.Dataset.from_tensor_slices(np.fromiter(indices, np.int64))
    yield from _tickets(order.map(call, num_parallel_calls=strategy.workers))


def _keep(failures: list[str], error: BaseException) -> None:
    failures.append(in_full(error))
