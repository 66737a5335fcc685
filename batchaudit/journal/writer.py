"""Writes one journal file per process and writer.

Requires what layout requires. It runs inside the user's training: it adds no lock to a batch's way,
draws from no random stream (`os.urandom` is none), and whatever goes wrong here is told once and never
raised.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import threading
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

from batchaudit.errors import BatchauditWarning
from batchaudit.journal import process_file
from batchaudit.journal.layout import FAILED_SUFFIX, SUFFIX, Event
from batchaudit.journal.process_file import JournalFile


class JournalWriter:
    """Appends the events of one source under one strategy to a file of this process's own.

    The file is opened at the first append. A forked child, and a process that unpickles the writer,
    opens its own. Threads may append at once.

    Args:
        folder: where the run's files lie; made if it is not there.
        source: the name of the audited source.
        strategy: how it is driven.
        run: the name of the run.
        attempt: which start of the run this is.
        rank: which of the training processes this one belongs to.
        world: how many of them there are.
        about: what else is known of the source, plain values; each file's header keeps it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        source: str,
        strategy: str,
        run: str,
        attempt: int = 0,
        rank: int = 0,
        world: int = 1,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        # Absolute, since a worker may change its directory before its first append.
        self._folder = os.path.abspath(os.fspath(folder))
        # Only here, not where a worker opens its file: a folder that was removed on the way must not
        # come back half empty.
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, exist_ok=True)
        self._metadata: dict[str, Any] = {
            "run": run,
            "source": source,
            "strategy": strategy,
            "attempt": int(attempt),
            "rank": int(rank),
            "world": int(world),
            "about": dict(about or {}),
        }
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._file: JournalFile | None = None
        self._failed_in: object = None  # the process that stopped logging; its children try for themselves
        self._warned = False
        # One lock a process: one that another thread held at the fork would never be released in the child.
        self._locks: dict[object, Any] = {}
        _writers.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_metadata": self._metadata, "_closed": self._closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called in this process, other than by its end."""
        return self._closed and not _ending

    def append(self, event: Event) -> int:
        """Writes one event; never raises.

        Returns:
            The event's ticket, unsigned 64 bits and unique in the run, or 0 if it was not written because
            logging has failed in this process or the writer is closed.
        """
        file = self._file
        if file is None or file.process is not process_file.this_process:
            file = self._open()
            if file is None:
                return 0
        try:
            return file.append(event)
        except Exception as error:
            self._fail(file, error)
            return 0

    def close(self) -> None:
        """Ends this process's file; appends after this write nothing. May be called again."""
        self._closed = True
        with self._lock():
            file, self._file = self._file, None
        if file is not None:
            try:
                file.end()
            except Exception as error:
                self._fail(file, error)

    def _lock(self) -> Any:
        # setdefault is atomic, so threads that meet here get the same lock. It may be taken again by a signal
        # handler that closes the audit.
        return self._locks.setdefault(process_file.this_process, threading.RLock())

    def _open(self) -> JournalFile | None:
        with self._lock():
            file = self._file
            if file is not None and file.process is process_file.this_process:
                return file
            if self._closed or self._failed_in is process_file.this_process:
                return None
            path = self._new_path()
            try:
                file = JournalFile(path, self._metadata)
            except Exception as error:
                self._stop(path, error)
                return None
            _end_files_at_exit()
            # Process and descriptor are published together: a thread sees both or neither.
            self._file = file
            return file

    def _new_path(self) -> str:
        host = re.sub(r"[^A-Za-z0-9._]", "_", process_file.host())[:64]
        name = f"{self._metadata['rank']}-{host}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        return os.path.join(self._folder, name)

    def _fail(self, file: JournalFile, error: Exception) -> None:
        file.ended = True
        self._stop(file.path, error)

    def _stop(self, path: str, error: Exception) -> None:
        """Stops logging in this process, leaves the reader a mark of it, and warns once."""
        with self._lock():
            if self._failed_in is process_file.this_process:
                return
            self._failed_in = process_file.this_process
            self._file = None
            warned, self._warned = self._warned, True
        reason = f"{type(error).__name__}: {error}"
        _leave_mark(path + FAILED_SUFFIX, reason)
        if not warned:
            _warn(
                f"batchaudit stopped logging in process {os.getpid()} ({reason}). The training goes on; "
                f"the log in {self._folder} is incomplete. Give it a folder with room and write "
                f"permission and run it again.",
                "log-stopped",
            )


def note_failure(folder: str | os.PathLike[str], reason: str) -> None:
    """Notes that a part of this process goes unwatched, for a reason that lies outside the log, and warns.

    Args:
        folder: the run's folder; a report of it says that it is incomplete, and why.
        reason: what went wrong.
    """
    _leave_mark(os.path.join(folder, f"process-{os.getpid()}{FAILED_SUFFIX}"), reason)
    _warn(
        f"batchaudit: {reason}. The training goes on; the log in {os.fspath(folder)} is incomplete.",
        "part-unwatched",
    )


def _leave_mark(path: str, reason: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    except OSError:
        # A folder takes no descriptor: it can be made where a process has none left.
        with contextlib.suppress(OSError):
            os.mkdir(path)
        return
    with contextlib.suppress(OSError):
        os.write(fd, reason.encode(errors="backslashreplace"))
    os.close(fd)


def _warn(message: str, slug: str) -> None:
    warning = BatchauditWarning(message, slug)
    try:
        warnings.warn(warning, stacklevel=2)
    except Exception:
        # Where warnings are made errors, the training must go on all the same.
        with contextlib.suppress(Exception):
            sys.stderr.write(f"{warning}\n")


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()
_ends_at_exit: object = None  # the multiprocessing child that was told to end its files


_ending = False  # whether this process is about to end


def _end_files() -> None:
    global _ending
    _ending = True
    for writer in list(_writers):
        writer.close()


atexit.register(_end_files)


def _end_files_at_exit() -> None:
    """Ends the files of a multiprocessing child too, which leaves by os._exit and never runs atexit."""
    global _ends_at_exit
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    in_child = process is not None and util is not None and process.parent_process() is not None
    if in_child and _ends_at_exit is not process_file.this_process:
        _ends_at_exit = process_file.this_process
        util.Finalize(None, _end_files, exitpriority=0)  # type: ignore[union-attr]
