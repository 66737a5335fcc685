"""A watched twin of the user's object: the same state, in a class of its own.

The twin is an instance of a new subclass of the object's class and shares the object's `__dict__`, so
`isinstance`, attributes, hooks and every change of state are those of the user's object, which itself
stays as it was. (A delegating proxy would fail the type checks of the frameworks.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from batchaudit.capture.recorder import Recorder

Override = Callable[..., Any]
"""`override(recorder, original, *args)`: what a watched method does around the original one."""

Watch = Callable[[Any, Recorder], Any]
"""Makes a watched source of a source."""

# Looked up on the class, never on the instance: the instance's `__dict__` belongs to the user.
_RECORDER = "_batchaudit_recorder"
_BASE = "_batchaudit_base"
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
        TypeError: the object's class cannot be subclassed, or its instances have no `__dict__`.
    """
    base = type(source)
    body: dict[str, Any] = {
        name: _method(getattr(base, name), override)
        for name, override in overrides.items()
        if hasattr(base, name)
    }
    body.update(
        {
            "__module__": base.__module__,
            "__qualname__": base.__qualname__,
            "__doc__": base.__doc__,
            "__reduce_ex__": _reduce,
            _RECORDER: recorder.bind(source),
            _BASE: base,
            _WATCH: staticmethod(watch),
        }
    )
    return _share(source, type(base)(base.__name__, (base,), body))


def untwin(watched: Any) -> Any:
    """The unwatched object behind a twin: an instance of the user's own class with the same state."""
    return _share(watched, getattr(type(watched), _BASE))


def is_twin(source: object) -> bool:
    """Whether an object is a watched twin."""
    return hasattr(type(source), _RECORDER)


def recorder_of(watched: object) -> Recorder:
    """The recorder of a twin."""
    found: Recorder = getattr(type(watched), _RECORDER)
    return found


def _share(source: Any, cls: type) -> Any:
    state = object.__getattribute__(source, "__dict__")
    made = object.__new__(cls)
    object.__setattr__(made, "__dict__", state)
    return made


def _method(original: Callable[..., Any], override: Override) -> Callable[..., Any]:
    @functools.wraps(original)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        return override(recorder_of(self), functools.partial(original, self), *args, **kwargs)

    return watched


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    return getattr(type(self), _WATCH), (untwin(self), recorder_of(self))
