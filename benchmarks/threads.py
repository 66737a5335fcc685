"""Hashing in one thread while another one keeps the interpreter busy: neither may wait for the other."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from batchaudit.capture.fingerprint import fingerprint
from benchmarks.lines import Line, Target, compared
from benchmarks.measure import Effort, in_turns


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    large = np.random.default_rng(0).random((32, 224, 224, 3), np.float32)
    flat = large.data.cast("B")

    def line(baseline: Callable[[], None], against: str, rounds: int, target: Target | None = None) -> Line:
        times, theirs = in_turns(
            lambda: beside(lambda: fingerprint(large)), baseline, rounds=effort.rounds(rounds), clock=_clock
        )
        what = "19 MB beside a busy Python thread"
        return compared(what, times, theirs, unit="ms", against=against, target=target)

    with _busy_thread() as beside:
        yield line(lambda: _timed(lambda: fingerprint(large)), "the same alone", 21, Target(3))
        md5 = "md5 of its memory, beside it too"
        yield line(lambda: beside(lambda: hashlib.md5(flat).digest()), md5, 7)


# The busy thread is let run before a call and stopped after it: only the call itself is timed.
_spent = 0.0


def _clock() -> float:
    return _spent


def _timed(call: Callable[[], Any]) -> None:
    global _spent
    began = time.perf_counter()
    call()
    _spent += time.perf_counter() - began


@contextmanager
def _busy_thread() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """A thread that computes in pure Python; gives what makes a call while it does."""
    wanted, running, over = threading.Event(), threading.Event(), threading.Event()

    def compute() -> None:
        while not over.is_set():
            wanted.wait()
            running.set()
            total = 0
            while wanted.is_set() and not over.is_set():
                for number in range(1000):
                    total += number * number
            running.clear()

    def beside(call: Callable[[], Any]) -> None:
        wanted.set()
        running.wait()
        _timed(call)
        wanted.clear()
        while running.is_set():
            time.sleep(0.0005)

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield beside
    finally:
        over.set()
        wanted.set()
        thread.join()
