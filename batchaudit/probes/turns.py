"""Workers that take turns, so that each of them makes as many items as the others.

A pool gives an item to whoever is free. Where items cost little, the worker that was started first may have
made all of them before the next one is there, on a busy machine above all.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


class Turns:
    """Lets a worker begin its n-th item only once every worker is about to.

    It is sent to the worker processes, under every start method; what they have begun, they write down in a
    folder. It waits for nobody for ever: a pool that does not take turns makes its items as it does without.

    Args:
        folder: an empty one, for one epoch.
        workers: how many there are.
        items: how many there are to make; what is left over of them when each worker has made as many as the
            others is for whoever is free.
        patience: seconds to wait for the others; a worker that imports its frameworks anew takes ten of them.
    """

    def __init__(self, folder: str, workers: int, items: int, *, patience: float = 30.0) -> None:
        self._folder = folder
        self._workers = workers
        self._turns = items // workers
        self._patience = patience
        self._home = os.getpid()

    def wait(self) -> None:
        """Waits until it is the turn of the worker that calls; not at all in the process that drives it."""
        if os.getpid() == self._home:  # a look ahead, which is no worker's
            return
        own = Path(self._folder, str(os.getpid()))
        with suppress(OSError):  # the folder is gone with its probe: an item that nobody waits for
            with own.open("ab") as begun:
                begun.write(b".")
            turn = own.stat().st_size
            if turn <= self._turns:
                self._meet(turn)

    def _meet(self, turn: int) -> None:
        over = Path(self._folder, "over")
        until = time.monotonic() + self._patience
        while not over.exists():
            begun = [entry.stat().st_size for entry in os.scandir(self._folder)]
            if sum(size >= turn for size in begun) >= self._workers:
                return
            if time.monotonic() > until:
                over.touch()  # nobody else need be as patient
            time.sleep(0.001)
