"""What a watched loader's iterators hand on. Requires torch.

They stay torch's own iterators, with a look at one method. Nothing here refers to the iterator that it
belongs to: its workers end with the last reference to it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data.dataloader import _BaseDataLoaderIter

from batchaudit.capture.passes import Pass
from batchaudit.capture.recorder import Recorder
from batchaudit.sources import torch_ids
from batchaudit.sources.delivery import Delivery
from batchaudit.sources.parcel import Parcel
from batchaudit.sources.proxy import Proxy
from batchaudit.sources.torch_looked_at import look_at, look_of
from batchaudit.sources.torch_workers import Fetches, WatchedInit


def iterate(recorder: Recorder, loader: Any, original: Callable[[], Any]) -> Any:
    """What a loader's `__iter__` gives, watched.

    Args:
        recorder: the loader's.
        loader: the loader.
        original: the loader's own `__iter__`.

    Returns:
        The same iterator; one of the user's own kind has a stand-in.
    """
    if recorder.off():
        return original()
    made = original()
    if isinstance(made, _BaseDataLoaderIter):
        return _watched_iterator(made, recorder, None)
    return made if made is loader else WatchedStream(made, recorder)


def make_iterator(recorder: Recorder, loader: Any, original: Callable[[], Any]) -> Any:
    """What a loader's `_get_iterator` gives, with watched workers.

    Args:
        recorder: the loader's.
        loader: the loader.
        original: the loader's own `_get_iterator`.

    Returns:
        The same iterator.
    """
    if recorder.off():
        return original()
    _note_iterator(recorder, loader)
    with _init_sent_along(loader, recorder) as init:
        made = original()
    if not isinstance(made, _BaseDataLoaderIter):
        return made
    if "_worker_init_fn" in vars(made):
        made._worker_init_fn = _users(made._worker_init_fn)
    return _watched_iterator(made, recorder, init)


def _note_iterator(recorder: Recorder, loader: Any) -> None:
    recorder.hook("iterator", epoch=torch_ids.believed_epoch(loader.dataset))
    sampler = torch_ids.sampler_epoch(loader)
    if sampler is not None:
        recorder.hook("sampler", epoch=sampler)


@contextmanager
def _init_sent_along(loader: Any, recorder: Recorder) -> Iterator[WatchedInit | None]:
    """Workers that start within it are watched."""
    held = vars(loader)
    if not loader.num_workers or "worker_init_fn" not in held:
        yield None
        return
    # Another thread may be making an iterator of the same loader.
    theirs = _users(held["worker_init_fn"])
    init = WatchedInit(theirs, recorder, _switch() if loader.persistent_workers else None)
    held["worker_init_fn"] = init
    try:
        yield init
    finally:
        held["worker_init_fn"] = theirs


def _users(init: Any) -> Any:
    return init.theirs if isinstance(init, WatchedInit) else init


def _switch() -> Any:
    """What tells workers that outlive the audit to stop looking."""
    try:
        return torch.zeros(1, dtype=torch.uint8, device="cpu").share_memory_()
    except Exception:  # no shared memory left: that is for what the loader itself sends
        return None


def _watched_iterator(iterator: Any, recorder: Recorder, init: WatchedInit | None) -> Any:
    known = look_of(iterator)
    if known is not None and known.recorder is recorder:
        return iterator
    fetcher = getattr(iterator, "_dataset_fetcher", None)
    if fetcher is None:
        return look_at(iterator, _Arrivals(recorder, init), _next_data="look", _reset="begin")
    fetches = Fetches(recorder, fetcher, None)
    look_at(fetcher, fetches, fetch="look")
    return look_at(iterator, _MadeHere(recorder, fetches), _next_data="look")


class _Arrivals(Delivery):
    """The consumer's side of an iterator with workers.

    Args:
        recorder: the loader's.
        init: what its workers were started with; None where they were not watched.
    """

    def __init__(self, recorder: Recorder, init: WatchedInit | None) -> None:
        super().__init__(recorder)
        self.recorder = recorder
        self._init = init
        self._handed_on = _handed_on(recorder)

    def begin(self, reset: Callable[..., Any], loader: Any, *args: Any, **kwargs: Any) -> Any:
        """Persistent workers begin another pass."""
        self._pass = None
        if not self.recorder.off():
            _note_iterator(self.recorder, loader)
        elif self._init is not None:
            self._init.switch_off()
        return reset(loader, *args, **kwargs)

    def look(self, next_data: Callable[[], Any]) -> Any:
        """Takes the next batch out of its parcel."""
        asked = time.monotonic_ns()
        try:
            item = next_data()
        except StopIteration:
            self.end()
            raise
        waited = time.monotonic_ns() - asked
        self._handed_on.batches += 1
        if not isinstance(item, Parcel):
            self.note_alone(item, waited)
            return item
        ticket, batch = item
        del item
        self.hand_on(batch, ticket, waited)
        return batch

    def note_alone(self, batch: Any, waited_ns: int) -> None:
        """Notes a batch that nobody saw before: its workers, or its iterator, were there before the audit."""
        recorder, passes = self.recorder, self.recorder.passes
        if recorder.off():
            return
        if passes is None or not recorder.asked_by_consumer:
            recorder.produce(lambda: batch)
            return
        self._pass = self._pass or Pass(passes)
        epoch, step = self._pass.take()
        recorder.consume(batch, epoch=epoch, step=step, waited_ns=waited_ns)


class _MadeHere:
    """The consumer's side of an iterator without workers: its fetcher has noted the batch already."""

    def __init__(self, recorder: Recorder, fetches: Fetches) -> None:
        self.recorder = recorder
        self._fetches = fetches
        self._handed_on = _handed_on(recorder)

    def look(self, next_data: Callable[[], Any]) -> Any:
        """Takes the next batch."""
        try:
            batch = next_data()
        except StopIteration:
            self._fetches.recorder.end_pass()
            raise
        self._handed_on.batches += 1
        return batch


class _HandedOn:
    """How many batches the watched iterators of one loader have handed on."""

    __slots__ = ("batches",)

    def __init__(self) -> None:
        self.batches = 0


_counts: weakref.WeakKeyDictionary[Recorder, _HandedOn] = weakref.WeakKeyDictionary()


def _handed_on(recorder: Recorder) -> _HandedOn:
    return _counts.setdefault(recorder, _HandedOn())


class WatchedStream(Proxy, Iterator[Any]):
    """Stands in for an iterator of the user's own, which a loader's own `__iter__` gave.

    Where it takes its batches from an iterator of torch's that is watched, these have been noted. Where it
    takes them from one that was there before the audit, they are noted here.
    """

    __slots__ = ("_batchaudit_stream",)

    _batchaudit_stream: _Stream

    def __init__(self, source: Any, recorder: Recorder) -> None:
        super().__init__(source, recorder)
        object.__setattr__(self, "_batchaudit_stream", _Stream(recorder, None))

    def __next__(self) -> Any:
        return self._batchaudit_stream.following(self._batchaudit_source)


class _Stream(_Arrivals):
    """The consumer's side of an iterator of the user's own."""

    _is_noted = False

    def following(self, batches: Any) -> Any:
        """Takes the next batch."""
        before, asked = self._handed_on.batches, time.monotonic_ns()
        try:
            batch = next(batches)
        except StopIteration:
            self.end()
            raise
        # Once is enough: an iterator may take several ahead, and then hand one on without taking another.
        self._is_noted = self._is_noted or self._handed_on.batches != before
        if not self._is_noted:
            self.note_alone(batch, time.monotonic_ns() - asked)
        return batch
