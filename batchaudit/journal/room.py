"""Keeps a run's folder below a limit of bytes, without anything that its processes would have to share.

Each file measures the folder when it is opened, and again whenever it has grown by a 256th of the limit. It
is full at fifteen sixteenths: what up to sixteen files write between two looks fits into the rest.
"""

from __future__ import annotations

import os

from batchaudit.errors import UsageError

LEAST = 1 << 16
"""Bytes below which a limit is refused: a header, and a batch or two, would fill it."""


class LogFullError(Exception):
    """The folder has reached its limit."""


class Room:
    """What one file may still write.

    Args:
        folder: the run's folder.
        limit: how many bytes its files may have, all together.
    """

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._step = limit // 256
        self._left = 0

    def take(self, size: int) -> None:
        """Takes room for so many bytes.

        Args:
            size: bytes that are about to be written.

        Raises:
            LogFullError: there is none.
        """
        # Threads that meet here may each take a little more than there is: as other processes may.
        self._left -= size
        if self._left >= 0:
            return
        after = _size(self._folder) + size
        if after > self._limit // 16 * 15:
            raise LogFullError(f"the files in {self._folder} have reached max_bytes={self._limit:,}")
        self._left = self._step


def check(max_bytes: int | None) -> None:
    """Refuses a limit that is none.

    Args:
        max_bytes: the limit; None for no limit.

    Raises:
        UsageError: it is too small.
    """
    if max_bytes is not None and max_bytes < LEAST:
        raise UsageError(f"max_bytes={max_bytes:,}: at least {LEAST:,} are needed, or None for no limit.")


def _size(folder: str) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            # One that is gone by now takes no room.
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total
