"""Starts victims, kills each at a moment that is drawn, and sees to it that none is left."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults import victims
from tests.faults.victims import Work

_SET_SUBREAPER, _GET_SUBREAPER = 36, 37
_AT_ONCE = (
    0.15  # the share that is killed as soon as it runs: while its file is opened and its header is written
)
_LONGEST_DELAY = 0.002


@dataclass(frozen=True)
class Moment:
    """When a process is killed.

    Attributes:
        row: its row of the ledger.
        finished: so many of its records are finished.
        delay: and so many seconds have gone by since that was seen.
    """

    row: int
    finished: int
    delay: float


def moment(row: int, drawn: random.Random) -> Moment:
    """Draws when the process of a row is killed."""
    finished = 0 if drawn.random() < _AT_ONCE else min(int(drawn.expovariate(1 / 60)), 600)
    return Moment(row, finished, drawn.random() ** 2 * _LONGEST_DELAY)


def kill_all(context: Any, works: list[Work], drawn: random.Random, *, daemon: bool = False) -> int:
    """Starts a process for each work, and kills each of them, and each that they fork, with SIGKILL.

    Args:
        context: of multiprocessing: how they are started.
        works: what they do; their rows of the ledger follow one another.
        drawn: draws the moments.
        daemon: whether they are daemons.

    Returns:
        How many were killed.

    Raises:
        RuntimeError: one ended by itself, or never came to its moment.
    """
    roots, moments, row = [], [], 0
    with _adopting():
        try:
            for work in works:
                roots.append(context.Process(target=victims.main, args=(work, row), daemon=daemon))
                moments += [moment(row + work.threads * fork, drawn) for fork in range(work.forks + 1)]
                row += work.rows
                roots[-1].start()
            _kill(works[0].ledger, roots, moments)
        finally:
            _end(roots, [works[0].ledger.pid(row) for row in range(row)])
    wrong = [root.exitcode for root in roots if root.exitcode != -signal.SIGKILL]
    if wrong:
        raise RuntimeError(f"killed processes ended with {wrong}")
    return len(moments)


def _kill(ledger: Any, roots: list[Any], moments: list[Moment]) -> None:
    waiting, killed = list(moments), set()
    deadline = time.monotonic() + victims.LONGEST
    while waiting:
        ready = [it for it in waiting if ledger.pid(it.row) and ledger.finished(it.row) >= it.finished]
        for it in ready:
            until = time.perf_counter() + it.delay
            while time.perf_counter() < until:
                pass
            os.kill(ledger.pid(it.row), signal.SIGKILL)
            killed.add(ledger.pid(it.row))
            waiting.remove(it)
        gone = [root.pid for root in roots if root.pid not in killed and not root.is_alive()]
        if gone or time.monotonic() > deadline:
            raise RuntimeError(f"{gone} ended by themselves, or {waiting} never came")
        if not ready:
            time.sleep(0.0002)  # the machine has few processors, and the victims need them


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Within it, what the processes leave behind becomes this process' own child, which it can wait for."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    before = ctypes.c_int()
    prctl(_GET_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SET_SUBREAPER, before.value, 0, 0, 0)


def _end(roots: list[Any], pids: list[int]) -> None:
    """Ends what is still there, parents first: then each orphan is this process' child when it is waited for."""
    for root in roots:
        if root.pid is not None:
            root.kill()
            root.join()
    for pid in dict.fromkeys(pids):
        if pid and pid not in {root.pid for root in roots}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def context(method: str) -> Any:
    """How processes are started: "fork", "spawn" or "forkserver"."""
    return multiprocessing.get_context(method)
