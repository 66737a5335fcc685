"""Records on their way out and back, against writing and reading as many bytes with nothing around it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash

from batchaudit.journal.layout import SUFFIX, Event, Stage
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter
from benchmarks.lines import Line, Target, alone, compared
from benchmarks.measure import Effort, in_turns, median

_SAMPLES = 32


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    event = Event(stage=Stage.PRODUCED, samples=np.arange(_SAMPLES, dtype=np.uint64))
    with tempfile.TemporaryDirectory() as folder:
        yield _written(event, Path(folder), effort)
    with tempfile.TemporaryDirectory() as folder:
        yield from _loaded(event, Path(folder), effort)


def _written(event: Event, folder: Path, effort: Effort) -> Line:
    writer = JournalWriter(folder / "log", source="s", strategy="serial", run="r")
    for _ in range(100):
        writer.append(event)
    record = bytes(_bytes_of_one(folder / "log"))
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        ours, baseline = in_turns(
            lambda: writer.append(event),
            lambda: os.write(plain, record),
            rounds=effort.rounds(41),
            repeats=1000,
        )
    finally:
        os.close(plain)
        writer.close()
    return compared(
        f"a record with {_SAMPLES} samples, written",
        ours,
        baseline,
        unit="µs",
        against=f"os.write of its {len(record)} bytes",
        target=Target(2.5, "ours"),
    )


def _bytes_of_one(log: Path) -> int:
    """How long a record is: what a hundred more of them add, the header left out of account."""
    return sum(file.stat().st_size for file in log.glob(f"*{SUFFIX}")) // 100


def _loaded(event: Event, folder: Path, effort: Effort) -> Iterator[Line]:
    events = effort.amount(300_000, 20_000)
    writer = JournalWriter(folder, source="s", strategy="serial", run="r")
    for _ in range(events):
        writer.append(event)
    writer.close()
    [file] = folder.glob(f"*{SUFFIX}")
    ours, baseline = in_turns(
        lambda: load(folder), lambda: xxhash.xxh3_64_intdigest(file.read_bytes()), rounds=effort.rounds(7)
    )
    yield alone(
        f"records with {_SAMPLES} samples, loaded and verified",
        events / median(ours) / 1e6,
        unit="M/s",
        target=Target(0.9, "ours", least=True),
    )
    yield compared(
        f"{events:,} records with {_SAMPLES} samples, loaded and verified",
        ours,
        baseline,
        unit="ms",
        against="reading the file, one checksum over it",
    )
