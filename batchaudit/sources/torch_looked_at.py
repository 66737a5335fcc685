"""Gives one method of an object of torch's a look, and leaves the object what it is.

Neither the object nor its class may be replaced by one that does the same: torch tells its iterators apart by
type and by identity. Requires nothing; what it is given is torch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_LOOK = "_batchaudit_look"
_BASE = "_batchaudit_base"


def look_at(thing: Any, look: Any, **methods: str) -> Any:
    """Puts a look around methods of an object.

    Args:
        thing: the object; it becomes an instance of a subclass of its class.
        look: does the looking; it must not refer to the object, whose end would then wait for the collector.
        **methods: name=name: the object's method, and that of `look` which is called in its place, with the
            original before the arguments.

    Returns:
        The object; unwatched where its class takes no subclass.
    """
    base: Any = getattr(type(thing), _BASE, type(thing))
    try:
        thing.__class__ = _looked_at(base, tuple(methods.items()))
    except TypeError:
        return thing
    vars(thing)[_LOOK] = look
    return thing


def look_of(thing: Any) -> Any:
    """What looks at an object; None where nothing does."""
    return getattr(thing, _LOOK, None)


@functools.lru_cache(maxsize=64)
def _looked_at(base: Any, methods: tuple[tuple[str, str], ...]) -> Any:
    body: dict[str, Any] = {"__module__": base.__module__, "__qualname__": base.__qualname__, _BASE: base}
    body.update({method: _through(getattr(base, method), name) for method, name in methods})
    return type(base)(base.__name__, (base,), body)


def _through(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(original)
    def looked_at(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.__dict__[_LOOK], name)(functools.partial(original, self), *args, **kwargs)

    return looked_at
