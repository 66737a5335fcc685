"""Generators. Keras 3 takes nothing but real generator objects, so a watched one is a real one."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from types import GeneratorType
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import hooks
from batchaudit.sources.kinds import Kind


def kind(source: object) -> Kind | None:
    """The kind of a generator; None for anything else."""
    return Kind.ITERATOR if isinstance(source, GeneratorType) else None


def about(source: Generator[Any, Any, Any]) -> dict[str, Any]:
    """What the objects that a generator holds would do between epochs.

    Args:
        source: the user's generator.
    """
    return {"hooks": hooks.of_what_is_held([source])}


def watch(source: Generator[Any, Any, Any], recorder: Recorder) -> Generator[Any, Any, Any]:
    """A generator that yields, accepts, raises and returns what the user's does.

    Args:
        source: the user's generator.
        recorder: notes each batch.

    Returns:
        A generator object that drives `source`.
    """
    bound = recorder.bind(source)
    watched = _drive(source, bound)
    _recorders[watched] = bound
    for name in ("__name__", "__qualname__"):
        setattr(watched, name, getattr(source, name))
    return watched


def recorder_of(source: object) -> Recorder | None:
    """The recorder of a watched generator; None for any other object."""
    return _recorders.get(source) if isinstance(source, GeneratorType) else None


# A generator takes no attribute, and a look into its frame would keep its last batch alive.
_recorders: weakref.WeakKeyDictionary[Any, Recorder] = weakref.WeakKeyDictionary()


def _drive(source: Generator[Any, Any, Any], recorder: Recorder) -> Generator[Any, Any, Any]:
    # Neither the batch nor what was sent or thrown stays bound to a name: a suspended frame would keep it.
    box: list[Any] = []
    step: Any = source.__next__
    args: tuple[Any, ...] = ()
    while True:
        try:
            box.append(recorder.produce(step, *args))
        except StopIteration as stop:
            return stop.value
        step, args, sent = source.__next__, (), None
        try:
            sent = yield box.pop()
        except GeneratorExit:
            value: Any = source.close()  # type: ignore[func-returns-value]
            if value is not None:  # from Python 3.13 on, what the generator returned
                return value
            raise
        except BaseException as thrown:
            step, args = source.throw, (thrown,)
        if sent is not None:
            step, args = source.send, (sent,)
