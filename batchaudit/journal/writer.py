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
import weakref
from collections.abc import Mapping
from typing import Any

from batchaudit.journal import marks, process_file
from batchaudit.journal.layout import FAILED_SUFFIX, SUFFIX, Event
from batchaudit.journal.process_file import JournalFile
from batchaudit.journal.room import LogFullError, Room
from batchaudit.journal.secrecy import Secrecy


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
        max_bytes: how many bytes the run's files may have, all together; None for no limit.
        secrecy: keys what comes from the batches' content; None to write it as it is.
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
        max_bytes: int | None = None,
        secrecy: Secrecy | None = None,
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
        if secrecy is not None:
            self._metadata["key_name"] = secrecy.name
        self._max_bytes = max_bytes
        self._secrecy = secrecy
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._file: JournalFile | None = None
        self._failed_in: object = None  # the process that stopped logging; its children try for themselves
        self._made_in = process_file.this_process
        # One lock a process: one that another thread held at the fork would never be released in the child.
        self._locks: dict[object, Any] = {}
        _writers.add(self)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_folder", "_metadata", "_closed", "_max_bytes", "_secrecy")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
        self._made_in = None  # whoever made it tells of what goes wrong where no mark can be left

    @property
    def closed(self) -> bool:
        """Whether `close` has been called in this process."""
        return self._closed

    @property
    def off(self) -> bool:
        """Whether nothing that this process appends would be written: it is closed, or logging has failed."""
        return self._closed or self._failed_in is process_file.this_process

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
            return file.append(event if self._secrecy is None else self._secrecy.hide(event))
        except LogFullError as full:
            self._fill(file, full)
        except OSError as error:
            self._fail(file, error)
        except Exception as error:
            self._lose(error)
        return 0

    def close(self) -> None:
        """Ends this process's file; appends after this write nothing. May be called again."""
        self._closed = True
        with self._lock():
            file, self._file = self._file, None
        self._end(file)

    def process_ends(self) -> None:
        """Ends this process's file, and takes what is still appended: threads may outlive the main one."""
        self._end(self._file)

    def _end(self, file: JournalFile | None) -> None:
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
            room = None if self._max_bytes is None else Room(self._folder, self._max_bytes)
            try:
                file = JournalFile(path, self._metadata, room)
            except LogFullError as full:
                self._stop("log-full", str(full), _LOG_FULL)
                return None
            except Exception as error:
                self._stop("log-stopped", _said(error), _LOG_STOPPED)
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
        self._stop("log-stopped", _said(error), _LOG_STOPPED)

    def _fill(self, file: JournalFile, full: LogFullError) -> None:
        """Ends the file as one that has all that it was to have."""
        try:
            file.end()
        except Exception as error:
            self._fail(file, error)
        else:
            self._stop("log-full", str(full), _LOG_FULL)

    def _lose(self, error: Exception) -> None:
        """Says that one event could not be written; logging goes on."""
        self._tell("record-lost", _said(error), _RECORD_LOST)

    def _stop(self, slug: str, reason: str, message: str) -> None:
        """Stops logging in this process."""
        with self._lock():
            if self._failed_in is process_file.this_process:
                return
            self._failed_in = process_file.this_process
            self._file = None
        self._tell(slug, reason, message)

    def _tell(self, slug: str, reason: str, message: str) -> None:
        """Leaves the reader a mark, and warns where it is the first of the attempt and rank."""
        path = marks.path_of(self._folder, self._metadata["attempt"], self._metadata["rank"], slug)
        first = marks.leave(path, f"{reason} (process {os.getpid()}, source {self._metadata['source']!r})")
        if first is None:  # nobody can tell who was first: whoever opened the audit speaks, once
            first = self._made_in is process_file.this_process and path not in _told
            _told.add(path)
        if first:
            marks.warn(message.format(reason=reason, folder=self._folder), slug)


_LOG_STOPPED = (
    "batchaudit stopped logging ({reason}). The training goes on; the log in {folder} is incomplete. Give it "
    "a folder with room and write permission and run it again."
)
_LOG_FULL = (
    "batchaudit stopped logging: {reason}. The training goes on; the log in {folder} is incomplete. Give it "
    "a larger max_bytes=, or an empty folder."
)
_RECORD_LOST = (
    "batchaudit could not write what it saw of a batch ({reason}). The training and the log go on; the log "
    "in {folder} is incomplete."
)
_told: set[str] = set()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def note_failure(folder: str | os.PathLike[str], reason: str) -> None:
    """Notes that a part of this process goes unwatched, for a reason that lies outside the log, and warns.

    Args:
        folder: the run's folder; a report of it says that it is incomplete, and why.
        reason: what went wrong.
    """
    marks.leave(os.path.join(folder, f"process-{os.getpid()}{FAILED_SUFFIX}"), reason)
    message = f"batchaudit: {reason}. The training goes on; the log in {os.fspath(folder)} is incomplete."
    marks.warn(message, "part-unwatched")


_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()
_ends_at_exit: object = None  # the multiprocessing child that was told to end its files


def _end_files() -> None:
    for writer in list(_writers):
        writer.process_ends()


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
