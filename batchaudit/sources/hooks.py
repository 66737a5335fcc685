"""What an object does between epochs: its own `on_epoch_begin` and `on_epoch_end`, and whether they matter.

Nothing of the user's is called: a hook is read. It matters where its code names state of the object that
`__getitem__` names too, and none of that state is a switch that is off.
"""

from __future__ import annotations

import functools
import gc
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

HOOKS = ("on_epoch_begin", "on_epoch_end")
EPOCH = ("epoch", "_epoch", "current_epoch")
"""What people call the number of the epoch in a dataset or sampler."""

_DEEP = 6  # methods that call methods
_MOST_OPENED, _MOST_MEMBERS = 500, 64
_MOST_NUMBERS = 10_000_000
_CLOSED = (type, types.ModuleType, types.CodeType, str, bytes, int, float, complex, np.ndarray, np.generic)
_LIBRARIES = frozenset({"numpy", "tensorflow", "torch", "jax", "pandas", "keras", "tf_keras", "threading"})


def that_matter(source: object) -> list[str]:
    """The epoch hooks of an indexed object that change what its items are.

    Args:
        source: the user's object.
    """
    return [name for name in HOOKS if _shared_state(source, name)]


def order_held(source: object) -> str:
    """Whether the order that a hook makes anew has been shuffled so far.

    Args:
        source: the user's object.

    Returns:
        "shuffled" or "sorted"; "" where no order is found among what the hooks and `__getitem__` share.
    """
    held = _attributes(source)
    names = {name for hook in HOOKS for name in _shared_state(source, hook)}
    orders = [found for found in (_numbers(held[name]) for name in sorted(names)) if found is not None]
    if not orders:
        return ""
    return "shuffled" if any(bool((np.diff(order) <= 0).any()) for order in orders) else "sorted"


def of_what_is_held(roots: Iterable[object]) -> list[str]:
    """The epoch hooks that matter of the objects that functions and generators hold.

    Args:
        roots: where to begin: functions, generators, objects.
    """
    found: dict[str, None] = {}
    for held in _held(roots):
        if hasattr(type(held), "__getitem__") and any(hasattr(type(held), hook) for hook in HOOKS):
            found.update(dict.fromkeys(that_matter(held)))
    return list(found)


def _shared_state(source: object, hook: str) -> set[str]:
    """The attributes that a hook and `__getitem__` both name; none where a switch among them is off."""
    held = _attributes(source)
    in_hook = _named_by(type(source), hook) & held.keys()
    if any(held[name] is False for name in in_hook):
        return set()
    return in_hook & _named_by(type(source), "__getitem__")


def _attributes(source: object) -> dict[str, Any]:
    try:
        held = object.__getattribute__(source, "__dict__")
    except AttributeError:
        return {}
    # What the class holds until the object's own takes its place, such as a counter.
    of_class = {
        name: value
        for cls in reversed(type(source).__mro__)
        for name, value in vars(cls).items()
        if isinstance(value, (bool, int)) and not name.startswith("__")
    }
    return {**of_class, **held}


def _named_by(cls: type, method: str) -> set[str]:
    """The attributes that a method names, and the methods of the class that it names, and those they name."""
    names: set[str] = set()
    waiting, seen = [method], {method}
    for _ in range(_DEEP):
        codes = [code for name in waiting for code in _codes(cls, name)]
        found = {name for code in codes for name in _names(code)}
        names |= found
        waiting = sorted(found - seen)
        seen |= found
    return names


def _codes(cls: type, name: str) -> Iterator[types.CodeType]:
    """The code of a method, and that of its bases' where it goes on to them by `super()`."""
    for base in cls.__mro__:
        member = vars(base).get(name)
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        member = member.fget if isinstance(member, property) else member
        member = getattr(member, "__wrapped__", member)
        if isinstance(member, types.FunctionType):
            yield member.__code__
            if "super" not in member.__code__.co_names:
                return


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _numbers(value: object) -> np.ndarray[Any, Any] | None:
    """Different whole numbers in a row, as an order is."""
    if isinstance(value, list) and value and all(type(each) is int for each in value[:_MOST_MEMBERS]):
        try:
            value = np.array(value[:_MOST_NUMBERS], np.int64)
        except (TypeError, ValueError, OverflowError):
            return None
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
        return None
    if not 2 <= len(value) <= _MOST_NUMBERS or len(np.unique(value)) != len(value):
        return None
    return value.astype(np.int64)


def _held(roots: Iterable[object]) -> Iterator[object]:
    """What roots refer to, through functions, closures, containers and objects of the user's; bounded."""
    waiting, seen, opened = deque(roots), set(), 0
    kept: list[object] = []  # so that no id is used again
    while waiting and opened < _MOST_OPENED:
        thing = waiting.popleft()
        if id(thing) in seen or isinstance(thing, _CLOSED) or not gc.is_tracked(thing):
            continue
        seen.add(id(thing))
        kept.append(thing)
        opened += 1
        yield thing
        waiting.extend(_members(thing))


def _members(thing: object) -> Iterator[object]:
    if isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or () if cell != types.CellType())
        yield from thing.__defaults__ or ()
        # A function of a script finds its sequence among the script's names.
        yield from (thing.__globals__[name] for name in _names(thing.__code__) if name in thing.__globals__)
        return
    module = str(getattr(type(thing), "__module__", ""))
    if module.partition(".")[0] in _LIBRARIES and not module.startswith("tensorflow.python.data."):
        return
    if isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
        return
    for number, member in enumerate(gc.get_referents(thing)):
        if number >= _MOST_MEMBERS:
            return
        yield member
