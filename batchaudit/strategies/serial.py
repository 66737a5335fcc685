"""No workers: the consumer makes each batch itself. The baseline of every other strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchaudit.errors import UsageError
from batchaudit.sources import kind_of
from batchaudit.sources.indexed import batch_count
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import Job, Stream
from batchaudit.strategies.spec import Strategy


def drive(job: Job, strategy: Strategy) -> None:
    """Drives a source without workers.

    Args:
        job: what to drive.
        strategy: `serial` or `as-is`.
    """
    source = job.make()
    kind = kind_of(source)
    if kind is Kind.INDEXED:
        drive_indexed(job, source, lambda indices: (_ticketed(job, source[i]) for i in indices))
    elif kind is Kind.DATASET:
        _drive_dataset(job, source)
    else:
        sources = renewing(job, source)
        job.consume(lambda: _tickets(job, iter(next(sources))))


def renewing(job: Job, first: Any) -> Iterator[Any]:
    """The source to open each pass on: the first one, then new ones where an iterator can be made anew."""
    yield first
    source = first
    while True:
        if job.renewable and kind_of(source) is Kind.ITERATOR:
            source = job.make()
        yield source


def drive_indexed(job: Job, source: Any, batches: Any) -> None:
    """Drives an indexed source: passes over its indices, with the hooks between them that Keras calls.

    Args:
        job: what to drive.
        source: the watched source.
        batches: given the indices of (the rest of) a pass, yields (ticket, batch) in their order; it is
            closed and called anew for each pass, as Keras builds its pool for each.
    """
    count = batch_count(source)
    if count is None and job.steps_per_epoch is None:
        raise UsageError("the source has no length: give the length of its epoch (steps_per_epoch=).")
    length = count if count is not None else (job.steps_per_epoch or 0) * job.epochs

    def one_pass() -> Stream:
        _call(source, "on_epoch_begin")
        yield from batches(range(length))
        _call(source, "on_epoch_end")

    job.consume(one_pass)


def _call(source: Any, hook: str) -> None:
    method = getattr(source, hook, None)
    if callable(method):
        method()


def _tickets(job: Job, batches: Iterator[Any]) -> Stream:
    for batch in batches:
        yield _ticketed(job, batch)
        del batch


def _ticketed(job: Job, batch: Any) -> tuple[int, Any]:
    return job.recorder.take_ticket(), batch


def _drive_dataset(job: Job, dataset: Any) -> None:
    def stream() -> Stream:
        # The look is a stage of the pipeline, which runs in TensorFlow's threads.
        tickets = job.recorder.line_up()
        for batch in dataset:
            yield (tickets.popleft() if tickets else 0), batch

    job.consume(stream)
