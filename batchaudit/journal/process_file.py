"""The open journal file of one process: how it is created, appended to, ended and let go of.

Requires what layout requires. What goes wrong is raised here; the writer decides what becomes of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import time
from collections.abc import Iterator
from typing import Any

from batchaudit.journal.header import Header, encode_header
from batchaudit.journal.layout import (
    KIND_END,
    KIND_HEADER,
    Event,
    encode,
    encode_header_copy,
    repaired,
    seal,
)
from batchaudit.journal.room import LogFullError, Room

# Told apart by identity, and new in the child of every fork: a pid may be given out again, this cannot.
this_process = object()


def _after_fork_in_child() -> None:
    global this_process
    this_process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

# A copy of the header follows every so many records: then one damaged page never costs a long file.
_HEADER_EVERY = 4096
# A record's number has 32 bits; before they are used up the file ends, and the writer opens another.
_LAST = 2**32 - 2**20

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
_FLAGS |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class JournalFile:
    """An open journal file of one process; its descriptor is closed when the last thread lets go of it.

    Closing it at once would let the system give its number to another file while a thread is still about to
    write to it.

    Args:
        path: the file, which must not be there.
        metadata: what its header says beside which process this is.
        room: what it may write; None for no limit.

    Raises:
        LogFullError: there is no room.
        OSError: it cannot be created.
    """

    def __init__(self, path: str, metadata: dict[str, Any], room: Room | None = None) -> None:
        self.process: object = this_process
        self.path = path
        self._room = room
        self.ended = True  # until there is something to end
        self.fd = -1
        self.key = int.from_bytes(os.urandom(8), "little")
        file_id = int.from_bytes(os.urandom(4), "little")
        self._tickets = (file_id << 32) + 1
        self._numbers: Iterator[int] = itertools.count()  # next() on it is atomic
        self.header = encode_header(Header(self.key, file_id, {**metadata, **_identity()}))
        if room is not None:
            room.take(len(self.header))
        self.fd = os.open(path, _FLAGS, 0o644)
        self._write(self.header)
        self.ended = False

    def append(self, event: Event) -> int:
        """Writes one event in one system call and returns its ticket.

        Raises:
            OSError: it cannot be written; what was written of it has been taken back where that is possible.
            LogFullError: there is no room for it.
            Exception: the event cannot be encoded, or not in the memory that is left: it is lost, and its
                number is missing.
        """
        # Python looks for signals at calls and jumps back: between this draw and the assignment none comes.
        for seq in self._numbers:  # noqa: B007
            break
        try:
            self._write_event(seq, event)
            if seq % _HEADER_EVERY == _HEADER_EVERY - 1:
                self._write_header_copy(KIND_HEADER)
                if seq > _LAST:
                    self._give_way()
        except LogFullError:
            # Nobody has the number now: the end record takes it, and no event is counted as missing.
            self._numbers = itertools.chain((seq,), self._numbers)
            raise
        except Exception:
            raise
        except BaseException:
            # Ctrl-C: whether the record was written cannot be known. A second one of its number is dropped.
            self._write_event(seq, event)
            raise
        return self._tickets + seq

    def _write_event(self, seq: int, event: Event) -> None:
        try:
            covered = encode(seq, event)
        except Exception:
            covered = encode(seq, repaired(event))
        record = seal(covered, self.key)
        if self._room is not None:
            self._room.take(len(record))
        done = os.write(self.fd, record)
        if done != len(record):
            self._finish(record, done)

    def _give_way(self) -> None:
        """Ends the file, and makes whoever appends next find that it is no longer this process's."""
        self.end()
        self.process = None

    def end(self) -> None:
        """Writes the last record, once; a child only lets go of its parent's file.

        Raises:
            OSError: it cannot be written, or the file was removed meanwhile, and all its records with it.
        """
        if not self.ended and self.process is this_process:
            self.ended = True
            self._write_header_copy(KIND_END)
            with contextlib.suppress(PermissionError):
                os.stat(self.path)

    def _write_header_copy(self, kind: int) -> None:
        for seq in self._numbers:  # noqa: B007  # as in `append`
            break
        try:
            self._write(seal(encode_header_copy(seq, kind, self.header), self.key))
        except Exception:
            raise
        except BaseException:
            self._write(seal(encode_header_copy(seq, kind, self.header), self.key))
            raise

    def _write(self, record: bytes) -> None:
        done = os.write(self.fd, record)
        if done != len(record):
            self._finish(record, done)

    def _finish(self, record: bytes, done: int) -> None:
        """Writes the rest of a record of which the system took only a part, or takes that part back."""
        try:
            while done < len(record):
                taken = os.write(self.fd, record[done:])
                if taken == 0:
                    raise OSError("the system takes no more bytes")
                done += taken
        except OSError:
            self._cut_back(record[:done])
            raise

    def _cut_back(self, part: bytes) -> None:
        # Only if the part is still the file's end: another thread may have written a whole record after it.
        with contextlib.suppress(OSError):
            good = os.fstat(self.fd).st_size - len(part)
            if os.pread(self.fd, len(part), good) == part:
                os.ftruncate(self.fd, good)

    def __del__(self) -> None:
        # A writer that is thrown away without close() ends its file too.
        with contextlib.suppress(Exception):
            self.end()
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)


def _identity() -> dict[str, Any]:
    """Which process this is; the times tell a process from an earlier one with its pid."""
    return {
        "host": host(),
        "pid": os.getpid(),
        "parent_pid": os.getppid(),
        "process_started": _process_started(),
        "started_ns": time.time_ns(),
        "started_monotonic_ns": time.monotonic_ns(),
    }


def host() -> str:
    """The name of this machine, in its cluster."""
    return platform.node()


def _process_started() -> int:
    """When the system started this process, in its clock ticks since boot; 0 where it does not tell."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            # The name before the last parenthesis may hold anything; after it stands field 3; the time
            # is field 22.
            return int(stat.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
