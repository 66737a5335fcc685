"""Looks at one source's batches, where they are made and where they are handed on, and logs what it saw.

A look takes no lock, keeps no batch, swallows no exception and draws from no random stream. Whatever
goes wrong inside the look itself becomes a flag on the record, never an error in the training.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol, TypeVar

import numpy as np

from batchaudit.capture.fingerprint import Fingerprint, fingerprint
from batchaudit.capture.ids import Key, one_each, pickles, sample_ids
from batchaudit.capture.passes import Pass, Passes
from batchaudit.capture.rng import STREAMS, StreamReader
from batchaudit.errors import BatchauditWarning
from batchaudit.journal.layout import Event, Flag, Stage

T = TypeVar("T")

EXHAUSTED = "exhausted"
"""The hook that says that an iterator has come to its end."""

_PRODUCED, _DELIVERED = Stage.PRODUCED, Stage.DELIVERED
_NO_STREAMS = (0,) * len(STREAMS)
# A flag's own arithmetic takes 0.5 µs each time, 3 % of the look at a small batch.
_PROBE, _CONSUMED, _RNG_UNREAD, _REPLAYED = map(
    int, (Flag.PROBE, Flag.CONSUMED, Flag.RNG_UNREAD, Flag.REPLAYED)
)
_UNHASHABLE, _NO_SAMPLES = int(Flag.UNHASHABLE), int(Flag.NO_SAMPLES)
# What Python and Keras say where threads share a generator: no word of it is the user's.
_OF_A_RACE = re.compile("generator already executing|NOT thread-safe")
# Running out is how an iterator or an index ends, not a failure.
_ENDS = (StopIteration, StopAsyncIteration, IndexError, GeneratorExit)


class Journal(Protocol):
    """What a recorder needs of the log that it writes to."""

    @property
    def closed(self) -> bool:
        """Whether the log has been closed: nothing more is written to it."""
        ...

    @property
    def off(self) -> bool:
        """Whether nothing more is written to it from this process: it is closed, or logging has failed."""
        ...

    def append(self, event: Event) -> int:
        """Writes one event; returns its ticket, or 0 where logging has stopped."""
        ...


class _Local(threading.local):
    """What one thread is at. Defaults of the class: an attribute that is missing is slow to ask for."""

    looking = False
    ticket = 0
    ids: np.ndarray | None = None
    framework_worker = -1
    framework_seed = 0
    for_framework = False


class _Within:
    """Says for a while for whom a thread makes batches; a generator's context would cost 2 µs a batch."""

    __slots__ = ("_before", "_local", "_meanwhile")

    def __init__(self, local: _Local, worker: int, seed: int, for_framework: bool) -> None:
        self._local = local
        self._meanwhile = (worker, seed, for_framework)

    def __enter__(self) -> None:
        local = self._local
        self._before = (local.framework_worker, local.framework_seed, local.for_framework)
        local.framework_worker, local.framework_seed, local.for_framework = self._meanwhile

    def __exit__(self, *error: object) -> None:
        local = self._local
        local.framework_worker, local.framework_seed, local.for_framework = self._before


class _Shared:
    """What all recorders of one source and strategy have in common, in one process."""

    def __init__(self, journal: Journal, key: Key | None, passes: Passes | None) -> None:
        self.journal = journal
        self.key = key
        self.passes = passes
        self.local = _Local()
        self.probing = False
        self.epoch = 0
        self.in_order: deque[int] | None = None
        self.warned = False

    def __reduce__(self) -> tuple[Any, ...]:
        # A key that does not pickle must not keep the source from going to a worker.
        return type(self), (self.journal, self.key if pickles(self.key) else None, self.passes)


