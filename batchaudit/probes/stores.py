"""What samples can be stored in: the rows of an array, the entries of a dict or list, a list of numbers.

Each knows at which places its content became another, and can put it back.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any, Protocol

import numpy as np

from batchaudit.capture.fingerprint import fingerprint

Place = Any
"""Where in a store: the number of a row, the key of a dict, the index of a list; `ALL` of it."""
ALL = "all"

_NUMBERS = (int, float, complex, type(None), np.generic)
_MOST_SLOTS = 1 << 16
_PIECE = 1 << 24  # bytes that are compared at a time
_LOOKED_AT = 256  # members of a value that are counted
_ABSENT = object()


class Store(Protocol):
    """Something that holds samples.

    Attributes:
        name: what the source calls it.
    """

    name: str

    def changed(self) -> list[Place]:
        """The places whose content is not what was kept; none where contents only changed places."""
        ...

    def keep(self) -> None:
        """Takes what is there now for what is kept."""
        ...

    def kept(self, place: Place) -> Any:
        """What was kept of a place, for `put`."""
        ...

    def content(self, place: Place) -> Any:
        """What is at a place now, for `put` and `digest`."""
        ...

    def put(self, place: Place, content: Any) -> None:
        """Puts a content at a place."""
        ...

    def size(self, place: Place) -> int:
        """How many numbers or characters are at a place."""
        ...

    def says(self, place: Place) -> str:
        """The place in words."""
        ...


class Rows:
    """An array or a tensor; its places are the rows of its first axis.

    Args:
        name: what the source calls it.
        array: shares its memory with it.
        most: how many bytes of it are kept: of a larger one the first rows.
    """

    def __init__(self, name: str, array: np.ndarray[Any, Any], most: int) -> None:
        self.name = name
        self._array = array[: max(1, most // max(1, array[:1].nbytes))]
        self.whole = len(self._array) == len(array)
        self.keep()

    @property
    def nbytes(self) -> int:
        """How much is kept."""
        return int(self._kept.nbytes)

    @property
    def elements(self) -> int:
        """How many numbers are kept."""
        return int(self._kept.size)

    @property
    def length(self) -> int:
        """How many rows are kept."""
        return len(self._kept)

    def keep(self) -> None:
        """See `Store`."""
        self._kept = self._array.copy()

    def changed(self) -> list[Place]:
        """See `Store`."""
        rows: list[int] = []
        step = max(1, _PIECE // max(1, self._array[:1].nbytes))
        for start in range(0, len(self._array), step):
            part = slice(start, start + step)
            differs = (_as_bytes(self._array[part]) != _as_bytes(self._kept[part])).any(axis=1)
            rows += (np.flatnonzero(differs) + start).tolist()
        if not rows:
            return []
        now, before = (sorted(map(bytes, _as_bytes(each[rows]))) for each in (self._array, self._kept))
        return [] if now == before else list(rows)

    def kept(self, place: Place) -> Any:
        """See `Store`."""
        return self._kept[place].copy()

    def content(self, place: Place) -> Any:
        """See `Store`."""
        return self._array[place].copy()

    def put(self, place: Place, content: Any) -> None:
        """See `Store`."""
        self._array[place] = content

    def size(self, place: Place) -> int:
        """See `Store`."""
        return int(self._array[:1].size)

    def says(self, place: Place) -> str:
        """See `Store`."""
        return f"row {place}"


class Slots:
    """A dict or a list of anything; its places are its keys or indices.

    Args:
        name: what the source calls it.
        held: the dict or list itself.
    """

    def __init__(self, name: str, held: dict[Any, Any] | list[Any]) -> None:
        self.name = name
        self._held = held
        self.keep()

    def keep(self) -> None:
        """See `Store`."""
        self._kept = dict(self._now())

    def changed(self) -> list[Place]:
        """See `Store`."""
        now = self._now()
        keys = [key for key, value in now.items() if self._kept.get(key, _ABSENT) is not value]
        moved = sorted(id(now[key]) for key in keys) == sorted(
            id(self._kept.get(key, _ABSENT)) for key in keys
        )
        return [] if moved else list(keys)

    def kept(self, place: Place) -> Any:
        """See `Store`."""
        return self._kept.get(place, _ABSENT)

    def content(self, place: Place) -> Any:
        """See `Store`."""
        return self._now().get(place, _ABSENT)

    def put(self, place: Place, content: Any) -> None:
        """See `Store`."""
        if content is not _ABSENT:
            self._held[place] = content
        elif isinstance(self._held, dict):
            self._held.pop(place, None)

    def size(self, place: Place) -> int:
        """See `Store`."""
        return numbers_in(self.content(place))

    def says(self, place: Place) -> str:
        """See `Store`."""
        return f"[{place!r:.40}]"

    def _now(self) -> dict[Any, Any]:
        held = self._held
        return dict(islice(held.items() if isinstance(held, dict) else enumerate(held), _MOST_SLOTS))


class Items:
    """A list of numbers or texts that is one sample, such as tokens; it has one place.

    Args:
        name: what the source calls it.
        held: the list itself.
    """

    def __init__(self, name: str, held: list[Any]) -> None:
        self.name = name
        self._held = held
        self.keep()

    def keep(self) -> None:
        """See `Store`."""
        self._kept = list(self._held)

    def changed(self) -> list[Place]:
        """See `Store`."""
        if self._held == self._kept or sorted(map(repr, self._held)) == sorted(map(repr, self._kept)):
            return []
        return [ALL]

    def kept(self, place: Place) -> Any:
        """See `Store`."""
        return list(self._kept)

    def content(self, place: Place) -> Any:
        """See `Store`."""
        return list(self._held)

    def put(self, place: Place, content: Any) -> None:
        """See `Store`."""
        self._held[:] = content

    def size(self, place: Place) -> int:
        """See `Store`."""
        return numbers_in(self._held)

    def says(self, place: Place) -> str:
        """See `Store`."""
        return ""


def rows_of(thing: Any) -> np.ndarray[Any, Any] | None:
    """An array that shares its memory with an array or a tensor; None for anything else, or without rows."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor):
        thing = _of_tensor(torch, thing)
    if not isinstance(thing, np.ndarray) or thing.dtype.hasobject or not thing.ndim or not thing.size:
        return None
    return thing.view(np.ndarray) if thing.flags.writeable else None


