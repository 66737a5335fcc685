"""How much memory each worker process has for itself, as Linux counts it; elsewhere it is not known."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

_EVERY = 0.5  # seconds: a look costs the kernel a walk over all pages
_PRIVATE = re.compile(rb"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.MULTILINE)


class Memory:
    """Looks at the processes that this one starts from now on."""

    def __init__(self) -> None:
        self._before = set(_children())
        self._most: dict[int, int] = {}
        self._next = 0.0

    def look(self) -> None:
        """Looks, if the last look is some time ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        for process in _children():
            if process not in self._before:
                self._most[process] = max(self._most.get(process, 0), _private(process))

    def of_a_worker(self) -> int | None:
        """Bytes of the worker that had most; None where there was none, or nothing was seen."""
        return max(self._most.values(), default=0) or None


def _children() -> list[int]:
    """Processes that this one started and that still run."""
    found: list[int] = []
    try:
        for task in os.scandir("/proc/self/task"):
            try:
                found += map(int, Path(task.path, "children").read_text().split())
            except OSError:  # the thread has ended since
                continue
    except OSError:
        return []
    return found


def _private(process: int) -> int:
    try:
        said = Path(f"/proc/{process}/smaps_rollup").read_bytes()
    except OSError:  # it has ended
        return 0
    return sum(int(size) for size in _PRIVATE.findall(said)) * 1024
