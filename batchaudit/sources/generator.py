"""Generators. Keras 3 takes nothing but real generator objects, so a watched one is a real one."""

from __future__ import annotations

from collections.abc import Generator
from types import GeneratorType
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources.kinds import Kind


def kind(source: object) -> Kind | None:
    """The kind of a generator; None for anything else."""
    return Kind.ITERATOR if isinstance(source, GeneratorType) else None


def watch(source: Generator[Any, Any, Any], recorder: Recorder) -> Generator[Any, Any, Any]:
    """A generator that yields, accepts, raises and returns what the user's does.

    Args:
        source: the user's generator.
        recorder: notes each batch.

    Returns:
        A generator object that drives `source`.
    """
    return _drive(source, recorder.bind(source))


def _drive(source: Generator[Any, Any, Any], recorder: Recorder) -> Generator[Any, Any, Any]:
    # The batch is never bound to a name: a suspended frame would keep it alive until the next one.
    box: list[Any] = []
    step: Any = source.__next__
    args: tuple[Any, ...] = ()
    while True:
        try:
            box.append(recorder.produce(step, *args))
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield box.pop()
        except GeneratorExit:
            source.close()
            raise
        except BaseException as thrown:
            step, args = source.throw, (thrown,)
        else:
            step, args = (source.__next__, ()) if sent is None else (source.send, (sent,))
