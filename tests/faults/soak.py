"""Watches a source for very many batches, and sees whether the process and the log stay as small as is said."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import batchaudit as ba
from batchaudit.journal.layout import SUFFIX
from batchaudit.journal.scan import scan_file
from tests.faults import table

SAMPLES = 2
_FULL = 10_000_000
_POINTS = 200
_EPOCH = 500  # batches of an epoch of an indexed source
_WARM_UP = 0.1  # the share of a run in which caches and pools of memory come to their size

MOST_GROWTH = 256 * 1024
"""Bytes that the resident memory may grow by, fitted over all of a run but its warm-up, however long it is."""

# What the published format says of the size of things, in bytes.
_HEADER, _RECORD, _SAMPLE, _ID = 40, 208, 8, 8
_HEADER_EVERY = 4_096


class Point(NamedTuple):
    """What was measured after so many batches.

    Attributes:
        batches: how many.
        resident: bytes of memory.
        descriptors: open file descriptors.
        logged: bytes of the log.
        seconds: since the first batch was asked for.
    """

    batches: int
    resident: int
    descriptors: int
    logged: int
    seconds: float


def main(count: int | None, seed: int) -> int:
    """Watches `count` batches; prints the figures. Nothing is drawn."""
    count = count or _FULL
    with tempfile.TemporaryDirectory() as folder:
        points = measure(Path(folder) / "run", count, "generator", with_ids=False)
        path = log_file(Path(folder) / "run")
        header = header_size(path)
        expected = size_of_log(count, header)
        with path.open("rb") as file:
            found = scan_file(file, path.stat().st_size)
        size, read, dropped = path.stat().st_size, len(found.records), found.bytes_dropped
    shown = [points[round(at * (len(points) - 1) / 10)] for at in range(11)]
    table.show(
        ("batches", "resident MiB", "descriptors", "log MB", "µs a batch"),
        [
            (
                it.batches,
                it.resident / 2**20,
                it.descriptors,
                it.logged / 1e6,
                1e6 * it.seconds / max(it.batches, 1),
            )
            for it in shown
        ],
    )
    growth = fitted_growth(points)
    print(
        f"resident memory: {growth / 1024:+.1f} KiB fitted over the last {1 - _WARM_UP:.0%} of the run, "
        f"{MOST_GROWTH // 1024} allowed; the highest there less the lowest {spread(points) / 1024:.0f} KiB"
    )
    print(f"log: {size:,} bytes, {expected:,} by the format; {read:,} records read, {dropped} bytes dropped")
    print(f"a batch: {(size - header) / count:.3f} bytes, of which {SAMPLES} samples are {SAMPLES * _SAMPLE}")
    level = growth <= MOST_GROWTH and len({point.descriptors for point in points}) == 1
    return 0 if level and size == expected and not dropped and read == count + 2 else 1


def measure(folder: Path, batches: int, kind: str, *, with_ids: bool) -> list[Point]:
    """Watches a source in this process.

    Args:
        folder: the run's folder.
        batches: how many are made.
        kind: "generator" or "indexed".
        with_ids: whether a key gives the samples' ids.

    Returns:
        What was measured, at even distances; the first before any batch.
    """
    every = max(batches // _POINTS, 1)
    with ba.Audit(folder) as audit:
        source: Any = Rows(batches) if kind == "indexed" else numbers(batches)
        watched = audit.wrap(source, name="train", key=ids if with_ids else None)
        points = [_point(folder, 0, 0.0)]
        began = time.perf_counter()
        drawn = _by_index(watched, batches) if kind == "indexed" else watched
        for number, _ in enumerate(drawn, 1):
            if number % every == 0:
                points.append(_point(folder, number, time.perf_counter() - began))
    return points


def measure_in_new_process(folder: Path, batches: int, kind: str, *, with_ids: bool) -> list[Point]:
    """As `measure`, in a process of its own, in which nothing else is going on."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (folder, batches, kind), {"with_ids": with_ids})


def numbers(count: int) -> Iterator[np.ndarray]:
    """Different small batches."""
    for number in range(count):
        yield np.full((SAMPLES, 1), number)


class Rows:
    """The same, by number."""

    def __init__(self, count: int) -> None:
        self._count = min(count, _EPOCH)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.full((SAMPLES, 1), index)


def _by_index(rows: Any, batches: int) -> Iterator[Any]:
    for number in range(batches):
        yield rows[number % len(rows)]


def ids(batch: np.ndarray) -> np.ndarray:
    """Which stored items the samples of a batch came from."""
    return batch[:, 0] * SAMPLES + np.arange(SAMPLES)


def _point(folder: Path, batches: int, seconds: float) -> Point:
    with open("/proc/self/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * resource.getpagesize()
    logged = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))
    return Point(batches, resident, len(os.listdir("/proc/self/fd")), logged, seconds)


def _warm(points: list[Point]) -> list[Point]:
    return [point for point in points if point.batches >= _WARM_UP * points[-1].batches]


def fitted_growth(points: list[Point]) -> float:
    """By how many bytes a straight line through the resident memory rises after the warm-up."""
    batches = np.array([point.batches for point in _warm(points)], float)
    resident = np.array([point.resident for point in _warm(points)], float)
    slope = np.polyfit(batches - batches.mean(), resident - resident.mean(), 1)[0]
    return float(slope * (batches[-1] - batches[0]))


def spread(points: list[Point]) -> int:
    """The highest resident memory after the warm-up, less the lowest."""
    resident = [point.resident for point in _warm(points)]
    return max(resident) - min(resident)


def log_file(folder: Path) -> Path:
    """The only journal file of a run."""
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


def header_size(path: Path) -> int:
    """Bytes of the header that a file begins with."""
    with path.open("rb") as file:
        return _HEADER + int.from_bytes(file.read(16)[12:16], "little")


def size_of_log(
    batches: int, header: int, *, kind: str = "generator", with_ids: bool = False, ended: bool = True
) -> int:
    """Bytes of a log by its format alone.

    Args:
        batches: how many are logged.
        header: bytes of the header.
        kind: of the source; a generator's end is an event of its own.
        with_ids: whether their samples have ids.
        ended: whether source and log have come to their ends.
    """
    hooks = ["watched"] + ["exhausted"] * (ended and kind == "generator")
    events = batches + len(hooks)
    copies = 1 + (events - _HEADER_EVERY) // (_HEADER_EVERY - 1) if events >= _HEADER_EVERY else 0
    return (
        header
        + batches * (_RECORD + SAMPLES * (_SAMPLE + _ID * with_ids))
        + sum(_RECORD + len(name) + -len(name) % 8 for name in hooks)
        + (copies + ended) * (_RECORD + header)
    )
