"""What was asked of a run, beside its events: one small JSON file for each attempt.

The events say what happened. Only the manifest knows which strategies were asked for, with how many
workers, and why one of them could not run.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from batchaudit.errors import JournalError
from batchaudit.journal.metadata import MOST_ATTEMPTS, MOST_RANKS
from batchaudit.regular import read_regular
from batchaudit.untrusted import is_whole, json_of

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
_NAME = re.compile(r"manifest-([0-9]{4,9})(?:-rank-([0-9]{4,9}))?\.json")
_MOST_BYTES = 1 << 24
_MOST_STRATEGIES = 10_000
_MOST_COUNTED = 2**53


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


class Manifests(NamedTuple):
    """The manifests of a run's folder.

    Attributes:
        of: by attempt and rank.
        unreadable: the names of those that cannot be read, and why.
    """

    of: dict[tuple[int, int], Manifest]
    unreadable: dict[str, str]


def read(folder: Path, mode: str = "tolerant") -> Manifests:
    """Reads the manifests of all attempts.

    Args:
        folder: the run's folder.
        mode: "strict" refuses a folder in which one cannot be read.

    Returns:
        The manifests.

    Raises:
        JournalError: one is damaged, or of a version that is not known, and the mode is strict.
    """
    found = Manifests({}, {})
    for key, path in _found(folder):
        try:
            found.of[key] = _parse(path, *key)
        except (OSError, ValueError, JournalError) as error:
            if mode == "strict":
                raise JournalError(f"{path} cannot be read: {error}") from None
            found.unreadable[path.name] = str(error)
    return found


def _found(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(((int(match[1]), int(match[2] or 0)), path) for match, path in matches if match)


def _parse(path: Path, attempt: int, rank: int) -> Manifest:
    found = json_of(read_regular(path, _MOST_BYTES))
    if not isinstance(found, dict):
        raise JournalError("it is no manifest")
    version = found.get("version")
    if version != VERSION:
        said = f"version {version}" if is_whole(version, 0, MOST_ATTEMPTS) else "no version that is known"
        raise JournalError(f"it is of {said}; this batchaudit reads version {VERSION}")
    entry = {name: value for name, value in found.items() if name != "version"}
    for name in ("strategies", "candidates"):
        entry[name] = tuple(Asked(**_checked(one, Asked, name)) for one in _entries(entry.get(name, [])))
    made = Manifest(**_checked(entry, Manifest, "it"))
    if (made.attempt, made.rank) != (attempt, rank):
        raise JournalError(f"it says that it is of attempt {made.attempt} and rank {made.rank}")
    return made


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_STRATEGIES:
        raise JournalError("what it says of the strategies is no list of them")
    return value


def _checked(said: Any, kind: type[Asked | Manifest], where: str) -> dict[str, Any]:
    """What a manifest says, if it is what a field of `kind` can be: it may come from elsewhere."""
    if not isinstance(said, dict):
        raise JournalError(f"an entry of {where} is no object")
    known = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind)}
    if said.keys() - known.keys() or any(name not in said for name, needed in known.items() if needed):
        raise JournalError(f"{where} lacks a name that belongs there, or has one that does not")
    for name, value in said.items():
        if not _CHECKS[name](value):
            raise JournalError(f"{name} is not what it can be")
    return said


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return is_whole(value, 0, _MOST_COUNTED)


def _is_seconds(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1e300)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "strategy": _is_text,
    "workers": lambda value: is_whole(value, 0, MOST_RANKS),
    "skipped": _is_text_or_none,
    "error": _is_text_or_none,
    "finished": _is_flag,
    "attempt": lambda value: is_whole(value, 0, MOST_ATTEMPTS),
    "source": _is_text,
    "kind": _is_text,
    "renewable": _is_flag,
    "epochs": _is_count,
    "steps_per_epoch": lambda value: value is None or _is_count(value),
    "strategies": lambda value: True,  # each entry has been looked at
    "rank": lambda value: is_whole(value, 0, MOST_RANKS - 1),
    "probes": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "candidates": lambda value: True,
    "step_time": _is_seconds,
}
