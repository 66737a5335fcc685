"""How many times as many batches two threads make as one: whether making one holds Python's interpreter."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from batchaudit.sources import kind_of
from batchaudit.sources.indexed import batch_count
from batchaudit.sources.kinds import Kind

_ROUNDS = 4
_PATIENCE = 5.0
_GRACE = 10.0
"""Seconds that a batch may take longer than all that was asked for."""


def together(new: Callable[[], Any], seconds: float) -> list[float]:
    """Makes batches in one thread and in two, in turns.

    Each thread has a source of its own where there can be two, so that no lock of the source's is measured.

    Args:
        new: gives a source that is not watched.
        seconds: for how long, all together; longer where batches are slow.

    Returns:
        For each round, how many times as many batches two threads made. Empty where it could not be seen.
    """
    walks = [_batches(new), _batches(new)]
    a_round = seconds / (2 * _ROUNDS)
    until = time.monotonic() + _PATIENCE * seconds
    ratios: list[float] = []
    if not _made(walks, 0.0, until):  # what is done once is done
        return []
    while len(ratios) < _ROUNDS and time.monotonic() < until:
        one, two = _made(walks[:1], a_round, until), _made(walks, a_round, until)
        if not one or not two:
            return []
        ratios.append(two / one)
    return ratios


def _batches(new: Callable[[], Any]) -> Iterator[Any]:
    """Batches without an end; a source that ends is made anew."""
    while True:
        source, count = new(), 0
        indexed = kind_of(source) is Kind.INDEXED
        for batch in map(source.__getitem__, range(batch_count(source) or 1)) if indexed else source:
            yield batch
            del batch
            count += 1
        if not count:
            return


def _made(walks: list[Iterator[Any]], seconds: float, until: float) -> float:
    """Batches a second that some walks give together, each in a thread of its own; 0 where one gives none.

    A source may wait for another one to be gone, as for a lock: what gives no batch for long is left alone.
    """
    rates = [0.0] * len(walks)
    start = threading.Barrier(len(walks))

    def walk(number: int) -> None:
        start.wait()
        began, count, passed = time.perf_counter(), 0, 0.0
        try:
            for batch in walks[number]:
                del batch
                count += 1
                passed = time.perf_counter() - began
                if passed >= seconds:
                    rates[number] = count / max(passed, 1e-9)
                    return
        except Exception:
            return  # the strategies tell what a source raises; here there is only nothing to be measured

    threads = [threading.Thread(target=walk, args=(number,), daemon=True) for number in range(len(walks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()) + _GRACE)
    if any(thread.is_alive() for thread in threads):
        walks.clear()  # whoever waits for another of them goes on once that is gone
        return 0.0
    return sum(rates) if all(rates) else 0.0
