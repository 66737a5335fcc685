"""How much of a log could be read: what a load counts, and every face says.

Requires nothing: the report shows what the journal counted, and knows nothing of the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

MODES = ("strict", "tolerant", "salvage")
"""How a log is read. "strict" refuses one with any damage; "tolerant" gives every record that verifies, and
counts the rest; "salvage" also gives records whose checksum does not verify, marked as such."""


@dataclass(frozen=True)
class Health:
    """How much of a log could be read.

    Attributes:
        files: how many files there are.
        records: how many events were read.
        bytes_dropped: bytes that belong to nothing that could be verified.
        gaps: events that are missing between others of their file.
        repeats: events that were there twice and are counted once.
        unverified: events whose checksum does not verify, among those that were read: only in mode "salvage".
        unproduced: delivered batches that name a produced one which is not there.
        orphaned: events of workers whose training process has nothing in the log.
        files_not_ended: files whose process did not end them: it was killed, or is still writing. What it had
            finished to write is there.
        files_damaged: files in which bytes were dropped or events are missing.
        files_unreadable: files that the system would not let be read, or whose header is lost.
        why_unreadable: the reason for each of them.
        failures: what stopped the logging, or cost a record, where it did.
    """

    files: int = 0
    records: int = 0
    bytes_dropped: int = 0
    gaps: int = 0
    repeats: int = 0
    unverified: int = 0
    unproduced: int = 0
    orphaned: int = 0
    files_not_ended: tuple[str, ...] = ()
    files_damaged: tuple[str, ...] = ()
    files_unreadable: tuple[str, ...] = ()
    why_unreadable: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be missing; what was never delivered shows only by comparison."""
        numbers = self.bytes_dropped, self.gaps, self.unverified, self.unproduced, self.orphaned
        return not (any(numbers) or self.files_unreadable or self.failures)

    @property
    def lost(self) -> str:
        """What is known to be missing, in words; empty where the log is complete."""
        said = [
            text.format(_counted(number, *unit))
            for number, text, unit in (
                (self.bytes_dropped, "{} dropped", ("byte", "bytes")),
                (self.gaps, "{} missing", ("event", "events")),
                (self.unverified, "{} not verified", ("event", "events")),
                (self.unproduced, "{} whose making is not in the log", ("batch", "batches")),
                (
                    self.orphaned,
                    "{} of workers whose training process is not in the log",
                    ("event", "events"),
                ),
            )
            if number
        ]
        said += [
            f"{name}: {why}" for name, why in zip(self.files_unreadable, self.why_unreadable, strict=True)
        ]
        return "; ".join([*said, *self.failures])

    @property
    def line(self) -> str:
        """One line on what was read and what was not."""
        parts = [
            f"{_counted(self.records, 'record', 'records')} read",
            f"{_counted(self.files, 'file', 'files')}",
            f"{_counted(self.bytes_dropped, 'byte', 'bytes')} dropped",
            f"{_counted(self.gaps, 'gap', 'gaps')} in the sequence",
            f"{_counted(len(self.files_not_ended), 'file', 'files')} not ended cleanly",
        ]
        more = (
            (self.unverified, "not verified"),
            (self.unproduced, "delivered without a record of their making"),
            (self.orphaned, "of workers without their training process"),
            (len(self.files_unreadable), "unreadable"),
            (len(self.failures), "said that logging failed"),
        )
        return ", ".join(parts + [f"{number:,} {text}" for number, text in more if number])

    @property
    def counts(self) -> dict[str, Any]:
        """The fields as plain values, and whether the log is complete: what JSON says of it."""
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
        return {"complete": self.complete, **plain}


def of_counts(counts: Mapping[str, Any]) -> Health:
    """The health that `Health.counts` was made of.

    Args:
        counts: the plain values, from wherever; names that are not known are left out, as later versions may
            add some.

    Returns:
        It; what is not named is at its default.

    Raises:
        ValueError: a value is not of the type that it must have.
    """
    known: dict[str, Any] = {}
    for one in fields(Health):
        value = counts.get(one.name, one.default)
        if isinstance(one.default, tuple):
            if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
                raise ValueError(f"log.{one.name} is no list of texts")
            value = tuple(value)
        elif type(value) is not int or value < 0:
            raise ValueError(f"log.{one.name} is no count")
        known[one.name] = value
    return Health(**known)


def together(several: Iterable[Health]) -> Health:
    """What was read of several logs.

    Args:
        several: one of each.

    Returns:
        Their sums.
    """
    sums: dict[str, Any] = {one.name: one.default for one in fields(Health)}
    for health in several:
        sums = {name: value + getattr(health, name) for name, value in sums.items()}
    return Health(**sums)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
