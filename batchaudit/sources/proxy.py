"""Stand-ins for sources that no twin can be made of: `map`, `zip`, `itertools.chain`, a list of batches, ...

Most of them keep their state where Python code cannot reach it. A stand-in holds the source, passes every
attribute on to it in both directions, and is of another type.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from batchaudit.capture.recorder import Recorder


class Proxy:
    """What all stand-ins have in common.

    Args:
        source: the user's object.
        recorder: notes what it produces.
    """

    __slots__ = ("_batchaudit_recorder", "_batchaudit_source")

    _batchaudit_source: Any
    _batchaudit_recorder: Recorder

    def __init__(self, source: Any, recorder: Recorder) -> None:
        object.__setattr__(self, "_batchaudit_source", source)
        object.__setattr__(self, "_batchaudit_recorder", recorder.bind(source))

    def __getattr__(self, name: str) -> Any:
        if name in Proxy.__slots__:  # not there yet, while the stand-in is being made
            raise AttributeError(name)
        return getattr(self._batchaudit_source, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._batchaudit_source, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._batchaudit_source, name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self._batchaudit_source, self._batchaudit_recorder)


class WatchedIterator(Proxy, Iterator[Any]):
    """Watches an iterator."""

    __slots__ = ()

    def __next__(self) -> Any:
        return self._batchaudit_recorder.produce(self._batchaudit_source.__next__)


class WatchedList(Proxy):
    """Watches a sequence of batches."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._batchaudit_source)

    def __getitem__(self, index: Any) -> Any:
        return self._batchaudit_recorder.produce(
            self._batchaudit_source.__getitem__, index, index=as_number(index)
        )


def as_number(index: Any) -> int:
    """The number of the batch that is asked for; -1 where the index is no number (a slice, a key)."""
    return operator.index(index) if hasattr(type(index), "__index__") else -1
