"""Reads one object of any type: tells leaves from containers and finds the reader that knows the type.

No registry of a framework is asked for the containers of Python: what a class is registered as may differ
between a parent and its spawned workers, and a digest must not. `optree` is asked last, for classes that a
program registered there itself. Sequences (tuple, list, deque) are one kind, mappings (sorted by key)
another, and what has named attributes (dataclass, namedtuple, attrs) a third.
"""

from __future__ import annotations

import array as array_module
import dataclasses
import functools
import sys
from collections import UserList, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from batchaudit.capture import leaf_tables, leaf_tensors
from batchaudit.capture.leaf_arrays import read_array
from batchaudit.capture.leaf_atoms import encode, entry
from batchaudit.capture.leaf_kinds import Branch, Listed, Reading, Refused, Whole

_SEQUENCES = (tuple, list, deque, UserList)
_BUILT_IN: frozenset[type] = frozenset({tuple, list, dict, str, bytes, bool, int, float, type(None)})
_TEXT: frozenset[type] = frozenset({str, bytes, np.str_, np.bytes_})
_NUMBERS: frozenset[type] = frozenset({bool, int, float, complex})

_FAMILIES: dict[str, Callable[[Any], Reading | None]] = {
    "tensorflow": leaf_tensors.read_tensorflow,
    "torch": leaf_tensors.read_torch,
    "pandas": leaf_tables.read_pandas,
    "scipy": leaf_tables.read_scipy,
    "PIL": leaf_tables.read_pillow,
}


@functools.lru_cache(maxsize=256)
def _family_of(kind: type) -> str:
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in _FAMILIES:
            return root
    return ""


def _family(item: object) -> str:
    """The package that an object's class, or a base of it, comes from; empty if none that is known here."""
    kind: Any = type(item)
    return _family_of(kind)


def _listed(items: Any) -> Listed | None:
    """A list of only text, only images or only numbers, which may turn out to be a column."""
    first = type(items[0]) if len(items) else type(None)
    family = _family(items[0]) if len(items) else ""
    if first in _TEXT:
        return Listed(items, defining=True) if all(type(item) in _TEXT for item in items) else None
    if first in _NUMBERS or issubclass(first, np.number | np.bool_):
        numbers = all(type(item) in _NUMBERS or isinstance(item, np.number | np.bool_) for item in items)
        return Listed(items, defining=False) if numbers else None
    if family == "PIL" and all(_family(item) == "PIL" for item in items):
        return Listed(items, defining=True)
    return None


def _sequence(items: Any) -> Branch:
    return Branch("sequence", [(f"[{position}]", item) for position, item in enumerate(items)])


def _attributes(item: Any, names: tuple[str, ...]) -> Reading:
    return Branch("attributes", [(f".{name}", getattr(item, name)) for name in names])


def _mapping(item: Mapping[Any, Any]) -> Reading:
    children = []
    for key, value in item.items():
        step = entry(key)
        if step is None:
            return Refused(f"a key of it is a {type(key).__qualname__}, which has no value of its own")
        children.append((step, value))
    return Branch("mapping", sorted(children, key=lambda child: child[0]))


def _registered(item: Any) -> Reading | None:
    """Opens an instance of a class that the program registered with optree for every namespace."""
    optree: Any = sys.modules.get("optree")
    if optree is None or optree.register_pytree_node.get(type(item)) is None:
        return None
    children, _, entries, _ = optree.tree_flatten_one_level(item, none_is_leaf=True)
    steps = [entry(step) for step in entries]
    return Branch("registered", [(str(step), child) for step, child in zip(steps, children, strict=True)])


def _read_foreign(item: Any) -> Reading:
    """Reads what is neither NumPy's nor Python's own, in the order from the surest to the vaguest."""
    if isinstance(item, Mapping):
        return _mapping(item)
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return _attributes(item, tuple(field.name for field in dataclasses.fields(item)))
    if hasattr(type(item), "__attrs_attrs__"):
        return _attributes(item, tuple(field.name for field in type(item).__attrs_attrs__))
    reading = _registered(item)
    if reading is not None:
        return reading
    if isinstance(item, memoryview | array_module.array) or (
        hasattr(item, "__array__") and not isinstance(item, type)
    ):
        array = np.asarray(item)
        if array.dtype != object or array.ndim:
            return read_array(array)
    return Refused("it has no content that is known here")


def read(item: Any) -> Reading:
    """Reads one object: a leaf, a node with its children, or a refusal. A contiguous array is not copied."""
    if isinstance(item, np.ndarray):
        return read_array(item)
    if type(item) not in _BUILT_IN:
        # Before the containers: scipy's dictionary-of-keys matrix is a dict.
        special = _FAMILIES.get(_family(item))
        reading = special(item) if special else None
        if reading is not None:
            return reading
    if isinstance(item, _SEQUENCES):
        names = getattr(type(item), "_fields", None)
        if names is not None and isinstance(item, tuple):
            return _attributes(item, names)
        return _listed(item) or _sequence(item)
    if isinstance(item, dict):
        return _mapping(item)
    if isinstance(item, np.generic) and not isinstance(item, str | bytes):
        return read_array(np.asarray(item))
    encoded = encode(item)
    return _read_foreign(item) if encoded is None else Whole("value", encoded)


def read_safely(item: Any) -> Reading:
    """Reads one object; what its own conversion raises becomes a refusal."""
    try:
        return read(item)
    except MemoryError:
        raise
    except Exception as error:  # whatever a foreign object's own conversion raises
        return Refused(f"reading it raised {type(error).__name__}: {str(error).partition(chr(10))[0]}")
