"""Goes over a source in the calling process, in order and twice: the second pass shows what is drawn anew."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from batchaudit.errors import UsageError
from batchaudit.sources import arrays, kind_of, length_of
from batchaudit.sources.indexed import batch_count
from batchaudit.sources.kinds import Kind
from batchaudit.strategies.job import MOST_BATCHES, MOST_SECONDS
from batchaudit.target import Target


class Renewed:
    """An iterable of which every pass is over a new source of the user's callable.

    Args:
        target: the callable.
        first: the source that it has made already.
    """

    def __init__(self, target: Target, first: Any) -> None:
        self._target, self._first = target, first

    def __iter__(self) -> Iterator[Any]:
        first, self._first = self._first, None
        return iter(self._target.new() if first is None else first)


def repeatable(source: Any, name: str) -> Any:
    """A source that has two passes, where that is possible.

    Args:
        source: a source, arrays (x, y), or a callable that returns either.
        name: what to call it in messages.

    Returns:
        The source; arrays as a list of one batch.

    Raises:
        UsageError: it is no source, or the callable fails.
    """
    if arrays.is_arrays(source):
        return [source]
    target = Target.of(source, name)
    made = target.new()
    if arrays.is_arrays(made):
        return [made]
    if kind_of(made) is Kind.ITERATOR:
        target.check_renewable()
        if target.renewable:
            return Renewed(target, target.last)
    return made


def go_over(source: Any, name: str, steps: int | None) -> tuple[int, int]:
    """Takes every batch of two passes; of an iterator the one pass that it has.

    Args:
        source: what `repeatable` returned, watched.
        name: what to call it in messages.
        steps: how many batches to take of each pass; None for all.

    Returns:
        How many batches the first pass had, and how many passes there were.

    Raises:
        UsageError: it has no end, and `steps` is None.
    """
    passes = 1 if kind_of(source) is Kind.ITERATOR else 2
    bounded = steps is not None or _sized(source)
    counts = [_count(islice(_pass(source, name, steps), steps), name, bounded) for _ in range(passes)]
    return counts[0], passes


def _pass(source: Any, name: str, steps: int | None) -> Iterator[Any]:
    if kind_of(source) is not Kind.INDEXED:
        return iter(source)
    count = batch_count(source)
    if count is None and steps is None:
        raise UsageError(f"{name} does not say how many batches it has: give steps_per_epoch=.")
    return map(source.__getitem__, range(steps or 0 if count is None else count))


def _count(batches: Iterable[Any], name: str, bounded: bool) -> int:
    number, began = 0, time.monotonic()
    for number, _ in enumerate(batches, 1):
        if not bounded and (number >= MOST_BATCHES or time.monotonic() - began > MOST_SECONDS):
            raise UsageError(
                f"{name} is still yielding after {number:,} batches: give an endless or long source "
                "steps_per_epoch=."
            )
    return number


def _sized(source: Any) -> bool:
    """Whether a source says how many batches it has; an endless `tf.data.Dataset` raises."""
    try:
        return length_of(source) is not None
    except Exception:  # it is the user's own code, or the framework's
        return False
