"""A watched twin of the user's object: the same state, in a class of its own.

The twin is an instance of a new subclass of the object's class and shares the object's `__dict__` and slots,
so `isinstance`, attributes, hooks and every change of state are those of the user's object, which itself
stays as it was. (A delegating proxy would fail the type checks of the frameworks.)
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any

from batchaudit.capture.recorder import Recorder

Override = Callable[..., Any]
"""`override(recorder, original, *args)`: what a watched method does around the original one."""

Watch = Callable[[Any, Recorder], Any]
"""Makes a watched source of a source."""

# Looked up on the class, never on the instance: the instance's `__dict__` belongs to the user.
_RECORDER = "_batchaudit_recorder"
_SOURCE = "_batchaudit_source"
_WATCH = "_batchaudit_watch"


def twin(source: Any, recorder: Recorder, overrides: Mapping[str, Override], watch: Watch) -> Any:
    """Makes a watched twin of an object.

    Args:
        source: the user's object; it is not changed.
        recorder: notes what the twin's methods do.
        overrides: what to do around which method. A name that the object's class does not have is left out.
        watch: the module-level function that makes such a twin again in the process that unpickles it.

    Returns:
        An instance of a subclass of the source's class, sharing its state.

    Raises:
        TypeError: the object's class takes no subclass, or keeps state where no twin can share it.
    """
    base = type(source)
    body: dict[str, Any] = {
        name: _method(getattr(base, name), override)
        for name, override in overrides.items()
        if hasattr(base, name)
    }
    body.update(_shared_slots(source))
    if not hasattr(source, "__dict__"):
        body["__slots__"] = ()
    if hasattr(base, "__del__"):
        body["__del__"] = _leave_to_the_source
    if not hasattr(base, "__copy__"):
        body["__copy__"] = _copied
    if not hasattr(base, "__deepcopy__"):
        body["__deepcopy__"] = _deep_copied
    body.update(
        {
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            "__doc__": base.__doc__,
            "__reduce_ex__": _reduce,
            _RECORDER: recorder.bind(source),
            _SOURCE: source,
            _WATCH: staticmethod(watch),
        }
    )
    return _share(source, _subclass(base, body))


def untwin(watched: Any) -> Any:
    """The user's own object, whose state a twin shares."""
    return getattr(type(watched), _SOURCE)


def is_twin(source: object) -> bool:
    """Whether an object is a watched twin."""
    return hasattr(type(source), _RECORDER)


def recorder_of(watched: object) -> Recorder:
    """The recorder of a twin."""
    found: Recorder = getattr(type(watched), _RECORDER)
    return found


class _Quiet:
    """Goes before the user's class, so that its `__init_subclass__` (a registry, a veto) hears of no twin."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        pass


def _subclass(base: type, body: dict[str, Any]) -> type:
    try:
        return type(base)(base.__name__, (_Quiet, base), body)
    except Exception as error:  # a metaclass of the user's may raise anything
        raise TypeError(f"{base.__name__} takes no subclass: {error}") from error


def _share(source: Any, cls: type) -> Any:
    made: Any = object.__new__(cls)
    if hasattr(source, "__dict__"):
        object.__setattr__(made, "__dict__", object.__getattribute__(source, "__dict__"))
    return made


def _shared_slots(source: Any) -> dict[str, property]:
    """What a class keeps in slots stays in the source's: the twin has a way there in place of each."""
    found: dict[str, Any] = {}
    for cls in reversed(type(source).__mro__):
        found.update(vars(cls))
    slots = {name: value for name, value in found.items() if isinstance(value, MemberDescriptorType)}
    return {name: _way_to(source, slot) for name, slot in slots.items()}


def _way_to(source: Any, slot: MemberDescriptorType) -> property:
    return property(
        lambda self: slot.__get__(source),
        lambda self, value: slot.__set__(source, value),
        lambda self: slot.__delete__(source),
    )


def _leave_to_the_source(self: Any) -> None:
    """`__del__` of a twin: the source lives as long as its twin, and ends once."""


def _copied(self: Any) -> Any:
    return getattr(type(self), _WATCH)(copy.copy(untwin(self)), recorder_of(self))


def _deep_copied(self: Any, memo: dict[int, Any]) -> Any:
    return getattr(type(self), _WATCH)(copy.deepcopy(untwin(self), memo), recorder_of(self))


def _method(original: Callable[..., Any], override: Override) -> Callable[..., Any]:
    @functools.wraps(original)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        return override(recorder_of(self), functools.partial(original, self), *args, **kwargs)

    return watched


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    return getattr(type(self), _WATCH), (untwin(self), recorder_of(self))
