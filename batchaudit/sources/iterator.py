"""Iterators that are no generators, and iterables that make them.

A class of the user's keeps its type (a twin); iterators that keep their state out of reach (`map`, `zip`,
`itertools.chain`, ...) have a stand-in.
"""

from __future__ import annotations

from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import generator
from batchaudit.sources.kinds import Kind
from batchaudit.sources.proxy import Proxy, WatchedIterator
from batchaudit.sources.subclass import twin

_NOT_SOURCES = (str, bytes, bytearray, dict, set, frozenset)


def kind(source: object) -> Kind | None:
    """ITERATOR, ITERABLE, or None for what cannot be iterated (or only by accident, such as a string)."""
    if isinstance(source, _NOT_SOURCES):
        return None
    if hasattr(source, "__next__"):
        return Kind.ITERATOR
    return Kind.ITERABLE if hasattr(source, "__iter__") else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched iterator or iterable.

    Args:
        source: an iterator, or an iterable whose every `iter()` is a new pass.
        recorder: notes each batch.

    Returns:
        A twin of the source where its class allows one, else a `WatchedIterator` or `WatchedIterable`.
    """
    iterates = hasattr(source, "__next__")
    overrides = {"__next__": _next, "__iter__": _iter_again} if iterates else {"__iter__": _iter}
    try:
        return twin(source, recorder, overrides, watch)
    except TypeError:
        return WatchedIterator(source, recorder) if iterates else WatchedIterable(source, recorder)


def _next(recorder: Recorder, original: Any) -> Any:
    return recorder.produce(original)


def _iter(recorder: Recorder, original: Any) -> Any:
    recorder.hook("iterator")
    return _watched(original(), recorder)


def _iter_again(recorder: Recorder, original: Any) -> Any:
    """An iterator gives itself; where it gives another one, that is where the batches come from."""
    made = original()
    return made if made is original.args[0] else _watched(made, recorder)


def _watched(made: Any, recorder: Recorder) -> Any:
    # A generator method keeps handing out generators. Other iterators are held and not twinned: one may be
    # known somewhere by its identity, as torch's are with the pids of their workers.
    return generator.watch(made, recorder) if generator.kind(made) else WatchedIterator(made, recorder)


class WatchedIterable(Proxy):
    """Watches an iterable."""

    __slots__ = ()

    def __iter__(self) -> Any:
        return _iter(self._batchaudit_recorder, self._batchaudit_source.__iter__)
