"""Whether numbers lie on a stride: every k-th of a range, as sharding takes them. Requires numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from batchaudit.analysis import codes

Array = np.ndarray[Any, Any]
_FEWEST = 8
_COMPLETE = 0.95
_NEAR = 0.15


@dataclass(frozen=True)
class Stride:
    """Numbers that begin at `first` and go on by `step`, up to `last`.

    Attributes:
        first: the least.
        last: the greatest.
        step: the greatest step on which all of them lie.
        count: how many there are.
    """

    first: int
    last: int
    step: int
    count: int

    @property
    def places(self) -> int:
        """How many there would be with none left out."""
        return (self.last - self.first) // self.step + 1

    @property
    def complete(self) -> bool:
        """Whether nearly none is left out."""
        return self.count >= _COMPLETE * self.places


def stride(numbers: Array) -> Stride | None:
    """The stride that numbers lie on.

    Args:
        numbers: int64, in any order.

    Returns:
        It; None where there are too few different ones to tell.
    """
    different = codes.distinct(numbers)
    if len(different) < _FEWEST:
        return None
    step = int(np.gcd.reduce(np.diff(different)))
    return Stride(int(different[0]), int(different[-1]), step, len(different))


def left_out(parts: list[Array]) -> int | None:
    """Of how many numbers only one is in any of several parts, each of which has been taken by a stride.

    Numbers that are all multiples of one, such as offsets in a file, are taken as 0, 1, 2 ... : a step that
    is common to all parts is not what was left out.

    Args:
        parts: the numbers that each replica has.

    Returns:
        k where about 1/k of the range is there, 1 where all is; None where the parts lie on no stride.
    """
    strides = [stride(part) for part in parts]
    whole = stride(np.concatenate(parts))
    if whole is None or any(one is None for one in strides):
        return None
    known = [one for one in strides if one is not None]
    if not (_each_complete(known, whole) or _own_classes(known, whole)):
        return None
    times = whole.places / whole.count
    nearest = round(times)
    return nearest if abs(times - nearest) <= _NEAR * nearest else None


def _each_complete(strides: list[Stride], whole: Stride) -> bool:
    """Whether every replica has every number of a stride of its own."""
    return all(one.complete and one.step >= 2 * whole.step for one in strides)


def _own_classes(strides: list[Stride], whole: Stride) -> bool:
    """Whether the replicas have taken every W-th number, each from a start of its own."""
    step = len(strides) * whole.step
    starts = {(one.first - whole.first) % step for one in strides}
    return all(one.step % step == 0 for one in strides) and len(starts) == len(strides)


def sliced_twice(parts: list[Array]) -> bool:
    """Whether the parts are what `items[r::W][r::W]` leaves of a range for r = 0 ... W - 1.

    Args:
        parts: the numbers that each replica has, by its number.
    """
    strides = [stride(part) for part in parts]
    whole = stride(np.concatenate(parts))
    if whole is None or any(one is None for one in strides):
        return False
    count, start = len(parts), strides[0].first if strides[0] else 0
    return all(
        one is not None
        and one.complete
        and one.step == count**2 * whole.step
        and one.first - start == number * (count + 1) * whole.step
        for number, one in enumerate(strides)
    )