def numbers(held: Any) -> bool:
    """Whether a list holds only numbers, as far as it is looked at."""
    return bool(held) and all(isinstance(each, _NUMBERS) for each in islice(held, _LOOKED_AT))


def texts(held: Any) -> bool:
    """Whether a list holds only texts, as far as it is looked at."""
    return bool(held) and all(isinstance(each, (str, bytes)) for each in islice(held, _LOOKED_AT))


def numbers_in(value: Any, depth: int = 0) -> int:
    """How many numbers or characters a sample, or a part of one, is made of."""
    if isinstance(value, (str, bytes)):
        return len(value)
    size = getattr(value, "size", None)
    if isinstance(value, np.ndarray):
        return int(value.size)
    if callable(size) and hasattr(value, "numel"):
        return int(value.numel())
    if depth < 4 and isinstance(value, (list, tuple, dict)):
        members = list(value.values() if isinstance(value, dict) else value)
        if numbers(members):
            return len(members)
        return sum(numbers_in(member, depth + 1) for member in members[:_LOOKED_AT])
    return 1 if isinstance(value, (int, float, complex, np.generic)) else 0


def digest(content: Any) -> tuple[int, int]:
    """The digest of a content; equal where it is equal by value."""
    if content is _ABSENT:
        return 0, 0
    seen = fingerprint(content, strict=False)
    return seen.digest_hi, seen.digest_lo


def _of_tensor(torch: Any, tensor: Any) -> Any:
    if tensor.device.type != "cpu" or tensor.layout != torch.strided or not tensor.dim():
        return None
    try:
        plain = tensor.detach()
        return plain.view(torch.int16).numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
    except Exception:  # a kind of tensor that NumPy has no type for
        return None


def _as_bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same as bytes: uint8, shape (rows, bytes of a row)."""
    whole = np.ascontiguousarray(array)
    return whole.view(np.uint8).reshape(len(whole), -1)
