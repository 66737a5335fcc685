"""Iterators that are no generators, and iterables that make them.

A class of the user's keeps its type (a twin); iterators without a `__dict__` (`map`, `zip`,
`itertools.chain`, ...) are held by a `WatchedIterator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import generator
from batchaudit.sources.kinds import Kind
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
    overrides = {"__next__": _next} if hasattr(source, "__next__") else {"__iter__": _iter}
    if hasattr(source, "__dict__"):
        try:
            return twin(source, recorder, overrides, watch)
        except TypeError:
            pass  # a class that forbids subclasses or has slots beside its dict
    if hasattr(source, "__next__"):
        return WatchedIterator(source, recorder)
    return WatchedIterable(source, recorder)


def _next(recorder: Recorder, original: Any) -> Any:
    return recorder.produce(original)


def _iter(recorder: Recorder, original: Any) -> Any:
    recorder.hook("iterator")
    made = original()
    # A generator method keeps handing out generators.
    return generator.watch(made, recorder) if generator.kind(made) else watch(made, recorder)


class WatchedIterator(Iterator[Any]):
    """Watches an iterator whose class takes no subclass."""

    def __init__(self, source: Iterator[Any], recorder: Recorder) -> None:
        self._source = source
        self._recorder = recorder.bind(source)

    def __next__(self) -> Any:
        return self._recorder.produce(self._source.__next__)

    def __getattr__(self, name: str) -> Any:
        return getattr(_held(self), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, self._recorder)


class WatchedIterable:
    """Watches an iterable whose class takes no subclass."""

    def __init__(self, source: Any, recorder: Recorder) -> None:
        self._source = source
        self._recorder = recorder.bind(source)

    def __iter__(self) -> Any:
        return _iter(self._recorder, self._source.__iter__)

    def __getattr__(self, name: str) -> Any:
        return getattr(_held(self), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._source, self._recorder)


def _held(watched: Any) -> Any:
    # Straight from the instance: while an object is being copied or unpickled it has no attribute yet,
    # and `self._source` would then call `__getattr__` for ever.
    try:
        return object.__getattribute__(watched, "_source")
    except AttributeError:
        raise AttributeError("the watched source is not there yet") from None
