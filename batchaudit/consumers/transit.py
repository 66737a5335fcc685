"""Follows batches through a framework's queue: which produced batch is the one that comes out?

A framework's pool calls a module-level function in the worker and hands its result to the consumer in
order. For the time of an audit that function is replaced by one that sends the ticket along with the
batch; where the framework takes the batch out of its queue, the ticket is put into a line of its own,
from which the consumer takes one a batch. The framework's own code does everything in between.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.errors import in_full
from batchaudit.sources import recorder_of
from batchaudit.sources.parcel import Parcel as Parcel


class LiveParcel(Parcel):
    """A parcel of a source that a program of the user's own drives."""

    __slots__ = ()


class Transit:
    """The line of tickets between a framework's queue and the consumer, and the first failure on the way."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.peeked: list[int] = []
        """Tickets of what the framework looked at before it began, in order."""
        self.failure: str | None = None
        """The worker's own traceback, where one raised."""
        self._tickets: deque[int] = deque()

    def take(self) -> int:
        """The ticket of the next batch that the consumer gets; 0 where it is not known."""
        return self._tickets.popleft() if self._tickets else 0

    def unpack(self, items: Iterable[Any]) -> Iterator[Any]:
        """What a framework takes out of its queue, without the tickets.

        Args:
            items: parcels.

        Yields:
            The batches.
        """
        line = self._begin_line()
        for item in self._watched(items):
            ticket, batch = item if isinstance(item, Parcel) else (0, item)
            del item
            line.append(ticket)
            yield batch
            del batch

    def follow(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Batches that the framework makes in the thread that iterates here, peeks replayed among them.

        Args:
            batches: what the framework iterates over.

        Yields:
            The same batches.
        """
        line = self._begin_line()
        peeked = iter(list(self.peeked))
        self.recorder.take_ticket()
        for batch in self._watched(self._as_one_worker(batches)):
            line.append(self.recorder.take_ticket() or next(peeked, 0))
            yield batch
            del batch

    def _begin_line(self) -> deque[int]:
        # What an iterator drew ahead and nobody took must not be mistaken for what the next one yields.
        self._tickets = deque()
        return self._tickets

    def _as_one_worker(self, batches: Iterable[Any]) -> Iterator[Any]:
        # TensorFlow may run each step of a generator in another of its threads.
        iterator = iter(batches)
        while True:
            with self.recorder.as_worker(0):
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch
            del batch

    def _watched(self, items: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from items
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = self.failure or in_full(error)
            self.recorder.raised(error)
            raise


def parcel(uid: int, source: Any, batch: Any) -> Any:
    """Packs what a worker has just got from the source.

    Args:
        uid: by which the framework knows the enqueuer.
        source: a watched source, or an iterator around one.
        batch: what it gave.

    Returns:
        The parcel. Where the source was not asked (a peek that the worker inherited) the batch gets a
        record of its own first. The batch itself where the enqueuer is not the audit's.
    """
    recorder = find_recorder(uid, source)
    return batch if recorder is None else _packed(recorder, batch)


def _packed(recorder: Recorder, batch: Any) -> Parcel:
    ticket = recorder.take_ticket()
    if not ticket:
        recorder.replayed(batch)
        ticket = recorder.take_ticket()
    return Parcel(ticket, batch)


def find_recorder(uid: int, source: Any) -> Recorder | None:
    """The recorder of a watched source, or of the audit that drives it; None where there is none.

    Args:
        uid: by which the framework knows the enqueuer.
        source: what its workers take batches from.
    """
    audits = (recorder for first, recorder in _driven if uid >= first)
    return recorder_behind(source) or next(audits, None)


def recorder_behind(source: Any) -> Recorder | None:
    """The recorder of a watched source, also of one that a framework has chained its peeks to; else None.

    Args:
        source: what a framework's worker takes batches from.
    """
    known = recorder_of(source)
    if known is not None:
        return known
    # A chain holds an iterator over the tuple that holds the source. No other object is looked into: a source
    # that merely uses a watched one yields batches of its own.
    found = [source]
    for _ in range(3):
        found = [held for one in found if isinstance(one, _CHAINS) for held in gc.get_referents(one)]
        for held in found:
            known = recorder_of(held)
            if known is not None:
                return known
    return None


_CHAINS: tuple[type, ...] = (itertools.chain, tuple, list, type(iter(())), type(iter([])))

# The audit that drives sources through enqueuers, and the uid of its first. Forked workers inherit this.
_driven: list[tuple[int, Recorder]] = []


def taking(recorder: Recorder | None) -> AbstractContextManager[None]:
    """Within it a framework's worker takes a batch out of a source, for its queue.

    Args:
        recorder: of the source; None where nobody watches it.
    """
    return nullcontext() if recorder is None else recorder.for_framework()


def live_parcel(recorder: Recorder | None, batch: Any) -> Any:
    """What a worker sends in a program of the user's own.

    Args:
        recorder: of the source that gave the batch; None where nobody watches it.
        batch: what it gave.

    Returns:
        A parcel; the batch itself where the source is not watched in a live audit.
    """
    if recorder is None or recorder.passes is None or recorder.is_off:
        return batch
    return LiveParcel(*_packed(recorder, batch))


def without_tickets(items: Iterable[Any]) -> Iterator[Any]:
    """What comes out of a queue that somebody other than a followed consumer takes from.

    Args:
        items: batches, or live parcels.

    Yields:
        The batches.
    """
    for item in items:
        yield item.batch if isinstance(item, LiveParcel) else item
        del item


@contextmanager
def _driving(recorder: Recorder, first: int) -> Iterator[None]:
    """Makes `recorder` the one that forked workers and pool threads find, for the time of one audit."""
    _driven.append((first, recorder))
    try:
        yield
    finally:
        _driven.clear()


@contextmanager
def replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Sets attributes of a module or class for the time of one audit.

    Args:
        owner: a module or class of the framework.
        **values: name=value.
    """
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextmanager
def followed(
    transit: Transit,
    module: Any,
    enqueuers: Iterable[Any],
    get_pool_class: Any,
    failed: Callable[[Exception], None],
    **functions: Any,
) -> Iterator[weakref.WeakSet[Any]]:
    """Follows the batches through the pool that Keras 3 and tf_keras share the design of.

    Args:
        transit: takes the tickets as the batches leave the queue.
        module: the framework's, which holds the enqueuers and what their workers call.
        enqueuers: its classes of enqueuers.
        get_pool_class: stands in for the module's.
        failed: told what the thread that fills the queue raised; tf_keras tells nobody who waits there.
        **functions: what stands in for the functions that its workers call.

    Yields:
        The enqueuers that batches have been asked of.
    """
    used: weakref.WeakSet[Any] = weakref.WeakSet()

    def unpacking(original: Any) -> Any:
        def get(self: Any) -> Any:
            used.add(self)
            return transit.unpack(original(self))

        return get

    def telling(original: Any) -> Any:
        def run(self: Any) -> None:
            try:
                original(self)
            except Exception as error:
                failed(error)

        return run

    def sending(original: Any) -> Any:
        def get_executor_init(self: Any, workers: int) -> Any:
            pool_of = original(self, workers)
            # What other enqueuers of this process hold may refuse to be pickled, and is no business of ours.
            return lambda sequences: pool_of({self.uid: sequences[self.uid]})

        return get_executor_init

    # The program may have enqueuers that still run: ours are known by higher numbers.
    first = max(module._SHARED_SEQUENCES, default=-1) + 1
    # A new queue: that of another start method cannot be sent to the workers.
    fresh = {"_WORKER_ID_QUEUE": None, "_SEQUENCE_COUNTER": first}
    with ExitStack() as stack:
        stack.enter_context(_driving(transit.recorder, first))
        stack.enter_context(replaced(module, get_pool_class=get_pool_class, **fresh, **functions))
        for enqueuer in enqueuers:
            ours = {
                "get": unpacking(enqueuer.get),
                "_run": telling(enqueuer._run),
                "_get_executor_init": sending(enqueuer._get_executor_init),
            }
            stack.enter_context(replaced(enqueuer, **ours))
        yield used
