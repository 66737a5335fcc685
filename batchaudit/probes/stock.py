"""What a source has stored: the arrays, tensors, lists and dicts that it refers to.

For a process that is thrown away afterwards: it copies what it finds, reads frames and instance dicts, and
puts contents back. The walk is bounded by counts and bytes, and stays out of modules and of libraries' own
objects.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from batchaudit.probes.stores import Items, Rows, Slots, Store, numbers, rows_of, texts

MOST_OPENED = 4_000
MOST_MEMBERS = 1_024
MOST_ARRAYS = 256
MOST_BYTES = 1 << 28
"""Objects opened, members taken of one container, arrays kept, bytes copied: the bounds."""

_CLOSED = frozenset(
    {"numpy", "scipy", "pandas", "pyarrow", "polars", "tensorflow", "jax", "jaxlib", "matplotlib", "PIL"}
    | {"batchaudit", "datasets"}
)
_OPEN_STDLIB = frozenset(
    {"__main__", "builtins", "functools", "itertools", "collections", "_collections", "types", "contextlib"}
)
_ATOMS = (str, bytes, bytearray, int, float, complex, range, type(None))


class Stock:
    """All stores that a walk finds.

    Args:
        roots: what to walk from.

    Attributes:
        stores: what was found.
        whole: whether all of it could be kept.
    """

    def __init__(self, *roots: Any) -> None:
        self.stores: list[Store] = []
        self.whole = True
        self._left = MOST_BYTES
        self._arrays = 0
        self._seen: dict[int, Any] = {}  # kept, so that an id is not used again
        self._todo: deque[tuple[str, Any]] = deque(("", root) for root in roots)
        self._walk()

    @property
    def nbytes(self) -> int:
        """How much is kept of arrays."""
        return MOST_BYTES - self._left

    def _walk(self) -> None:
        opened = 0
        while self._todo and opened < MOST_OPENED:
            name, thing = self._todo.popleft()
            if id(thing) in self._seen or isinstance(thing, _ATOMS):
                continue
            self._seen[id(thing)] = thing
            opened += 1
            for member, its in self._members(name, thing):
                if not isinstance(its, _ATOMS):
                    self._todo.append((member, its))
        self.whole &= not self._todo

    def _members(self, name: str, thing: Any) -> Iterator[tuple[str, Any]]:
        array = rows_of(thing)
        if array is not None:
            self._keep_array(name, array)
            return
        if type(thing) in (dict, list):
            yield from self._of_container(name, thing)
        elif isinstance(thing, (tuple, set, frozenset, deque)):
            yield from ((f"{name}[{n}]", member) for n, member in enumerate(islice(thing, MOST_MEMBERS)))
        elif isinstance(thing, types.FunctionType):
            yield from _of_function(thing)
        elif isinstance(thing, (types.MethodType, functools.partial)):
            yield from ((name, member) for member in gc.get_referents(thing))
        elif isinstance(thing, types.GeneratorType):
            yield from _of_generator(thing)
        elif not isinstance(thing, (type, types.ModuleType)) and _is_open(type(thing)):
            yield from _of_instance(name, thing)

    def _keep_array(self, name: str, array: Any) -> None:
        if self._arrays == MOST_ARRAYS or not self._left:
            self.whole = False
            return
        rows = Rows(name, array, self._left)
        self.whole &= rows.whole
        self._left = max(0, self._left - rows.nbytes) if rows.whole else 0
        self._arrays += 1
        self.stores.append(rows)

    def _of_container(self, name: str, thing: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(thing, list) and (numbers(thing) or texts(thing)):
            self.stores.append(Items(name, thing))  # one sample, such as tokens
            if numbers(thing):
                return
        self.stores.append(Slots(name, thing))
        pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
        for key, member in list(islice(pairs, MOST_MEMBERS)):
            yield f"{name}[{key!r:.40}]", member
        self.whole &= len(thing) <= MOST_MEMBERS


def _of_instance(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    try:
        held = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        held = None
    if isinstance(held, dict):
        yield from list(held.items())[:MOST_MEMBERS]
        shut = {id(held), *map(id, held.values())}
    else:
        shut = set()
    # Slots, and what iterators hold.
    yield from ((name, it) for it in gc.get_referents(thing)[:MOST_MEMBERS] if id(it) not in shut)
    for cls in type(thing).__mro__:
        if _is_users(cls.__module__):
            yield from (pair for pair in list(vars(cls).items())[:MOST_MEMBERS])


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet filled
            continue
    yield from (("default", value) for value in function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()
    yield from _named(function.__code__, function.__globals__)


def _of_generator(generator: types.GeneratorType[Any, Any, Any]) -> Iterator[tuple[str, Any]]:
    frame = generator.gi_frame
    if frame is not None:
        yield from list(frame.f_locals.items())
        yield from _named(frame.f_code, frame.f_globals)
    if generator.gi_yieldfrom is not None:
        yield "", generator.gi_yieldfrom


def _named(code: types.CodeType, scope: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a function of the user's names in its module."""
    if not _is_users(scope.get("__name__")):
        return
    for name in _names(code):
        value = scope.get(name)
        if value is not None and not isinstance(value, (type, types.ModuleType)):
            yield name, value


def _names(code: types.CodeType) -> Iterable[str]:
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_names(constant)))
    return names


def _is_open(cls: type) -> bool:
    root = str(cls.__module__).partition(".")[0]
    if root in sys.stdlib_module_names:
        return root in _OPEN_STDLIB
    return root not in _CLOSED


def _is_users(module: Any) -> bool:
    root = str(module).partition(".")[0]
    return root == "__main__" or (
        root not in sys.stdlib_module_names
        and root not in _CLOSED
        and root not in ("torch", "keras", "tf_keras", "torchvision")
    )
