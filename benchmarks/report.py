"""A run's report, from ten thousand records to a million, and ten million with --full.

The run is what a watched training leaves: two workers, which make every batch, and the consumer that gets it,
in ten epochs of equal length. It is written and loaded before anything is timed: what loading takes is in the
subject `journal`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import LIVE
from batchaudit.journal.layout import Event, Stage
from batchaudit.journal.reader import Log, load
from batchaudit.journal.writer import JournalWriter
from batchaudit.reporting import build
from benchmarks.lines import Line, Target, alone, compared, not_measured
from benchmarks.measure import Effort, growth, in_turns, missing

_EPOCHS = 10
_TARGETS = {1_000_000: Target(3, "ours"), 10_000_000: Target(20, "ours")}
_NEEDS_GB = {10_000_000: 14}


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    sizes = [10_000, 100_000] if effort.quick else [10_000, 100_000, 1_000_000]
    seconds: list[tuple[int, float]] = []
    for size in [*sizes, *([10_000_000] if effort.full else [])]:
        wanted, free = _NEEDS_GB.get(size, 0), _free_gb()
        what = f"figures and findings of {size:,} records, a sample each"
        if wanted > free:
            why = f"it needs {wanted} GB of memory, and {free:.0f} are free"
            yield not_measured(what, why, _TARGETS[size], "s")
            continue
        its = list(_of_one(what, size, 1, effort))
        yield from its
        seconds.append((size, its[0].ours or 0.0))
    yield alone(
        "growth: the exponent k of seconds ~ records^k",
        growth([size for size, _ in seconds], [took for _, took in seconds]),
        unit="",
        note=f"from {seconds[0][0]:,} to {seconds[-1][0]:,} records; 1 is linear",
    )
    size = sizes[1] // 10 if effort.quick else sizes[1]
    yield from _of_one(f"figures and findings of {size:,} records, 32 samples each", size, 32, effort)


def _of_one(what: str, size: int, samples: int, effort: Effort) -> Iterator[Line]:
    """The lines of a run of so many records: beside the list of digests, and beside DuckDB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, size, samples)
        log = load(folder)
        yield from _compared(what, folder, log, size, effort)


def _compared(what: str, folder: Path, log: Log, size: int, effort: Effort) -> Iterator[Line]:
    handed = log.events[log.events["stage"] == "delivered"]
    digests = [f"{hi:016x}{lo:016x}" for hi, lo in zip(handed["digest_hi"], handed["digest_lo"], strict=True)]
    seen: list[int] = []

    def report() -> None:
        seen.append(int(build(folder, log=log).epochs["unique"].sum()))

    absent = missing("duckdb")
    others = [lambda: pd.Series(digests).value_counts(), *([] if absent else [_duckdb(handed)])]
    ours, by_hand, *barest = in_turns(report, *others, rounds=effort.rounds(5 if size <= 1_000_000 else 1))
    assert set(seen) == {len(handed)}, f"the report sees {set(seen)} of {len(handed)} different batches"
    against = "value_counts() over the digests in a list"
    yield compared(what, ours, by_hand, unit="s", against=against, target=_TARGETS.get(size))
    if absent:
        yield not_measured(f"{what}, beside DuckDB", absent)
        return
    yield compared(what, ours, barest[0], unit="s", against="DuckDB: count(distinct digest) of each epoch")


def _duckdb(handed: pd.DataFrame) -> Any:
    import duckdb

    frame = handed[["epoch", "digest_hi", "digest_lo"]]
    connection = duckdb.connect()
    connection.register("handed", frame)
    text = "select epoch, count(distinct (digest_hi, digest_lo)) from handed group by epoch"
    return lambda: connection.execute(text).fetchall()


def _write(folder: Path, size: int, samples: int) -> None:
    """Logs a training: of each batch its making, by one of two workers, and its delivery."""
    writer = JournalWriter(folder, source="train", strategy=LIVE, run="r")
    batches = size // 2
    draw = np.random.default_rng(0)
    digests = draw.integers(0, 2**64, (batches, 2), np.uint64).tolist()
    states = draw.integers(1, 2**64, (batches + 1, 2), np.uint64).tolist()
    its_samples = draw.integers(0, 2**64, (batches, samples), np.uint64)
    length = batches // _EPOCHS
    ids = np.arange(batches * samples).reshape(batches, samples) % (length * samples)
    for batch, (hi, lo) in enumerate(digests):
        worker, began = batch % 2, batch * 1_000_000
        made = Event(
            stage=Stage.PRODUCED, thread=worker, epoch=batch // length, digest_hi=hi, digest_lo=lo,
            nbytes=samples * 64, began_ns=began, ended_ns=began + 1000, framework_worker=worker,
            streams_before=(states[batch][0], 0, states[batch][1], 0, 0),
            streams_after=(states[batch + 1][0], 0, states[batch + 1][1], 0, 0),
            samples=its_samples[batch], ids=ids[batch],
        )  # fmt: skip
        handed = Event(
            stage=Stage.DELIVERED, thread=9, epoch=batch // length, step=batch % length,
            ticket=writer.append(made), digest_hi=hi, digest_lo=lo, nbytes=samples * 64,
            began_ns=began + 2000, ended_ns=began + 3000, samples=its_samples[batch],
        )  # fmt: skip
        writer.append(handed)
    writer.close()


def _free_gb() -> float:
    """Gigabytes of memory that a process could still take."""
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return float("inf")
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
