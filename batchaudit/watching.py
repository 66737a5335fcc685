"""The sources that one audit watches in this process: a name, a journal and a recorder for each."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchaudit import sources
from batchaudit.capture.ids import Key
from batchaudit.capture.passes import Passes
from batchaudit.capture.provenance import place
from batchaudit.capture.recorder import Recorder
from batchaudit.errors import UsageError
from batchaudit.journal.keeping import Keeping
from batchaudit.journal.layout import LIVE, WATCHED
from batchaudit.journal.writer import JournalWriter, note_failure
from batchaudit.sources import arrays

SPLITS = ("training", "validation", "prediction")
_VALIDATION = ("val", "eval", "test", "dev", "holdout")
_PREDICTION = ("predict", "infer")


class Watched:
    """The sources of one attempt of a run.

    Args:
        folder: the run's folder.
        attempt: which start of the run this is.
        everything: whether also to watch the sources that the program gives to its framework by itself.
        keeping: what may be kept of them.
    """

    def __init__(
        self, folder: Path, attempt: int, *, everything: bool = False, keeping: Keeping | None = None
    ) -> None:
        # Absolute: a program may change its directory, or remove it.
        self._folder = Path(os.path.abspath(folder))
        self._keeping = keeping or Keeping()
        self._attempt = attempt
        self._everything = everything
        self._journals: dict[str, JournalWriter] = {}
        self._known: dict[int, _Known] = {}
        self._of_parts: dict[int, _KnownParts] = {}
        self._closed = False

    def wrap(
        self,
        source: Any,
        *,
        name: str | None = None,
        key: Key | None = None,
        split: str | None = None,
        steps_per_epoch: int | None = None,
    ) -> Any:
        """See `Audit.wrap`."""
        self._check(source, split, steps_per_epoch)
        recorder = sources.recorder_of(source)
        if recorder is not None and not recorder.is_over:
            return source
        if recorder is not None:  # it was watched by an audit that has been closed
            recorder.leave()
            source = sources.unwatched(source)
        known = self._again(source)
        if known is not None:
            return known
        family = sources.family_of_parts(source)
        if family is not None:
            return self._watch_parts(source, family, name, key)
        return self._watch(source, self._free_name(source, name), key, split, steps_per_epoch)

    def adopt(self, source: Any, *, place: str, split: str | None, steps: int | None = None) -> Any:
        """See `consumers.Watcher.adopt`."""
        if not self._everything or self._closed or sources.recorder_of(source) is not None:
            return source
        known = self._again(source)
        if known is not None:
            return known
        name = numbered(place or type(source).__name__, self._journals)
        try:
            return self._watch(source, name, None, split or "training", steps)
        except Exception:  # what the framework takes and we do not know stays as it is
            return source

    def lost(self, reason: str) -> None:
        """See `consumers.Watcher.lost`."""
        note_failure(self._folder, reason)

    def close(self) -> None:
        """Ends this process' log files; may be called again."""
        self._closed = True
        for journal in self._journals.values():
            journal.close()
        self._known.clear()
        self._of_parts.clear()

    def _check(self, source: Any, split: str | None, steps_per_epoch: int | None) -> None:
        if self._closed:
            raise UsageError("this audit is closed: open another one to wrap more sources.")
        if split is not None and split not in SPLITS:
            raise UsageError(f"split={split!r}: expected one of {', '.join(SPLITS)}.")
        if steps_per_epoch is not None and steps_per_epoch < 1:
            raise UsageError(f"steps_per_epoch={steps_per_epoch}: at least 1 is needed, or None.")
        if arrays.is_tensor(source) or (isinstance(source, tuple) and any(map(arrays.is_tensor, source))):
            raise UsageError(
                "a tensor is no source of batches: wrap its values as a NumPy array, or the dataset or "
                "loader that is made of it."
            )
        if not arrays.is_arrays(source) and sources.family_of_parts(source) is None:
            sources.kind_of(source)  # says what it is not, before anything is made for it

    def _watch_parts(self, source: Any, family: Any, name: str | None, key: Key | None) -> Any:
        """A source of sources, each of which is watched when it is asked for."""
        known = self._of_parts.get(id(source))
        if known is not None and known.source() is source and known.watched() is not None:
            return known.watched()
        begun: dict[str, Recorder] = {}
        watched = family.watch(source, lambda part, its: self._part(part, name, its, key, begun))
        self._of_parts[id(source)] = _KnownParts(_reference(source), _reference(watched))
        return watched

    def _part(
        self, part: Any, name: str | None, its: str, key: Key | None, begun: dict[str, Recorder]
    ) -> Any:
        """One of the sources that a source of sources gives: it may give it again, or another in its place.

        Args:
            part: the source.
            name: what the user calls the source of sources.
            its: what the part is called there.
            key: see `wrap`.
            begun: the recorders of the parts so far, by that name; the next of a name goes on with its last.
        """
        if self._closed or sources.recorder_of(part) is not None:
            return part
        known = self._again(part)
        if known is not None:
            return known
        recorder = begun.get(its)
        if recorder is None:
            full = numbered(f"{name}.{its}" if name else its, self._journals)
            watched = self._watch(part, full, key, split_of(its), None)
            begun[its] = self._known[id(part)].recorder
            return watched
        watched = _watch(part, recorder)
        self._known[id(part)] = _Known(_reference(part), recorder, _reference(watched))
        return watched

    def _free_name(self, source: Any, name: str | None) -> str:
        if name is None:
            return numbered(type(source).__name__, self._journals)
        if name in self._journals:
            raise UsageError(f"a source named {name!r} is being watched already: give this one a name=.")
        return name

    def _watch(self, source: Any, name: str, key: Key | None, split: str | None, steps: int | None) -> Any:
        about = sources.about(source) | {"split": split or split_of(name)}
        if key is not None:
            about["ids"] = "key"
        journal = open_journal(self._folder, name, LIVE, self._attempt, about, self._keeping)
        recorder = Recorder(journal, key, Passes(steps or sources.endless_length(source)))
        self._journals[name] = journal
        recorder.hook(WATCHED)
        watched = _watch(source, recorder)
        self._known[id(source)] = _Known(_reference(source), recorder, _reference(watched))
        return watched

    def _again(self, source: Any) -> Any:
        """The watched source of one that has been watched before; None for one that has not."""
        known = self._known.get(id(source))
        if known is None or known.source() is not source:
            return None
        watched = known.watched()
        if watched is None:  # nobody kept it: another one takes its place
            watched = _watch(source, known.recorder)
            known.watched = _reference(watched)
        return watched


