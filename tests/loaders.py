"""Small sources that tests audit. At module level, so that spawned workers can import them; no framework."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

Batch = tuple[np.ndarray, np.ndarray]


def batch(number: int, size: int = 4) -> Batch:
    """Batch `number` of a stream in which no sample is ever repeated."""
    rows = np.arange(number * size, (number + 1) * size)
    return np.stack([rows, rows * 0.5, -rows], axis=1).astype(np.float32), rows


def content(thing: Any) -> Any:
    """A batch by value, in plain Python: what two equal batches have in common and no others."""
    if isinstance(thing, dict):
        return {key: content(value) for key, value in sorted(thing.items())}
    if isinstance(thing, (tuple, list)):
        return tuple(content(item) for item in thing)
    if hasattr(thing, "to_list"):  # a ragged tensor
        return ("ragged", thing.dtype.name, str(thing.to_list()))
    if hasattr(thing, "dense_shape"):
        return ("sparse", content([thing.indices, thing.values, thing.dense_shape]))
    if thing is None:
        return None
    array = np.asarray(thing)
    return (array.dtype.str, array.shape, array.tobytes() if array.dtype != object else array.tolist())


# -- generator functions --------------------------------------------------------------------------


def numbers(count: int = 8) -> Iterator[Batch]:
    for number in range(count):
        yield batch(number)


def endless() -> Iterator[Batch]:
    number = 0
    while True:
        yield batch(number)
        number += 1


def slow() -> Iterator[Batch]:
    """Slow enough that workers in parallel share the work."""
    for item in endless():
        time.sleep(0.005)
        yield item


def numpy_noise(count: int = 8) -> Iterator[Batch]:
    for number in range(count):
        x, rows = batch(number)
        yield x + np.random.normal(size=x.shape), rows


def python_noise(count: int = 8) -> Iterator[Batch]:
    for number in range(count):
        x, rows = batch(number)
        yield x + random.random(), rows


def private_noise(count: int = 8) -> Iterator[Batch]:
    rng = np.random.default_rng(7)
    for number in range(count):
        x, rows = batch(number)
        yield x + rng.normal(size=x.shape), rows


def raising() -> Iterator[Batch]:
    yield batch(0)
    yield batch(1)
    raise ValueError("the third batch is broken")


def empty() -> Iterator[Batch]:
    yield from ()


# -- classes --------------------------------------------------------------------------------------


class Numbers:
    """An iterator that pickles."""

    def __init__(self, count: int = 8) -> None:
        self.count = count
        self.position = 0

    def __iter__(self) -> Numbers:
        return self

    def __next__(self) -> Batch:
        if self.position >= self.count:
            raise StopIteration
        self.position += 1
        return batch(self.position - 1)


class Elsewhere(Numbers):
    """An iterator whose `__iter__` hands out another iterator."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return iter([batch(7), batch(8)])


class Passes:
    """An iterable: every `iter()` is a new pass."""

    def __init__(self, count: int = 8) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Batch]:
        return numbers(self.count)


class Table:
    """Batches by index, with the hooks that Keras calls."""

    def __init__(self, count: int = 8) -> None:
        self.count = count
        self.begun: list[int] = []
        self.ended: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        return batch(index)

    def on_epoch_begin(self) -> None:
        self.begun.append(os.getpid())

    def on_epoch_end(self) -> None:
        self.ended.append(os.getpid())


class NoisyTable(Table):
    """Draws from NumPy's global stream."""

    def __getitem__(self, index: int) -> Batch:
        x, rows = batch(index)
        return x + np.random.normal(size=x.shape), rows


# -- what goes wrong in workers -------------------------------------------------------------------


def _die_by_exit_3() -> None:
    os._exit(3)


def _die_by_exit_0() -> None:
    os._exit(0)


def _die_by_kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise() -> None:
    raise ValueError("the third batch is broken")


def _hang() -> None:
    threading.Event().wait()


MISHAPS = {"exit 3": _die_by_exit_3, "exit 0": _die_by_exit_0, "kill": _die_by_kill, "raise": _raise}
MISHAPS["hang"] = _hang


def mishap(kind: str, parent: int) -> None:
    """Happens only in worker processes: the parent may look at the batch unharmed."""
    if os.getpid() != parent:
        MISHAPS[kind]()


class Broken(Table):
    """Something happens to the worker that makes batch 2."""

    def __init__(self, kind: str, count: int = 8) -> None:
        super().__init__(count)
        self.kind = kind
        self.parent = os.getpid()

    def __getitem__(self, index: int) -> Batch:
        if index == 2:
            mishap(self.kind, self.parent)
        return batch(index)


class BrokenNumbers(Numbers):
    """Something happens to every worker that makes batch 2."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.parent = os.getpid()

    def __next__(self) -> Batch:
        if self.position == 2:
            mishap(self.kind, self.parent)
        return super().__next__()


def broken(kind: str, parent: int) -> Iterator[Batch]:
    for number in range(8):
        if number == 2:
            mishap(kind, parent)
        yield batch(number)


class NoPickle(np.ndarray):
    """An array that cannot be sent from one process to another."""

    def __reduce__(self) -> Any:
        raise TypeError("this array stays where it is")


def unsendable() -> Iterator[Any]:
    for number in range(4):
        yield batch(number)[0].view(NoPickle)
