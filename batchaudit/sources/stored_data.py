"""A token of the data that an object holds: equal in two processes where they hold the same.

Only what the object holds is read: arrays, tensors, and lists of names or numbers in its attributes. Nothing
of the user's is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import xxhash

_MOST_BYTES = 1 << 20  # of one array, from its beginning and from its end
_MOST_MEMBERS = 10_000
_DEEP = 4
_PLAIN = (str, bytes, int, float, bool)


def token(holder: object) -> str:
    """A token of the arrays and lists that an object holds, directly or in the datasets that it wraps.

    Args:
        holder: the user's dataset.

    Returns:
        16 hexadecimal characters; "" where it holds no data that can be read.
    """
    found = xxhash.xxh3_64()
    for name, data in _data(holder, "", 0):
        found.update(name.encode("utf-8", "replace"))
        found.update(data)
    return found.hexdigest() if found.digest() != xxhash.xxh3_64().digest() else ""


def _data(holder: object, path: str, depth: int) -> Iterator[tuple[str, bytes]]:
    try:
        held = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return
    for name, value in sorted(held.items()):
        here = f"{path}.{name}"
        seen = _bytes(value)
        if seen is not None:
            yield here, seen
        elif depth < _DEEP and name in ("dataset", "datasets", "data", "ds", "base"):
            for number, inner in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                yield from _data(inner, f"{here}[{number}]", depth + 1)


def _bytes(value: Any) -> bytes | None:
    """What stands for data; None for what is none: settings, generators, functions."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.device.type != "cpu" or value.layout != torch.strided or value.ndim == 0:
            return None
        try:
            value = value.detach().numpy()
        except (TypeError, RuntimeError):  # a type that NumPy does not have
            return None
    if isinstance(value, np.ndarray):
        return _of_array(value)
    return _of_list(value) if isinstance(value, (list, tuple)) else None


def _of_list(value: Any) -> bytes | None:
    """What stands for a list of names and numbers, of arrays, or of pairs of such."""
    some = value[:_MOST_MEMBERS]
    if len(some) > 1 and all(isinstance(each, _PLAIN) for each in some):
        return repr((len(value), some)).encode("utf-8", "replace")
    parts = [_bytes(each) for each in some]
    known = [part for part in parts if part is not None]
    return repr(len(value)).encode() + b"".join(known) if known and len(known) == len(parts) else None


def _of_array(array: np.ndarray[Any, Any]) -> bytes | None:
    if array.ndim == 0 or array.dtype.hasobject:
        return None
    rows = max(1, _MOST_BYTES // max(1, array.nbytes // max(1, len(array))))
    ends = array if len(array) <= 2 * rows else np.concatenate([array[:rows], array[-rows:]])
    return f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(ends).tobytes()