class Recorder:
    """Notes the batches of one source under one strategy.

    Args:
        journal: where the events go.
        key: optional; given a batch, returns one id a sample (integers, or anything hashable by value):
            which stored item each sample came from.
        passes: counts the passes of whoever consumes the source in a program of the user's own; None where a
            strategy drives it and says what it delivers.

    A recorder may be forked, pickled and shared between threads.
    """

    def __init__(self, journal: Journal, key: Key | None = None, passes: Passes | None = None) -> None:
        self._shared = _Shared(journal, key, passes)
        self._streams = StreamReader()
        self._pass: Pass | None = None

    def bind(self, source: object) -> Recorder:
        """A recorder of the same source's batches that also looks into an object for private random streams.

        Args:
            source: the user's object; where a strategy makes several, each has a recorder of its own.

        Returns:
            A recorder that shares everything else with this one.
        """
        bound = object.__new__(type(self))
        bound._shared = self._shared
        bound._streams = StreamReader(source)
        bound._pass = None
        return bound

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._shared,)

    # -- produced ---------------------------------------------------------------------------------

    def produce(self, make: Callable[..., T], *args: Any, index: int = -1) -> T:
        """Calls `make(*args)` exactly as it would have been called, and notes the batch it returns.

        Args:
            make: the source's own function.
            *args: its arguments.
            index: which batch was asked for by number; -1 where it was not.

        Returns:
            What `make` returned, untouched.
        """
        shared, streams = self._shared, self._streams
        local = shared.local
        # `__iter__` of a source may call its own `__getitem__`.
        if local.looking or (shared.journal.off and self.off()):
            return make(*args)
        local.looking, local.ids, local.ticket = True, None, 0
        try:
            before = streams.read()
            began = time.monotonic_ns()
            try:
                batch = make(*args)
            except _ENDS:
                self.end_pass()
                raise
            except BaseException as error:
                self.raised(error)
                raise
            ended = time.monotonic_ns()
            after = streams.read_again()
        finally:
            local.looking = False
        flags = (_PROBE if shared.probing else 0) | (_RNG_UNREAD if streams.unread else 0)
        place = None if shared.passes is None else self._take_place(index)
        if place is not None:
            flags |= _CONSUMED
        self._note_produced(batch, index, began, ended, before, after, flags, place)
        return batch

    def replayed(self, batch: object) -> None:
        """Notes a batch that a worker emitted without asking the source: one it inherited or kept."""
        now = time.monotonic_ns()
        self._shared.local.ids = None
        self._note_produced(batch, -1, now, now, _NO_STREAMS, _NO_STREAMS, _REPLAYED)

    def note_ids(self, ids: np.ndarray) -> None:
        """Takes the sample ids of the batch that is being made in this thread.

        Args:
            ids: integers, shape (samples,).
        """
        self._shared.local.ids = np.asarray(ids)

    def line_up(self) -> deque[int]:
        """From now on also keeps the tickets of what is produced, in order, whichever thread produces it.

        Returns:
            The line; the caller takes them out of it.
        """
        self._shared.in_order = deque()
        return self._shared.in_order

    @contextmanager
    def probing(self) -> Iterator[None]:
        """Within it, what is produced is a framework's look ahead."""
        self._shared.probing = True
        try:
            yield
        finally:
            self._shared.probing = False

    def as_worker(self, number: int, seed: int = 0) -> AbstractContextManager[None]:
        """Within it, what this thread produces is laid to a worker that the framework numbers.

        Args:
            number: the framework's own number of the worker, from 0.
            seed: the seed that the framework gave it; 0 where it gives none.
        """
        return _Within(self._shared.local, number, seed, True)

    def for_framework(self) -> AbstractContextManager[None]:
        """Within it, what this thread asks for goes into a framework's queue, whoever takes it out of there.

        A framework's thread may draw ahead while its `fit` is over and nobody claims the source any more.
        """
        local = self._shared.local
        return _Within(local, local.framework_worker, local.framework_seed, True)

    def take_ticket(self) -> int:
        """The ticket of the batch last produced in this thread, once; 0 where none was."""
        local = self._shared.local
        ticket, local.ticket = local.ticket, 0
        return ticket

    def hand_on(self, ticket: int) -> None:
        """Makes a ticket that came from a worker the one that `take_ticket` returns next in this thread.

        Args:
            ticket: of the batch that this thread is about to hand to whoever asked for it; 0 for not known.
        """
        self._shared.local.ticket = ticket

    def end_pass(self) -> None:
        """The source has run out: what comes after that is another pass."""
        ended, self._pass = self._pass, None
        if ended is not None:
            self.hook(EXHAUSTED, epoch=ended.epoch, step=ended.taken)

    # -- the consumer's side ----------------------------------------------------------------------

    @property
    def passes(self) -> Passes | None:
        """Counts the passes of the source's consumer; None where a strategy drives it."""
        return self._shared.passes

    @property
    def asked_by_consumer(self) -> bool:
        """Whether who asks for a batch in this thread is who consumes it, as far as anybody has said."""
        passes, local = self._shared.passes, self._shared.local
        return passes is not None and passes.free and not local.for_framework

    def claim(self) -> None:
        """Somebody who sees what reaches the model says from now on what was delivered."""
        if self._shared.passes is not None:
            self._shared.passes.owners += 1

    def release(self) -> None:
        """Takes one `claim` back."""
        if self._shared.passes is not None:
            self._shared.passes.owners -= 1

    @property
    def is_over(self) -> bool:
        """Whether the audit has been closed."""
        return self._shared.journal.closed

    @property
    def is_off(self) -> bool:
        """As `off`, for who may be a framework's own thread: it never warns."""
        return self._shared.journal.off

    def leave(self) -> None:
        """The source is watched by another audit from now on: that this one is over is no news."""
        self._shared.warned = True

    def off(self) -> bool:
        """Whether nothing more is logged; warns the first time if that is because the audit has been closed.

        Where logging has failed, no batch is hashed any more: the training is as fast as without the audit. A
        framework's own thread that draws ahead hears no warning: the user's `fit` is over, and in order.
        """
        shared = self._shared
        if not shared.journal.off:
            return False
        if shared.journal.closed and not (
            shared.warned or shared.local.for_framework or _in_foreign_thread()
        ):
            self._shared.warned = True
            _warn_closed()
        return True

    def consume(
        self, batch: object, *, epoch: int, step: int, waited_ns: int = 0, probe: bool = False
    ) -> None:
        """Notes a batch of which nothing was seen before it was handed to the consumer.

        Args:
            batch: the batch.
            epoch: the consumer's epoch, from 0.
            step: the consumer's step within it, from 0.
            waited_ns: for how long the consumer waited for it, nanoseconds.
            probe: whether it was only looked at, such as for its shape, and trained on by nobody.
        """
        if self._shared.journal.off:
            return
        now = time.monotonic_ns()
        self._shared.local.ids = None
        flag = _PROBE if probe else _CONSUMED
        self._note_produced(batch, -1, now - waited_ns, now, _NO_STREAMS, _NO_STREAMS, flag, (epoch, step))

    def deliver(
        self,
        batch: object,
        *,
        epoch: int,
        step: int,
        ticket: int = 0,
        waited_ns: int = 0,
        probe: bool = False,
    ) -> None:
        """Notes a batch that was handed to the consumer.

        Args:
            batch: the batch.
            epoch: the consumer's epoch, from 0.
            step: the consumer's step within it, from 0.
            ticket: the produced batch it came from; 0 where that is not known.
            waited_ns: for how long the consumer waited for it, nanoseconds.
            probe: whether it was only looked at, such as for its shape, and trained on by nobody.
        """
        if self._shared.journal.off:
            return
        now = time.monotonic_ns()
        seen, flags = _look(batch)
        ids = None if self._shared.key is None else self._keyed(batch, seen)
        # In the order of the fields, as in `_note_produced`.
        event = Event(
            _DELIVERED, flags | (_PROBE if probe else 0), threading.get_native_id(), epoch, step, -1, ticket,
            seen.digest_hi, seen.digest_lo, seen.nbytes, now - waited_ns, now, _NO_STREAMS, _NO_STREAMS,
            -1, 0, seen.samples, ids,
        )  # fmt: skip
        self._append(event)

    # -- hooks, errors ----------------------------------------------------------------------------

    def hook(self, name: str, *, epoch: int | None = None, step: int = -1) -> None:
        """Notes a call of `on_epoch_begin`, `on_epoch_end`, `set_epoch`, or a new iterator.

        Args:
            name: the hook's name.
            epoch: the epoch that this process believes in; None for what the hooks so far make it.
            step: the step within it; -1 where there is none.
        """
        now = time.monotonic_ns()
        self._append(
            Event(stage=Stage.HOOK, thread=threading.get_native_id(),
                  epoch=self._shared.epoch if epoch is None else epoch, step=step, began_ns=now,
                  ended_ns=now, text=name)
        )  # fmt: skip
        if name == "on_epoch_end":
            self._shared.epoch += 1
            self._pass = None

    def believes(self, epoch: int) -> None:
        """Takes the epoch that the source says it is in; what is produced from now on is noted with it.

        Args:
            epoch: the source's own number.
        """
        self._shared.epoch = epoch

    def raised(self, error: BaseException) -> None:
        """Notes an exception that came out of the source: its type, since its message may hold content."""
        said = type(error).__name__
        with suppress(Exception):  # an exception may fail to say what it is
            known = _OF_A_RACE.search(str(error))
            said = f"{said}: {known[0]}" if known else said
        now = time.monotonic_ns()
        self._append(
            Event(stage=Stage.RAISED, thread=threading.get_native_id(), epoch=self._shared.epoch,
                  began_ns=now, ended_ns=now, text=said)
        )  # fmt: skip

    # -- inside -----------------------------------------------------------------------------------

    def _note_produced(
        self,
        batch: object,
        index: int,
        began: int,
        ended: int,
        before: tuple[int, ...],
        after: tuple[int, ...],
        flags: int,
        place: tuple[int, int] | None = None,
    ) -> None:
        seen, more = _look(batch)
        shared = self._shared
        local = shared.local
        epoch, step = place or (shared.epoch, -1)
        ids = local.ids if shared.key is None else self._keyed(batch, seen)
        text = "; ".join(seen.unhashable)[:2000] if seen.unhashable else ""
        # In the order of the fields: by keyword, an event takes three times as long to make, 0.5 µs.
        event = Event(
            _PRODUCED, flags | more, threading.get_native_id(), epoch, step, index, 0, seen.digest_hi,
            seen.digest_lo, seen.nbytes, began, ended, before, after, local.framework_worker,
            local.framework_seed, seen.samples, ids if one_each(ids, seen) else None, text,
        )  # fmt: skip
        ticket = local.ticket = self._append(event)
        if shared.in_order is not None:
            shared.in_order.append(ticket)

    def _take_place(self, index: int) -> tuple[int, int] | None:
        """Epoch and step, where whoever asked for the batch is its consumer."""
        passes = self._shared.passes
        if passes is None or self._shared.probing or not (passes.here and self.asked_by_consumer):
            return None
        if self._pass is None:
            self._pass = Pass(passes)
        return self._pass.take(index)

    def _keyed(self, batch: object, seen: Fingerprint) -> np.ndarray | None:
        """The ids that the user's own function gives."""
        if self._shared.key is None or seen.samples is None:
            return None
        try:
            ids = sample_ids(self._shared.key, batch)
        except Exception:  # it may be made for another form of the batch than this one
            return None
        return ids if one_each(ids, seen) else None

    def _append(self, event: Event) -> int:
        try:
            return self._shared.journal.append(event)
        except Exception:  # a failing log must not stop a training; the journal itself says what it lost
            return 0


def _rebuilt(shared: _Shared) -> Recorder:
    recorder = object.__new__(Recorder)
    recorder._shared = shared
    recorder._streams = StreamReader()
    recorder._pass = None
    return recorder


def _in_foreign_thread() -> bool:
    """Whether Python has not started this thread: a framework has, and draws ahead in it."""
    # Not `current_thread()`, which would make the thread known.
    known = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    return known is None or isinstance(known, threading._DummyThread)


def _warn_closed() -> None:
    with suppress(Exception):  # where warnings are made errors, the training must go on all the same
        message = "a source is used after its audit was closed: it goes on as it is, unwatched."
        warnings.warn(BatchauditWarning(message, "audit-closed"), stacklevel=4)


def _look(batch: object) -> tuple[Fingerprint, int]:
    try:
        seen = fingerprint(batch, strict=False)
    except Exception:  # an exotic object must not stop a training: its record says that it was not hashed
        return Fingerprint(0, 0, None, 0), _UNHASHABLE | _NO_SAMPLES
    flags = _UNHASHABLE if seen.unhashable else 0
    return seen, flags | (_NO_SAMPLES if seen.samples is None else 0)
