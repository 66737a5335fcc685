"""What a process does before it forks, so that its children live."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def earlier_garbage_kept() -> Iterator[None]:
    """Keeps the collector of forked children away from what earlier passes left.

    TensorFlow's objects among it are destroyed by code that takes locks. In a child the threads are missing
    that held them at the fork: the child hangs or aborts. Python's documentation advises `gc.freeze` here.
    """
    if gc.get_freeze_count():  # by the program itself, which gc.unfreeze would undo
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
