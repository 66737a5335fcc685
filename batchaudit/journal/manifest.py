"""What was asked of a run, beside its events: one small JSON file for each attempt.

The events say what happened. Only the manifest knows which strategies were asked for, with how many
workers, and why one of them could not run.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from batchaudit.errors import JournalError

VERSION = 1

# What the serial passes are logged as that tell what is repetition by design. They are in no report.
BASELINE = "baseline"
BASELINE_AGAIN = "baseline, again"
BASELINE_RESEEDED = "baseline, reseeded"
BASELINES = (BASELINE, BASELINE_AGAIN, BASELINE_RESEEDED)
_NAME = re.compile(r"manifest-(\d{4,})\.json")
# A rank that is not the first only leaves a mark of its starts, by which its attempts are counted.
_MARK = re.compile(r"rank-(\d+)-attempt-(\d{4,})")


@dataclass(frozen=True)
class Asked:
    """One strategy that was asked for, and how it went.

    Attributes:
        strategy: as it was written.
        workers: how many workers it was to have; 0 for none.
        skipped: why it cannot run the source; None where it could.
        error: what ended it early; None where nothing did.
        finished: whether it came to its end; False while it runs, and for ever if the process died.
    """

    strategy: str
    workers: int = 0
    skipped: str | None = None
    error: str | None = None
    finished: bool = False


@dataclass(frozen=True)
class Manifest:
    """What one attempt was asked to do.

    Attributes:
        attempt: its number, from 0.
        source: the source's name.
        kind: what can be done with the source: "iterator", "iterable", "indexed" or "dataset".
        renewable: whether each pass of an iterator is a new source from the user's callable.
        epochs: how many epochs were asked for.
        steps_per_epoch: batches of an epoch; None for the source's own length.
        strategies: what was asked for, in order.
    """

    attempt: int
    source: str
    kind: str = ""
    renewable: bool = False
    epochs: int = 0
    steps_per_epoch: int | None = None
    strategies: tuple[Asked, ...] = field(default=())

    def with_strategy(self, asked: Asked) -> Manifest:
        """The manifest with one strategy's entry replaced, or added at the end."""
        others = [asked if old.strategy == asked.strategy else old for old in self.strategies]
        if asked not in others:
            others.append(asked)
        return replace(self, strategies=tuple(others))

    def write(self, folder: Path) -> None:
        """Writes the manifest whole or not at all.

        Args:
            folder: the run's folder.
        """
        path = folder / f"manifest-{self.attempt:04d}.json"
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=1), encoding="utf-8")
        beside.replace(path)


def next_attempt(folder: Path, rank: int = 0) -> int:
    """The number of an attempt that a training process starts now in a run's folder.

    Args:
        folder: the run's folder.
        rank: which of the training processes it is: each has starts of its own.
    """
    if rank == 0:
        return max((number for number, _ in _found(folder)), default=-1) + 1
    marks = (_MARK.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return max((int(mark[2]) for mark in marks if mark and int(mark[1]) == rank), default=-1) + 1


def mark_start(folder: Path, rank: int, attempt: int) -> None:
    """Leaves the mark that a rank which is not the first has started.

    Args:
        folder: the run's folder.
        rank: which of the training processes it is.
        attempt: the number of this start.
    """
    (folder / f"rank-{rank}-attempt-{attempt:04d}").touch()


def read(folder: Path) -> dict[int, Manifest]:
    """Reads the manifests of all attempts.

    Args:
        folder: the run's folder.

    Returns:
        The manifests by attempt; empty where there are none.

    Raises:
        JournalError: one is damaged, or of a version that is not known.
    """
    return {number: _parse(path) for number, path in _found(folder)}


def _found(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _parse(path: Path) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("version")
        if version != VERSION:
            raise JournalError(f"{path} is of version {version}; this batchaudit reads version {VERSION}.")
        strategies = tuple(Asked(**asked) for asked in found.pop("strategies"))
        return Manifest(**found, strategies=strategies)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from None
