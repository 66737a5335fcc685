"""Holds a log that was read back against what its writers say they began and finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from batchaudit.journal.layout import SUFFIX, WATCHED, Flag
from batchaudit.journal.reader import load
from tests.faults import contents, plain_reader
from tests.faults.ledger import Ledger


@dataclass
class Tally:
    """What was found in one or more logs.

    Attributes:
        kills: processes that were killed.
        begun: records that were begun.
        finished: of which `append`, or the watched source, had returned.
        read: records that were read back.
        wrong: of these, records that nobody began, or with another content.
        twice: of these, records that are there twice.
        missing: records that were finished and are not there.
        in_flight: records that were begun and not finished.
        in_flight_whole: of these, those that are there, whole.
        torn: files with something that is no whole record.
        dropped: bytes of them, by the plain reader.
        dropped_told: bytes that the log's health says were dropped.
        gaps: numbers that are missing, by the plain reader.
        gaps_told: events that the log's health says are missing.
        miscounted: counts of the log's health that are not what the plain reader found.
    """

    kills: int = 0
    begun: int = 0
    finished: int = 0
    read: int = 0
    wrong: int = 0
    twice: int = 0
    missing: int = 0
    in_flight: int = 0
    in_flight_whole: int = 0
    torn: int = 0
    dropped: int = 0
    dropped_told: int = 0
    gaps: int = 0
    gaps_told: int = 0
    miscounted: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not (self.wrong or self.twice or self.missing or self.miscounted)


def judge(
    folder: Path, ledger: Ledger, seed: int, *, events: bool, consumers: Set[int] = frozenset()
) -> Tally:
    """Reads a folder back and compares.

    Args:
        folder: the run's folder.
        ledger: what its writers say.
        seed: what their records were drawn from.
        events: whether they appended events of their own; else watched sources did.
        consumers: the processes that opened an audit: what they make, they also consume.
    """
    tally = Tally()
    rows = [row for row in range(ledger.rows) if ledger.pid(row)]
    tally.begun, tally.finished = sum(map(ledger.begun, rows)), sum(map(ledger.finished, rows))
    tally.in_flight = tally.begun - tally.finished
    files = {path.name: plain_reader.read(path) for path in folder.glob(f"*{SUFFIX}")}
    if not files:  # each was killed before it had opened one
        tally.missing = tally.finished
        return tally
    log = load(folder)
    found = _read_events(log, ledger, seed) if events else _read_batches(log, ledger, seed, consumers)
    tally.read = found.total()
    tally.wrong = found.pop(None, 0)
    tally.twice = found.total() - len(found)
    for row in rows:
        tally.missing += sum((row, number) not in found for number in range(ledger.finished(row)))
        tally.in_flight_whole += sum(
            (row, number) in found for number in range(ledger.finished(row), ledger.begun(row))
        )
    _hold_counts(tally, log.health, files)
    return tally


def _hold_counts(tally: Tally, health: Any, files: dict[str, plain_reader.Found]) -> None:
    tally.torn = sum(bool(each.dropped) for each in files.values())
    tally.dropped, tally.dropped_told = sum(each.dropped for each in files.values()), health.bytes_dropped
    tally.gaps, tally.gaps_told = sum(each.gaps for each in files.values()), health.gaps
    not_read = {name for name, each in files.items() if not each.readable and each.dropped}
    told = {
        "dropped": tally.dropped == tally.dropped_told,
        "gaps": tally.gaps == tally.gaps_told,
        "complete": health.complete is not bool(tally.dropped or tally.gaps),
        "records": health.records == sum(len(each.events) for each in files.values()),
        "files": health.files == len(files),
        "unreadable": set(health.files_unreadable) == not_read,
        "not ended": set(health.files_not_ended) == {n for n, f in files.items() if not f.ended} - not_read,
        "failures": not health.failures,
        "repeats": not health.repeats,
    }
    tally.miscounted = sum(not right for right in told.values())


def _read_events(log: Any, ledger: Ledger, seed: int) -> Counter[Any]:
    """How often each (row, number) is there; under None what is not what its writer began."""
    found: Counter[Any] = Counter()
    for row, written in contents.of_log(log):
        maker, number = row.framework_worker, row.step
        known = 0 <= maker < ledger.rows and 0 <= number < ledger.begun(maker)
        right = known and written == contents.of_event(contents.event(seed, maker, number))
        found[(maker, number) if right else None] += 1
    return found


def _read_batches(log: Any, ledger: Ledger, seed: int, consumers: Set[int]) -> Counter[Any]:
    begun = {}
    for maker in range(ledger.rows):
        for number in range(ledger.begun(maker)):
            begun[contents.of_batch(seed, maker, number, ledger.pid(maker))] = (maker, number)
    found: Counter[Any] = Counter()
    for row, (stage, *_, samples, _ids) in contents.of_log(log):
        if stage == "hook" and row.text == WATCHED:  # how every watched source begins
            continue
        made = stage == "produced" and not row.text and row.began_ns <= row.ended_ns
        made &= row.flags == (Flag.CONSUMED if row.pid in consumers else 0)
        its = (row.pid, row.digest_hi, row.digest_lo, row.nbytes, samples)
        at = begun.get(its) if made else None
        right = at is not None and row.index in (-1, at[0] * contents.Rows.STRIDE + at[1])
        found[at if right else None] += 1
    return found
