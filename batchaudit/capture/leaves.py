"""Walks a batch: from nested containers to the leaves that can be hashed, and the text of the structure.

None is a leaf that takes no content. Objects held in an array of objects are walked as a batch of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchaudit.capture.leaf_atoms import encode, frame
from batchaudit.capture.leaf_kinds import Block, Branch, Listed, Reading, Refused, Rows, Values, Whole
from batchaudit.capture.leaf_objects import read_safely
from batchaudit.errors import UnhashableError

_DEEPEST = 64
_NAMED = 16  # of the leaves that could not be hashed, how many are named: a live run must not drown in them


@dataclass(slots=True)
class Leaf:
    """A leaf and the path that leads to it."""

    path: str
    content: Block | Rows | Whole | Listed


def type_name(item: object) -> str:
    """The full name of an object's class, as messages show it."""
    kind = type(item)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Walk:
    """One walk over one batch.

    Attributes:
        parts: the structure's text, with its leaves in their places.
        unhashable: `path: type` of what was left out; only where the walk is not strict.
    """

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._open: list[int] = []  # the objects that lead to the present one, by id
        self.parts: list[str | Leaf] = []
        self.unhashable: dict[str, None] = {}

    def visit(self, item: Any, path: str = "batch") -> None:
        """Adds an object and all that is below it."""
        if item is None:
            self.parts.append("None")
            return
        if id(item) in self._open or len(self._open) >= _DEEPEST:
            reading: Reading = Refused("it is nested too deeply, or holds itself")
        else:
            reading = read_safely(item)
        self._open.append(id(item))
        self._add(item, reading, path)
        self._open.pop()

    def _add(self, item: Any, reading: Reading, path: str) -> None:
        if isinstance(reading, Branch):
            self.parts.append(reading.kind + "(")
            for step, child in reading.children:
                self.parts.append(step + ":")
                self.visit(child, path + step)
                self.parts.append(",")
            self.parts.append(")")
            return
        if isinstance(reading, Refused) and isinstance(item, Set):
            reading = Whole("set", b"".join(sorted(self.encode(member, path) for member in item)))
        if isinstance(reading, Refused):
            self._refuse(item, path, reading.reason)
            # The class without its module: that is `__main__` in one process and `__mp_main__` in another.
            reading = Whole("unhashable", frame(b"?", type(item).__qualname__.encode()))
        elif isinstance(reading, Values):
            reading = self._values(reading, path)
        self.parts.append(Leaf(path, reading))

    def encode(self, item: Any, path: str) -> bytes:
        """Encodes one object of an array of objects, however it is nested."""
        encoded = encode(item)
        if encoded is not None:
            return encoded
        inner = Walk(self._strict)
        inner.unhashable = self.unhashable
        inner._open = self._open
        inner.visit(item, path)
        text, _, wholes = inner.resolve(None)
        return frame(
            b"t", frame(b"s", text.encode()) + b"".join(frame(b"y", bytes(part)) for part in contents(wholes))
        )

    def _values(self, values: Values, path: str) -> Rows | Whole:
        encoded = [
            encode(item) or self.encode(item, f"{path}[{position}]")
            for position, item in enumerate(values.items)
        ]
        if not values.shape:
            return Whole("values[]", encoded[0])
        if len(values.shape) > 1:
            each = int(np.prod(values.shape[1:], dtype=np.int64))
            encoded = [b"".join(encoded[row * each : (row + 1) * each]) for row in range(values.shape[0])]
        return Rows("values", values.shape, encoded)

    def _refuse(self, item: object, path: str, reason: str) -> None:
        if self._strict:
            raise UnhashableError(
                f"{path} is a {type_name(item)} and cannot be hashed by value: {reason}. "
                "Yield arrays, tensors, numbers or text, in tuples, dicts or dataclasses, or leave it out"
            )
        if len(self.unhashable) < _NAMED:
            self.unhashable[f"{path}: {type_name(item)}"] = None

    def leading(self) -> int | None:
        """The length of the samples' axis, or None where the leaves have none or disagree."""
        leaves = [part.content for part in self.parts if not isinstance(part, str)]
        lengths = {leaf.shape[0] for leaf in leaves if isinstance(leaf, Block | Rows) and leaf.shape}
        if not lengths:
            lengths = {len(leaf.items) for leaf in leaves if isinstance(leaf, Listed) and leaf.defining}
        return lengths.pop() if len(lengths) == 1 else None

    def resolve(
        self, length: int | None
    ) -> tuple[str, list[tuple[str, Block | Rows]], list[Block | Rows | Whole]]:
        """Settles what is a column of samples and what belongs to the batch as a whole.

        Args:
            length: of the samples' axis, or None.

        Returns:
            The structure's text; the columns, each under its path and type; and the rest, in order.
        """
        text: list[str] = []
        columns: list[tuple[str, Block | Rows]] = []
        wholes: list[Block | Rows | Whole] = []
        for part in self.parts:
            if isinstance(part, str):
                text.append(part)
                continue
            content = part.content
            if isinstance(content, Listed):
                content = self._settle(content, length, part.path)
            if isinstance(content, Whole):
                text.append(content.token)
                wholes.append(content)
            elif length is None or not content.shape:
                text.append(f"{content.token}{list(content.shape)}")
                wholes.append(content)
            else:
                token = f"{content.token}[*]{list(content.shape[1:])}"
                text.append(token)
                columns.append((f"{part.path}:{token}", content))
        return "".join(text), columns, wholes

    def _settle(self, listed: Listed, length: int | None, path: str) -> Rows | Whole:
        encoded = [
            encode(item) or self.encode(item, f"{path}[{position}]")
            for position, item in enumerate(listed.items)
        ]
        if len(listed.items) == length:
            return Rows("values", (len(encoded),), encoded)
        return Whole(f"sequence({len(encoded)})", b"".join(encoded))


def contents(wholes: list[Block | Rows | Whole]) -> Iterator[Any]:
    """The bytes of leaves that are hashed whole, as buffers; arrays are not copied."""
    for whole in wholes:
        if isinstance(whole, Block):
            flat = whole.array.reshape(-1)
            yield flat.view(np.uint8) if flat.nbytes else b""
        elif isinstance(whole, Rows):
            yield b"".join(frame(b"r", row) for row in whole.rows)
        else:
            yield whole.content
