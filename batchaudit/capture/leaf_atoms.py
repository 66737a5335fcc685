"""Encodes single Python values as bytes, so that equal bytes mean the same type and value.

An encoded atom is `tag, length, payload`: one byte, an unsigned 64-bit little-endian count, that many bytes.
Atoms joined one after another therefore stay unambiguous. Nothing here depends on the process: no `hash()`,
no `id()`, no `repr()` of an unknown object (a default one holds an address). Requires the standard library.
"""

from __future__ import annotations

import datetime
import enum
import fractions
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import xxhash

_LENGTH = struct.Struct("<Q").pack
_DOUBLE = struct.Struct("<d").pack
_COMPLEX = struct.Struct("<dd").pack

# pandas' own scalars: their text is their value. They are known by name, since pandas is never imported here.
_PANDAS_SCALARS = frozenset({"NAType", "NaTType", "Timestamp", "Timedelta", "Period", "Interval"})


def frame(tag: bytes, payload: bytes) -> bytes:
    """Encodes a payload under a one-byte tag."""
    return tag + _LENGTH(len(payload)) + payload


def _text(item: str) -> bytes:
    return frame(b"s", str.encode(item, "utf-8", "surrogatepass"))


def _integer(item: int) -> bytes:
    return frame(b"i", int.to_bytes(item, (int.bit_length(item) + 8) // 8, "little", signed=True))


# Python hands over the bits of a float as they are, NaN payloads and the sign of zero included.
_EXACT: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda item: frame(b"N", b""),
    bool: lambda item: frame(b"b", b"\1" if item else b"\0"),
    int: _integer,
    float: lambda item: frame(b"f", _DOUBLE(item)),
    complex: lambda item: frame(b"c", _COMPLEX(item.real, item.imag)),
    str: _text,
    bytes: lambda item: frame(b"y", item),
    bytearray: lambda item: frame(b"y", bytes(item)),
}


def _described(item: object) -> str | None:
    """The text that is an object's whole value, for types of which that is known."""
    kind = type(item)
    name = kind.__name__
    if isinstance(item, enum.Enum):
        return f"enum {kind.__qualname__}.{item.name}"
    if name in _PANDAS_SCALARS and kind.__module__.partition(".")[0] == "pandas":
        return f"{name} {item} {getattr(item, 'freqstr', '')}"
    if isinstance(item, datetime.datetime | datetime.date | datetime.time):
        zone = getattr(item, "tzinfo", None)
        return (
            f"{'datetime' if isinstance(item, datetime.datetime) else name} {item.isoformat()} {zone or ''}"
        )
    if isinstance(item, datetime.timedelta):
        return f"timedelta {item.days} {item.seconds} {item.microseconds}"
    if isinstance(item, PurePath):
        return f"path {item.as_posix()}"
    if isinstance(item, Decimal | fractions.Fraction | uuid.UUID):
        return f"{name} {item}"
    if isinstance(item, range):
        return f"range {item.start} {item.stop} {item.step}"
    return "Ellipsis" if item is Ellipsis else None


def encode(item: object) -> bytes | None:
    """Encodes a plain Python value.

    Args:
        item: any object. NumPy's scalars are no atoms, save `np.str_` and `np.bytes_`.

    Returns:
        The encoded bytes, or None where the object is not a plain value.
    """
    exact = _EXACT.get(type(item))
    if exact is not None:
        return exact(item)
    described = _described(item)
    if described is not None:
        return frame(b"d", described.encode("utf-8", "surrogatepass"))
    if isinstance(item, str):
        return _text(item)
    if isinstance(item, bytes):
        return frame(b"y", bytes(item))
    # A subclass of int is worth its integer. One of float is left out: np.float64 is one.
    return _integer(item) if isinstance(item, int) else None


def encode_key(key: object) -> bytes | None:
    """Encodes a key of a mapping or a column's name: an atom, or a tuple of such."""
    if isinstance(key, tuple):
        parts = [encode_key(part) for part in key]
        return None if None in parts else frame(b"l", b"".join(part for part in parts if part is not None))
    # np.float64 and np.int64 make usable keys; as a key, a number counts as its Python value.
    item = getattr(key, "item", None)
    return encode(item() if item is not None and type(key).__module__ == "numpy" else key)


def entry(key: object) -> str | None:
    """The step of a path that a key stands for, e.g. `['image']` or `[int 3]`.

    A key of a type whose `repr` is not fixed by the language goes by the digest of its value.

    Returns:
        The step, different for keys of different type or value, or None for a key without a value of its own.
    """
    if isinstance(key, str) and not isinstance(key, enum.Enum):
        # ascii() and not repr(): what counts as printable differs between versions of Python.
        return f"[{str(key)!a}]"
    encoded = encode_key(key)
    if encoded is None:
        return None
    if type(key) in (int, bool, float, bytes):
        return f"[{type(key).__name__} {key!r}]"
    return f"[{type(key).__name__} {xxhash.xxh3_64_hexdigest(encoded)}]"
