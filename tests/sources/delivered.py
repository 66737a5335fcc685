"""What a run's log says was delivered, beside what a loop or a model was given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from batchaudit.analysis.tables import Tables, tables
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.journal.reader import load

Digest = tuple[int, int]


def logged(folder: Path, source: str) -> Tables:
    """The tables of one source of a run."""
    log = load(folder)
    events = log.events[log.events["source"] == source]
    return tables(events, log.samples[log.samples["event"].isin(events.index)])


def epochs(found: Tables) -> list[list[Digest]]:
    """The digests of the delivered batches, in order, epoch by epoch."""
    return [_digests(rows) for _, rows in found.delivered.groupby("epoch")]


def given(*passes: Iterable[Any]) -> list[list[Digest]]:
    """The digests of the batches that were really given, epoch by epoch."""
    return [[_digest(batch) for batch in batches] for batches in passes]


def flat(passes: Iterable[Iterable[Any]]) -> list[Any]:
    """What is in several passes, or in several batches, in one list."""
    return [each for one in passes for each in one]


def ids(found: Tables) -> list[list[int]]:
    """The samples' ids of the delivered batches, in order, epoch by epoch."""
    by_event = found.samples.sort_values("position").groupby("event")["id"]
    return [
        [int(each) for event in rows.index for each in by_event.get_group(event)]
        for _, rows in found.delivered.groupby("epoch")
    ]


def _digests(rows: Any) -> list[Digest]:
    return [(int(hi), int(lo)) for hi, lo in zip(rows["digest_hi"], rows["digest_lo"], strict=True)]


def _digest(batch: Any) -> Digest:
    seen = fingerprint(batch, strict=False)
    return seen.digest_hi, seen.digest_lo
