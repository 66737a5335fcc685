"""How much of the machine an audit has: what two threads get done of one's work, where nothing holds them."""

from __future__ import annotations

import hashlib
import os
import threading
import time

_ROUNDS = 4
_ROUND_SECONDS = 0.08
_BLOCK = bytes(1 << 17)  # large enough for hashlib to let the interpreter go


def cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1


def pair() -> list[float]:
    """How many times as much two threads hash as one, in each of a few rounds.

    2 where a second core is free; less where other programs want it too.
    """
    return [_hashed(2) / _hashed(1) for _ in range(_ROUNDS)]


def _hashed(threads: int) -> float:
    """Blocks a second."""
    counts = [0] * threads
    until = time.monotonic() + _ROUND_SECONDS

    def work(number: int) -> None:
        while time.monotonic() < until:
            hashlib.sha256(_BLOCK)
            counts[number] += 1

    began = time.monotonic()
    others = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    return max(1, sum(counts)) / (time.monotonic() - began)
