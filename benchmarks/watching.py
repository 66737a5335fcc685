"""What watching costs, as ratios against baselines that are measured in the same run.

    python benchmarks/watching.py

Each line names what is compared. Figures are medians over several rounds; a shared machine is noisy, so
compare ratios, not times.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from batchaudit.capture.fingerprint import fingerprint
from batchaudit.capture.recorder import Recorder
from batchaudit.capture.rng import StreamReader
from batchaudit.journal.layout import Event, Stage
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter

ROUNDS = 9


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        rounds.append((time.perf_counter() - began) / repeats)
    return statistics.median(rounds)


def line(what: str, value: str) -> None:
    print(f"{what:<76}{value:>14}")


def fingerprints() -> None:
    large = np.random.default_rng(0).random((32, 224, 224, 3), np.float32)
    read = seconds(lambda: int(large.reshape(-1).view(np.uint64).sum()), 5)
    line(
        "32x224x224x3 float32: fingerprint / summing the same memory",
        f"{seconds(lambda: fingerprint(large), 5) / read:.2f} x",
    )
    rows = np.random.default_rng(0).random((8192, 10), np.float32)
    line(
        "8192x10 float32: fingerprint, a row", f"{seconds(lambda: fingerprint(rows), 5) / 8192 * 1e9:.0f} ns"
    )
    small = (np.random.default_rng(0).random((32, 28, 28), np.float32), np.arange(32))
    line(
        "32x28x28 float32 with labels: fingerprint",
        f"{seconds(lambda: fingerprint(small), 200) * 1e6:.1f} µs",
    )


def streams() -> None:
    np.random.rand()
    reader = StreamReader()
    for _ in range(64):  # the searches for private streams lie behind
        reader.read()

    def both() -> None:
        reader.read()
        reader.read_again()

    line("all random streams, before and after a batch", f"{seconds(both, 2000) * 1e6:.1f} µs")


def journal(folder: Path) -> None:
    writer = JournalWriter(folder, source="s", strategy="serial", run="r")
    samples = np.arange(32, dtype=np.uint64)
    event = Event(stage=Stage.PRODUCED, samples=samples)
    line("one record with 32 samples, written", f"{seconds(lambda: writer.append(event), 2000) * 1e6:.1f} µs")
    for _ in range(200_000):
        writer.append(event)
    writer.close()
    load(folder)  # pandas is imported, the file is in memory
    began = time.perf_counter()
    events = len(load(folder).events)
    line("records read and verified, a second", f"{events / (time.perf_counter() - began) / 1e6:.2f} M")


def whole_look(folder: Path) -> None:
    recorder = Recorder(JournalWriter(folder, source="s", strategy="serial", run="r"))
    batch = (np.random.default_rng(0).random((32, 28, 28), np.float32), np.arange(32))
    for _ in range(64):
        recorder.produce(lambda: batch)
    line(
        "32x28x28 float32 with labels: the whole look",
        f"{seconds(lambda: recorder.produce(lambda: batch), 500) * 1e6:.1f} µs",
    )


if __name__ == "__main__":
    fingerprints()
    streams()
    with tempfile.TemporaryDirectory() as folder:
        journal(Path(folder) / "journal")
        whole_look(Path(folder) / "look")
