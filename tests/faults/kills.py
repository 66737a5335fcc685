"""Kills processes that log, at random moments, and reads back what they had finished."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import batchaudit as ba
from batchaudit.journal.writer import JournalWriter
from tests.faults import contents, killing, table
from tests.faults.judging import Tally, judge
from tests.faults.ledger import Ledger
from tests.faults.victims import Work

METHODS = ("fork", "spawn", "forkserver")
_AT_ONCE = 4  # processes in a round
_FULL = 1_000


@dataclass(frozen=True)
class Scene:
    """What sort of processes are killed.

    Attributes:
        name: what the table calls it.
        threads: of each process, all of which write.
        forks: generations of children that each process forks while its threads write.
        daemon: whether they are daemons.
        opens: whether each opens the audit itself, so that it is not a worker that is killed but the training.
    """

    name: str
    threads: int = 1
    forks: int = 0
    daemon: bool = False
    opens: bool = False


SCENES = (
    Scene("workers"),
    Scene("workers of 3 threads", threads=3),
    Scene("daemons", daemon=True),
    Scene("parent and its children", forks=1, opens=True),
    Scene("fork of a fork, 2 threads each", forks=2, threads=2),
)
WAYS = ("events", "indexed", "generator")
"""What writes: `JournalWriter` itself, a watched indexed source, a watched generator."""


def main(count: int | None, seed: int) -> int:
    """Kills at least `count` processes; prints the figures."""
    count = count or _FULL
    multiprocessing.set_forkserver_preload(["tests.faults.victims"])
    drawn = random.Random(seed)
    tallies: dict[tuple[str, str], Tally] = {}
    began = time.monotonic()
    rounds = itertools.cycle(itertools.product(WAYS, SCENES, METHODS))
    while sum(each.kills for each in tallies.values()) < count:
        way, scene, method = next(rounds)
        if not possible(way, scene, method):
            continue
        with tempfile.TemporaryDirectory() as folder:
            tally = one_round(Path(folder), method, scene, way, drawn)
        tallies[method, scene.name] = tallies.get((method, scene.name), Tally()) + tally
    total = sum(tallies.values(), Tally())
    rows = [(method, scene, *_cells(tally)) for (method, scene), tally in sorted(tallies.items())]
    table.show(("start", "who was killed", *_COLUMNS), [*rows, ("all", "", *_cells(total))])
    print(f"{total.kills:,} kills in {time.monotonic() - began:.0f} s: " + _sentence(total))
    return 0 if total.holds else 1


def possible(way: str, scene: Scene, method: str) -> bool:
    """Whether there is such a round: a generator goes to no process but a fork, and runs in one thread only."""
    return way != "generator" or (method == "fork" and scene.threads == 1 and not scene.opens)


def one_round(
    folder: Path, method: str, scene: Scene, way: str, drawn: random.Random, processes: int = _AT_ONCE
) -> Tally:
    """Starts some processes, kills them all, reads back and judges.

    Args:
        folder: an empty one.
        method: how they are started.
        scene: what sort they are.
        way: what writes.
        drawn: draws contents and moments.
        processes: how many are started; each may fork others.
    """
    seed, run = drawn.getrandbits(32), folder / "run"
    rows = scene.threads * (scene.forks + 1)
    ledger = Ledger(folder / "ledger", rows * processes)
    opens = scene.opens and way != "events"
    audit = None if way == "events" or opens else ba.Audit(run)
    source = run if opens else _source(run, audit, way, seed)
    works = [Work(ledger, seed, source, scene.threads, scene.forks)] * processes
    try:
        kills = killing.kill_all(killing.context(method), works, drawn, daemon=scene.daemon)
    finally:
        if audit is not None:
            audit.close()
    consumers = frozenset(ledger.pid(row) for row in range(0, ledger.rows, rows)) if opens else frozenset()
    tally = judge(run, ledger, seed, events=way == "events", consumers=consumers)
    tally.kills = kills
    return tally


def _source(run: Path, audit: ba.Audit | None, way: str, seed: int) -> Any:
    if audit is None:
        return JournalWriter(run, source="s", strategy="fork:4", run="r")
    return audit.wrap(contents.stream(seed) if way == "generator" else contents.Rows(seed), name="s")


_COLUMNS = (
    "kills", "begun", "finished", "read back", "wrong", "twice", "missing", "in flight", "whole", "torn files",
    "bytes dropped", "counted", "gaps", "counted", "miscounts",
)  # fmt: skip


def _cells(tally: Tally) -> tuple[int, ...]:
    return (
        tally.kills, tally.begun, tally.finished, tally.read, tally.wrong, tally.twice, tally.missing,
        tally.in_flight, tally.in_flight_whole, tally.torn, tally.dropped, tally.dropped_told, tally.gaps,
        tally.gaps_told, tally.miscounted,
    )  # fmt: skip


def _sentence(total: Tally) -> str:
    kept = f"{total.finished - total.missing:,} of {total.finished:,} finished records are read back"
    return f"{kept}, {total.wrong + total.twice} are wrong, {total.miscounted} counts of losses are."
