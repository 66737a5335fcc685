"""What workers say they have begun and finished, kept outside the journal, where a SIGKILL cannot lose it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

_PID, _BEGUN, _FINISHED, _FIELDS = 0, 1, 2, 3


class Ledger:
    """A row for each maker of records, in a file that all processes have mapped.

    A store into shared memory is the kernel's at once: it outlives the process, as a finished record must.

    Args:
        path: the file; made if it is not there.
        rows: how many makers there are at most.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows = path, rows
        size = rows * _FIELDS * 8
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(fd).st_size < size:
                os.ftruncate(fd, size)
            self._cells = np.frombuffer(mmap.mmap(fd, size), np.int64).reshape(rows, _FIELDS)
        finally:
            os.close(fd)

    def __reduce__(self) -> tuple[type[Ledger], tuple[Path, int]]:
        return Ledger, (self.path, self.rows)

    def starts(self, row: int) -> None:
        """This process is a row's maker."""
        self._cells[row, _PID] = os.getpid()

    def begins(self, row: int) -> int:
        """Its next record begins: the record's number, from 0."""
        number = int(self._cells[row, _BEGUN])
        self._cells[row, _BEGUN] = number + 1
        return number

    def finishes(self, row: int) -> None:
        """The record that it began last is finished."""
        self._cells[row, _FINISHED] = self._cells[row, _BEGUN]

    def pid(self, row: int) -> int:
        """A row's maker; 0 while it has not started."""
        return int(self._cells[row, _PID])

    def begun(self, row: int) -> int:
        """How many records it has begun."""
        return int(self._cells[row, _BEGUN])

    def finished(self, row: int) -> int:
        """How many of them it has finished."""
        return int(self._cells[row, _FINISHED])
