"""Reads a run's journal files back as pandas frames, and says how much of them could be read.

Requires pandas, imported when a log is loaded; never in a process that is audited.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batchaudit.errors import JournalError
from batchaudit.journal.frames import Part, build, extract
from batchaudit.journal.header import Header
from batchaudit.journal.layout import FAILED_SUFFIX, KIND_END, SUFFIX
from batchaudit.journal.scan import Scan, scan_file

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Health:
    """How much of a log could be read.

    Attributes:
        files: how many files there are.
        records: how many events were read.
        bytes_dropped: bytes that belong to nothing that could be verified.
        gaps: events that are missing between others of their file.
        repeats: events that were there twice and are counted once.
        files_not_ended: files whose process did not end them: it was killed, or is still writing. What it had
            finished to write is there.
        files_unreadable: files that the system would not let be read, or whose header is lost.
        failures: what stopped the logging, for each process in which it stopped.
    """

    files: int = 0
    records: int = 0
    bytes_dropped: int = 0
    gaps: int = 0
    repeats: int = 0
    files_not_ended: tuple[str, ...] = ()
    files_unreadable: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing; what was never delivered shows only by comparison."""
        return not (self.bytes_dropped or self.gaps or self.files_unreadable or self.failures)

    @property
    def lost(self) -> str:
        """What is known to be missing, in words."""
        lost = f"{self.bytes_dropped:,} bytes dropped, {self.gaps:,} events missing"
        unreadable = (f"{name}: unreadable" for name in self.files_unreadable)
        return "; ".join([lost, *self.failures, *unreadable])


@dataclass(frozen=True)
class Log:
    """What a run has logged.

    Attributes:
        events: one row an event, sorted by (began_ns, file, seq); the reference in the documentation has the
            columns.
        samples: one row a sample: `event` (the event's row label), `position`, `digest`, `id`.
        health: how much of the log could be read.
        writers: the metadata of each file: run, source, strategy, attempt, rank, world, host, pid, ...
    """

    events: pd.DataFrame
    samples: pd.DataFrame
    health: Health
    writers: tuple[dict[str, Any], ...] = ()

    def missing_ranks(self, events: pd.DataFrame) -> tuple[int, ...]:
        """The ranks that the world size says should be there, and of which nothing is.

        Args:
            events: the rows of `events` that are looked at.

        Returns:
            Their numbers, sorted.
        """
        world = max((int(writer.get("world", 1)) for writer in self.writers), default=1)
        return tuple(sorted(set(range(world)) - {int(rank) for rank in events["rank"].unique()}))


def load(folder: str | os.PathLike[str], *beside: str | os.PathLike[str]) -> Log:
    """Reads all journal files in `folder`; damage is counted in `health`, not raised.

    Args:
        folder: the run's folder.
        *beside: more folders of the same run: its ranks may each have one.

    Returns:
        The log.

    Raises:
        JournalError: there is no such folder, no journal in it, none that may be read, or one of another
            version.
    """
    listed = [_listed(Path(each)) for each in (folder, *beside)]
    paths = [path for some, _ in listed for path in some]
    failures = tuple(failure for _, some in listed for failure in some)
    files = _Files()
    errors = [error for error in map(files.add, paths) if error is not None]
    if len(errors) == len(paths):
        raise JournalError(f"no journal file in {folder} can be read: {errors[0]}")
    parts = sorted(files.parts, key=lambda named: (named[1].header.metadata.get("started_ns", 0), named[0]))
    events, samples = build([part for _, part in parts])
    health = files.health(len(paths), len(events), failures)
    return Log(events, samples, health, tuple(part.header.metadata for _, part in parts))


def _listed(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise JournalError(f"cannot list the journal folder {folder}: {error.strerror}") from None
    failures = tuple(_failure(path) for path in entries if path.name.endswith(FAILED_SUFFIX))
    paths = [path for path in entries if path.name.endswith(SUFFIX)]
    if not paths:
        why = f"; logging failed: {'; '.join(failures)}" if failures else f" (it would end in {SUFFIX})"
        raise JournalError(f"no journal file in {folder}{why}")
    return paths, failures


def _failure(mark: Path) -> str:
    try:
        reason = mark.read_text(errors="replace")
    except OSError:
        reason = ""
    return f"{mark.name.removesuffix(FAILED_SUFFIX)}: {reason or 'logging stopped'}"


def _by_number(seqs: Array) -> tuple[Array, Array | None]:
    """The different sequence numbers in order, and the row where each is first seen; None for all."""
    if (np.diff(seqs) > 0).all():
        return seqs, None
    numbers, rows = np.unique(seqs, return_index=True)
    return numbers, rows


@dataclass
class _Known:
    """What is known of one file by its key, over all of its copies."""

    name: str
    seqs: Array
    ended: bool


@dataclass
class _Files:
    """Gathers files one at a time, so that the bytes of one are gone before the next is read."""

    parts: list[tuple[str, Part]] = field(default_factory=list)
    bytes_dropped: int = 0
    repeats: int = 0
    unreadable: list[str] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    known: dict[int, _Known] = field(default_factory=dict)

    def add(self, path: Path) -> OSError | None:
        """Takes in one file; returns the error if the system would not let it be read."""
        try:
            with path.open("rb") as file:
                found = scan_file(file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            self.unreadable.append(path.name)
            return error
        except JournalError as error:
            raise JournalError(f"cannot read {path}: {error}") from None
        self.bytes_dropped += found.bytes_dropped
        if found.header is None:
            # An empty file is that of a process which was killed before it wrote anything.
            (self.unreadable if found.size else self.not_begun).append(path.name)
        else:
            self._take(path.name, found, found.header)
        return None

    def _take(self, name: str, found: Scan, header: Header) -> None:
        seqs, rows = _by_number(found.seqs)
        self.repeats += len(found.seqs) - len(seqs)
        # A copy of a file under another name is that file: its key tells.
        known = self.known.get(header.key)
        if known is None:
            known = self.known[header.key] = _Known(name, seqs, False)
        else:
            fresh = ~np.isin(seqs, known.seqs)
            self.repeats += int((~fresh).sum())
            known.seqs = np.union1d(known.seqs, seqs)
            rows = np.flatnonzero(fresh) if rows is None else rows[fresh]
        known.ended |= bool((found.kinds == KIND_END).any())
        self.parts.append((name, extract(found, header, rows)))

    def health(self, files: int, records: int, failures: tuple[str, ...]) -> Health:
        known = self.known.values()
        return Health(
            files=files,
            records=records,
            bytes_dropped=self.bytes_dropped,
            gaps=sum(int(each.seqs.max()) + 1 - len(each.seqs) for each in known if len(each.seqs)),
            repeats=self.repeats,
            files_not_ended=tuple(
                sorted([*self.not_begun, *(each.name for each in known if not each.ended)])
            ),
            files_unreadable=tuple(self.unreadable),
            failures=failures,
        )