@dataclass
class _Known:
    """A source that is watched, and what watches it; nothing is kept alive that can be let go."""

    source: Callable[[], Any]
    recorder: Recorder
    watched: Callable[[], Any]


@dataclass
class _KnownParts:
    """A source of sources that is watched, and what watches it, neither kept alive."""

    source: Callable[[], Any]
    watched: Callable[[], Any]


def _reference(thing: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(thing)
    except TypeError:
        return lambda: thing


def _watch(source: Any, recorder: Recorder) -> Any:
    return (arrays if arrays.is_arrays(source) else sources).watch(source, recorder)


def open_journal(
    folder: Path,
    source: str,
    strategy: str,
    attempt: int,
    about: Mapping[str, Any] | None = None,
    keeping: Keeping | None = None,
) -> JournalWriter:
    """The journal of one source under one strategy, of this rank.

    Args:
        folder: the run's folder, whose name is the run's.
        source: the source's name.
        strategy: how it is driven.
        attempt: which start of the run this is.
        about: what else is known of the source.
        keeping: what may be kept; by default everything, as it is.
    """
    where, keeping = place(), keeping or Keeping()
    return JournalWriter(
        folder,
        source=source,
        strategy=strategy,
        run=folder.name,
        attempt=attempt,
        rank=where.rank,
        world=where.world,
        about=about,
        max_bytes=keeping.max_bytes,
        secrecy=keeping.secrecy,
    )


def numbered(name: str, taken: Any) -> str:
    """The name, with a number behind it where it is taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name} #{number}" in taken:
        number += 1
    return f"{name} #{number}"


def split_of(name: str) -> str:
    """What a source's name says of its part in the training: "training", "validation" or "prediction"."""
    words = name.lower().replace("-", "_").replace(".", "_").replace(" ", "_").split("_")
    if any(word.startswith(_PREDICTION) for word in words):
        return "prediction"
    return "validation" if any(word.startswith(_VALIDATION) for word in words) else "training"
