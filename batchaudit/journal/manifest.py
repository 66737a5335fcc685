"""What was asked of a run, beside its events: one small JSON file for each attempt.

The events say what happened. Only the manifest knows which strategies were asked for, with how many
workers, and why one of them could not run.
"""

from __future__ import annotations

import contextlib
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
# What is logged beside the runs so that an audit can advise: strategies that were tried, how fast each is,
# and what a batch costs.
CANDIDATE, CLOCK, COSTS = "candidate", "clock", "costs"
_ADVICE = "advice "
_PROBE = "probe "
# Each training process has starts of its own.
_NAME = re.compile(r"manifest-(\d{4,})(?:-rank-(\d{4,}))?\.json")


def probe(name: str, strategy: str) -> str:
    """What a probe of a strategy is logged as; it is in no report."""
    return f"{_PROBE}{name}, {strategy}"


def for_advice(name: str, strategy: str) -> str:
    """What is logged of a strategy so that an audit can advise; no report shows it, no cause rests on it.

    Args:
        name: `CANDIDATE`, `CLOCK` or `COSTS`.
        strategy: which strategy.
    """
    return f"{_ADVICE}{name}, {strategy}"


def probed(logged: str) -> tuple[str, str] | None:
    """Which probe of which strategy something is logged as.

    Args:
        logged: a strategy in the log.

    Returns:
        The probe's name and the strategy; None for what is no probe.
    """
    if not logged.startswith(_PROBE):
        return None
    name, _, strategy = logged.removeprefix(_PROBE).partition(", ")
    return name, strategy


def is_shown(logged: str) -> bool:
    """Whether something that was logged is a run of its own, and no serial pass or probe beside one."""
    return logged not in BASELINES and probed(logged) is None and not logged.startswith(_ADVICE)


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
        rank: which of the training processes it is of.
        probes: which probes could not be made, and why: "NAME, STRATEGY" and the reason.
        candidates: strategies that were tried beside those asked for, so as to compare them.
        step_time: seconds that a training step takes; None where nobody said.
    """

    attempt: int
    source: str
    kind: str = ""
    renewable: bool = False
    epochs: int = 0
    steps_per_epoch: int | None = None
    strategies: tuple[Asked, ...] = field(default=())
    rank: int = 0
    probes: dict[str, str] = field(default_factory=dict)
    candidates: tuple[Asked, ...] = field(default=())
    step_time: float | None = None

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

        Raises:
            OSError: it cannot be written.
        """
        path = self._path(folder)
        self._beside(path).replace(path)

    def claim(self, folder: Path) -> Manifest:
        """Takes the next attempt of its rank in a run's folder, which no other training can take then.

        Args:
            folder: the run's folder.

        Returns:
            The manifest of that attempt. It has been written, unless the folder takes no file: then the log
            says so in its own way, and the training goes on.

        Raises:
            OSError: the folder cannot be listed.
        """
        claimed = replace(self, attempt=next_attempt(folder, self.rank))
        with contextlib.suppress(OSError):
            while not claimed._write_first(folder):
                claimed = replace(claimed, attempt=claimed.attempt + 1)
        return claimed

    def _write_first(self, folder: Path) -> bool:
        """Writes it where there is none; says whether there was none."""
        path = self._path(folder)
        beside = self._beside(path)
        try:
            os.link(beside, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
                beside.replace(path)
                return True
            return False
        finally:
            beside.unlink(missing_ok=True)
        return True

    def _path(self, folder: Path) -> Path:
        of_rank = f"-rank-{self.rank:04d}" if self.rank else ""
        return folder / f"manifest-{self.attempt:04d}{of_rank}.json"

    def _beside(self, path: Path) -> Path:
        """A file with its content that nobody reads."""
        beside = path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}.tmp")
        try:
            beside.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=1), encoding="utf-8")
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        return beside


def next_attempt(folder: Path, rank: int = 0) -> int:
    """The number of an attempt that a training process starts now in a run's folder.

    Args:
        folder: the run's folder.
        rank: which of the training processes it is: each has starts of its own.
    """
    return max((attempt for (attempt, its), _ in _found(folder) if its == rank), default=-1) + 1


def read(folder: Path) -> dict[tuple[int, int], Manifest]:
    """Reads the manifests of all attempts.

    Args:
        folder: the run's folder.

    Returns:
        The manifests by attempt and rank; empty where there are none.

    Raises:
        JournalError: one is damaged, or of a version that is not known.
    """
    return {key: _parse(path) for key, path in _found(folder)}


def _found(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(((int(match[1]), int(match[2] or 0)), path) for match, path in matches if match)


def _parse(path: Path) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("version")
        if version != VERSION:
            raise JournalError(f"{path} is of version {version}; this batchaudit reads version {VERSION}.")
        strategies = tuple(Asked(**asked) for asked in found.pop("strategies"))
        candidates = tuple(Asked(**asked) for asked in found.pop("candidates", ()))
        return Manifest(**found, strategies=strategies, candidates=candidates)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"{path} cannot be read: {error}") from None
