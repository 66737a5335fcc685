"""What a leaf of a batch can turn out to be, once its type is known.

A reader (`leaf_arrays`, `leaf_tensors`, `leaf_tables`, `leaf_sparse`) turns one object into one of these; the
walk in `leaves` opens the branches, encodes the values and leaves only blocks, rows and wholes to be hashed.
Requires NumPy alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Block(NamedTuple):
    """Values of equal width, as the bytes of one C-contiguous, little-endian array.

    Attributes:
        token: the type of the values, e.g. `float32`.
        shape: the shape of the values; the first dimension, if any, is the axis of samples.
        array: holds the bytes; its own dtype and trailing shape do not count.
    """

    token: str
    shape: tuple[int, ...]
    array: NDArray[Any]


class Rows(NamedTuple):
    """Rows of differing width, each encoded as bytes that depend on that row alone.

    Attributes:
        token: the type of the values.
        shape: `shape[0]` is the number of rows; the rest is what all rows share.
        rows: one byte string a row.
    """

    token: str
    shape: tuple[int, ...]
    rows: list[bytes]


class Values(NamedTuple):
    """Python objects in an array of a shape, still to be encoded by value; becomes `Rows` or `Whole`."""

    shape: tuple[int, ...]
    items: list[Any]


class Listed(NamedTuple):
    """A list of plain values: a column if its length is that of the samples' axis, else a sequence.

    Attributes:
        items: the list itself.
        defining: whether it may define the axis of samples where no array does (text and images may).
    """

    items: Sequence[Any]
    defining: bool


class Whole(NamedTuple):
    """A leaf without an axis of samples, as bytes."""

    token: str
    content: bytes


class Branch(NamedTuple):
    """A node: what kind of container it is, and its children under the entry that leads to each."""

    kind: str
    children: list[tuple[str, Any]]


class Refused(NamedTuple):
    """Not hashable by value; the reason ends the message that a person reads."""

    reason: str


def is_loaded(package: str, name: str, item: object) -> bool:
    """Whether an object is an instance of a loaded package's class; never imports the package."""
    kind = getattr(sys.modules.get(package), name, None)
    return isinstance(kind, type) and isinstance(item, kind)


Reading = Block | Rows | Values | Listed | Whole | Branch | Refused
