"""Reads a run's journal files back as pandas frames, and says how much of them could be read.

Requires pandas, imported when a log is loaded; never in a process that is audited.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batchaudit.errors import JournalError, UsageError
from batchaudit.health import MODES, Health
from batchaudit.journal.frames import Part, build, extract
from batchaudit.journal.header import Header
from batchaudit.journal.layout import FAILED_SUFFIX, KIND_END, LIVE, SUFFIX, WATCHED, Flag, Stage
from batchaudit.journal.salvage import salvage_file
from batchaudit.journal.scan import Scan, scan_file
from batchaudit.regular import open_regular, read_beginning

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_MOST_REASON = 4_096  # bytes of what a mark says


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

    def keys(
        self, attempts: Collection[int], source: str | None = None, rank: int | None = None
    ) -> frozenset[str]:
        """The keys with which what comes from the batches' content was hidden (`key_file=`).

        Args:
            attempts: the starts of the run that are looked at.
            source: of this source alone; by default of all.
            rank: of this training process alone; by default of all.

        Returns:
            Their names, which tell keys apart and nothing of them; "" for none.
        """
        return frozenset(
            str(writer.get("key_name", ""))
            for writer in self.writers
            if writer.get("attempt", 0) in attempts
            and source in (None, writer.get("source", ""))
            and rank in (None, writer.get("rank", 0))
        )


def load(folder: str | os.PathLike[str], *beside: str | os.PathLike[str], mode: str = "tolerant") -> Log:
    """Reads all journal files in `folder`.

    Args:
        folder: the run's folder.
        *beside: more folders of the same run: its ranks may each have one.
        mode: "tolerant" gives every record that verifies, and counts in `health` what it could not read;
            "strict" refuses a log of which anything is missing or damaged; "salvage" also gives the records
            whose checksum does not verify but which could be some, flagged `UNVERIFIED`: they may be wrong.

    Returns:
        The log.

    Raises:
        JournalError: there is no such folder, no journal in it, none that may be read, or none of this
            version; in mode "strict" also a log that is not complete.
        UsageError: another mode.
    """
    if mode not in MODES:
        raise UsageError(f"mode={mode!r}: expected one of {', '.join(MODES)}.")
    listed = [_listed(Path(each)) for each in (folder, *beside)]
    paths = [path for some, _ in listed for path in some]
    failures = tuple(failure for _, some in listed for failure in some)
    files = _Files(salvaging=mode == "salvage")
    refused = [why for why in map(files.add, paths) if why is not None]
    if len(refused) == len(paths):
        raise JournalError(f"no journal file in {folder} can be read: {refused[0]}")
    parts = sorted(files.parts, key=lambda named: (named[1].header.metadata.get("started_ns", 0), named[0]))
    events, samples = build([part for _, part in parts])
    health = files.health(len(paths), events, failures)
    if mode == "strict" and not health.complete:
        raise JournalError(
            f"the log in {folder} is not complete: {health.lost}. Mode 'tolerant' gives what is there."
        )
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
        reason = read_beginning(mark, _MOST_REASON).decode(errors="replace")
    except (OSError, JournalError):  # it may be a folder, which says no more than that it is there
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

    @property
    def gaps(self) -> int:
        """Numbers that no record has, up to the last one that was seen."""
        return int(self.seqs.max()) + 1 - len(self.seqs) if len(self.seqs) else 0


@dataclass
class _Files:
    """Gathers files one at a time, so that the bytes of one are gone before the next is read."""

    salvaging: bool = False
    parts: list[tuple[str, Part]] = field(default_factory=list)
    bytes_dropped: int = 0
    repeats: int = 0
    damaged: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    not_begun: list[str] = field(default_factory=list)
    known: dict[int, _Known] = field(default_factory=dict)

    def add(self, path: Path) -> str | None:
        """Takes in one file; returns why the system would not let it be read, or why this version cannot."""
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                found = salvage_file(file, size, path) if self.salvaging else scan_file(file, size)
        except (OSError, JournalError) as error:
            self.unreadable[path.name] = str(error)
            return f"{path.name}: {error}"
        self.bytes_dropped += found.bytes_dropped
        if found.bytes_dropped:
            self.damaged.add(path.name)
        if found.header is not None:
            self._take(path.name, found, found.header)
        elif found.size:
            self.unreadable[path.name] = (
                "no header in it is whole, and without its key no record can be verified"
            )
        else:  # it is that of a process which was killed before it wrote anything
            self.not_begun.append(path.name)
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

    def health(self, files: int, events: pd.DataFrame, failures: tuple[str, ...]) -> Health:
        known = self.known.values()
        flags = events["flags"].to_numpy()
        return Health(
            files=files,
            records=len(events),
            bytes_dropped=self.bytes_dropped,
            gaps=sum(each.gaps for each in known),
            repeats=self.repeats,
            unverified=int((flags & Flag.UNVERIFIED != 0).sum()) if self.salvaging else 0,
            unproduced=_unproduced(events),
            orphaned=_orphaned([part for _, part in self.parts]),
            files_not_ended=tuple(
                sorted([*self.not_begun, *(each.name for each in known if not each.ended)])
            ),
            files_damaged=tuple(sorted({*self.damaged, *(each.name for each in known if each.gaps)})),
            files_unreadable=tuple(self.unreadable),
            why_unreadable=tuple(self.unreadable.values()),
            failures=failures,
        )


def _unproduced(events: pd.DataFrame) -> int:
    """How many delivered batches name a produced one that is not there: all that tells of a clean cut."""
    tickets, stages = events["ticket"].to_numpy(), events["stage"].cat.codes.to_numpy()
    named = tickets[(stages == Stage.DELIVERED) & (tickets != 0)]
    if not len(named):
        return 0
    return int((~np.isin(named, tickets[stages == Stage.PRODUCED])).sum())


def _orphaned(parts: list[Part]) -> int:
    """How many events workers have logged of watched sources of which the training process has none.

    It begins its file before it starts a worker: where only theirs are there, its own was lost as a whole.
    """
    events: Counter[tuple[Any, ...]] = Counter()
    owned = set()
    for part in parts:
        its = part.header.metadata
        if its.get("strategy") != LIVE or not len(part.records):
            continue
        training = tuple(its.get(name) for name in ("run", "attempt", "rank", "source"))
        events[training] += len(part.records)
        if training not in owned and (WATCHED in part.texts.values() or _delivers(part)):
            owned.add(training)
    return sum(number for training, number in events.items() if training not in owned)


def _delivers(part: Part) -> bool:
    """Whether a training process has written it: a child of the one that opened the run may be one, too."""
    kinds, flags = part.records["kind"], part.records["flags"]
    return bool(((kinds == Stage.DELIVERED) | (flags & Flag.CONSUMED != 0)).any())
