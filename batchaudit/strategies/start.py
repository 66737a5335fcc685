"""The default start method of worker processes, set for the time of one audit."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from batchaudit.strategies.job import Skip


@contextmanager
def start_method(name: str | None) -> Iterator[str]:
    """Makes `name` the default start method within the context: Keras' pools use no other.

    Args:
        name: a start method; None keeps the platform's.

    Yields:
        The start method in force.

    Raises:
        Skip: the platform does not have it.
    """
    if name is not None and name not in multiprocessing.get_all_start_methods():
        raise Skip(f"this platform cannot start processes by {name}")
    before = multiprocessing.get_start_method(allow_none=True)
    if name is not None:
        multiprocessing.set_start_method(name, force=True)
    try:
        yield multiprocessing.get_start_method()
    finally:
        multiprocessing.set_start_method(before, force=True)


def in_words(exitcode: int | None) -> str:
    """How a process ended."""
    if exitcode is None:
        return "its pipe is closed, though it still runs"
    return f"by signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"
