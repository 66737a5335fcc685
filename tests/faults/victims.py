"""What the processes do that are killed: append or make batches one after another, and tell the ledger of each.

At module level and light, so that spawned workers can import it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import batchaudit as ba
from batchaudit.journal.writer import JournalWriter
from tests.faults import contents
from tests.faults.ledger import Ledger

LONGEST = 120  # seconds after which a worker ends that nobody kills

EXIT_CODE = 7
ROOM = 64 << 20  # bytes that a worker may still take before its memory is out


@dataclass(frozen=True)
class Work:
    """What one process does, with its threads and the processes that it forks.

    Attributes:
        ledger: where it tells what it has done.
        seed: what the records are drawn from.
        source: a `JournalWriter`, or a watched source; a folder where the process is to open the audit itself.
        threads: how many threads make records, each a row of the ledger.
        forks: how many generations of children it has: each forks the next, which does the same.
        ends: how it ends by itself after a number of records: "exit", "segv", "abort", "raise" or "memory"; "" if it
            is killed.
        after: that number.
    """

    ledger: Ledger
    seed: int
    source: Any
    threads: int = 1
    forks: int = 0
    ends: str = ""
    after: int = 0

    @property
    def rows(self) -> int:
        """How many rows of the ledger it takes."""
        return self.threads * (self.forks + 1)


def main(work: Work, row: int) -> None:
    """Works until it is killed, or ends as it was told to."""
    signal.alarm(LONGEST)
    source = work.source
    if isinstance(source, Path):
        source = ba.Audit(source).wrap(contents.Rows(work.seed), name="opened in the worker")
    _works(work, row, source, work.forks)


def _works(work: Work, row: int, source: Any, forks: int) -> None:
    rows = range(row, row + work.threads)
    others = [threading.Thread(target=_makes, args=(work, each, source), daemon=True) for each in rows[1:]]
    for other in others:
        other.start()
    if forks:  # while its other threads write
        _forked(work, row + work.threads, source, forks - 1)
    _makes(work, rows[0], source)


def _forked(work: Work, row: int, source: Any, forks: int) -> None:
    if os.fork() == 0:
        try:
            signal.alarm(LONGEST)  # a child has none of its parent's
            _works(work, row, source, forks)
        finally:
            os._exit(1)


def _makes(work: Work, row: int, source: Any) -> None:
    ledger, make = work.ledger, _maker(work, row, source)
    ledger.starts(row)
    while not work.ends or ledger.finished(row) < work.after:
        next(make)
    _ENDS[work.ends]()


def _maker(work: Work, row: int, source: Any) -> Iterator[None]:
    """Each `next` makes one record; the ledger is told right before and right after."""
    ledger, seed = work.ledger, work.seed
    if isinstance(source, JournalWriter):
        while True:
            event = contents.event(seed, row, ledger.begun(row))
            ledger.begins(row)
            if not source.append(event):
                raise RuntimeError("it could not be logged")
            ledger.finishes(row)
            yield
    while True:
        number = ledger.begins(row)
        if hasattr(source, "__next__"):
            contents.now_makes(row, number)
            next(source)
        else:
            source[row * contents.Rows.STRIDE + number]
        ledger.finishes(row)
        yield


def _exit() -> None:
    os._exit(EXIT_CODE)


def _segv() -> None:
    _quietly()
    ctypes.string_at(0)


def _abort() -> None:
    _quietly()
    os.abort()


def _quietly() -> None:
    """What is meant to crash leaves no core and no traceback."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()


def _raise() -> None:
    raise SystemExit(EXIT_CODE)


def _memory() -> None:
    """Takes memory until there is none."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    with contextlib.suppress(MemoryError):
        while True:
            _taken.append(np.ones(1 << 20, np.uint8))
    raise SystemExit(EXIT_CODE)  # what is done on the way out is done without memory


_taken: list[np.ndarray] = []

_ENDS: dict[str, Callable[[], None]] = {
    "exit": _exit,
    "segv": _segv,
    "abort": _abort,
    "raise": _raise,
    "memory": _memory,
}
