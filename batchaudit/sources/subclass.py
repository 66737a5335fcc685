"""A watched twin of the user's object: the same state, in a class of its own.

The twin is an instance of a new subclass of the object's class and shares the object's `__dict__` and slots,
so `isinstance`, attributes, hooks and every change of state are those of the user's object, which itself
stays as it was. (A delegating proxy would fail the type checks of the frameworks.)
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any

from batchaudit.capture.recorder import Recorder

Override = Callable[..., Any]
"""`override(recorder, original, *args)`: what a watched method does around the original one."""

Watch = Callable[[Any, Recorder], Any]
"""Makes a watched source of a source."""

# Looked up on the class, never in the instance's `__dict__`, which belongs to the user.
_RECORDER = "_batchaudit_twins_recorder"
_SOURCE = "_batchaudit_twin_of"
_BASE = "_batchaudit_base"
_WATCH = "_batchaudit_watch"


def twin(
    source: Any,
    recorder: Recorder,
    overrides: Mapping[str, Override],
    watch: Watch,
    *,
    looks_inside: bool = True,
) -> Any:
    """Makes a watched twin of an object.

    Args:
        source: the user's object; it is not changed.
        recorder: notes what the twin's methods do.
        overrides: what to do around which method. A name that the object's class does not have is left out.
        watch: the module-level function that makes such a twin again in the process that unpickles it.
        looks_inside: whether the recorder looks for private random streams in the source as a whole. It then
            keeps the source until the collector comes for the twin's class: False for a source whose end must
            not wait for that.

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
    body.update(_shared_slots(base))
    if hasattr(base, "__del__"):
        body["__del__"] = _leave_to_the_source(base)
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
            _RECORDER: recorder.bind(source) if looks_inside else recorder,
            _BASE: base,
            _WATCH: staticmethod(watch),
        }
    )
    return _share(source, _subclass(source, body))


def untwin(watched: Any) -> Any:
    """The user's own object, whose state a twin shares.

    Frameworks also build loaders anew, as `type(loader)(...)`. Such an object has a state of its own and no
    source: an instance of the user's class is made for that state.
    """
    source = _source_of(watched)
    return _as_the_users(watched) if source is None else source


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


def _subclass(source: Any, body: dict[str, Any]) -> Any:
    base = type(source)
    make: Any = type(base)
    try:
        try:
            return make(base.__name__, (_Quiet, base), {**body, "__slots__": _new_slots(source)})
        except Exception:  # an object of variable size, a tuple for one, has no room for a slot
            slots: dict[str, Any] = {} if hasattr(source, "__dict__") else {"__slots__": ()}
            return make(base.__name__, (_Quiet, base), {**body, **slots, _SOURCE: source})
    except Exception as error:  # a metaclass of the user's may raise anything
        raise TypeError(f"{base.__name__} takes no subclass: {error}") from error


def _new_slots(source: Any) -> tuple[str, ...]:
    # The twin, not its class, keeps the source, so that both are gone with the last reference to the twin.
    takes_references = type(source).__weakrefoffset__ or not hasattr(source, "__dict__")
    return (_SOURCE,) if takes_references else (_SOURCE, "__weakref__")


def _share(source: Any, cls: type) -> Any:
    made: Any = object.__new__(cls)
    if hasattr(source, "__dict__"):
        object.__setattr__(made, "__dict__", object.__getattribute__(source, "__dict__"))
    held = getattr(cls, _SOURCE)
    if isinstance(held, MemberDescriptorType):
        held.__set__(made, source)
    return made


def _source_of(watched: Any) -> Any:
    """The object whose state a twin shares; None for one that was built anew and has its own."""
    held = getattr(type(watched), _SOURCE)
    if not isinstance(held, MemberDescriptorType):
        return held
    try:
        return held.__get__(watched)
    except AttributeError:
        return None


def _as_the_users(rebuilt: Any) -> Any:
    base = getattr(type(rebuilt), _BASE)
    made: Any = object.__new__(base)
    if hasattr(rebuilt, "__dict__"):
        object.__setattr__(made, "__dict__", object.__getattribute__(rebuilt, "__dict__"))
    for slot in _slots(base).values():
        with suppress(AttributeError):  # one that is not set
            slot.__set__(made, slot.__get__(rebuilt))
    return made


def _slots(base: type) -> dict[str, MemberDescriptorType]:
    found: dict[str, Any] = {}
    for cls in reversed(base.__mro__):
        found.update(vars(cls))
    return {name: value for name, value in found.items() if isinstance(value, MemberDescriptorType)}


def _shared_slots(base: type) -> dict[str, property]:
    """What a class keeps in slots stays in the source's: the twin has a way there in place of each."""
    return {name: _way_through(slot) for name, slot in _slots(base).items()}


def _way_through(slot: MemberDescriptorType) -> property:
    return property(
        lambda self: slot.__get__(_holder(self)),
        lambda self, value: slot.__set__(_holder(self), value),
        lambda self: slot.__delete__(_holder(self)),
    )


def _holder(watched: Any) -> Any:
    """The object that keeps a twin's slots."""
    source = _source_of(watched)
    return watched if source is None else source


def _leave_to_the_source(base: Any) -> Callable[[Any], None]:
    """`__del__` of a twin: the source lives as long as its twin, and ends once."""

    def __del__(self: Any) -> None:  # noqa: N807 - it is one
        if _source_of(self) is None:
            base.__del__(self)

    return __del__


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
