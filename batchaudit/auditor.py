"""Drives one target by one strategy after the other, and the serial passes that they are compared with."""

from __future__ import annotations

import functools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

from batchaudit import probes, sources, strategies
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.capture.ids import Key, sample_ids
from batchaudit.capture.recorder import Recorder
from batchaudit.capture.restore import preserved_streams
from batchaudit.capture.rng import StreamReader
from batchaudit.errors import BatchauditError, UsageError, WorkerError, in_full
from batchaudit.journal.layout import Event, Stage
from batchaudit.journal.manifest import BASELINE, BASELINE_AGAIN, BASELINE_RESEEDED, Asked, Manifest
from batchaudit.journal.manifest import probe as probe_name
from batchaudit.journal.writer import JournalWriter
from batchaudit.probes import Subject
from batchaudit.sources import torch_loader
from batchaudit.strategies import Job, Skip, Strategy
from batchaudit.watching import open_journal

# What drives a loader that has workers of its own; everything else would put workers around workers.
_OF_LOADERS = ("as-is", "serial", "torch")

Progress = Callable[[str, int, int], None]
"""Told (strategy, epoch, step) of every delivered batch."""


@dataclass
class Target:
    """The user's object: a callable that makes sources, or one source."""

    make: Callable[[], Any]
    name: str
    renewable: bool
    last: Any = None

    @staticmethod
    def of(source: Any, name: str | None) -> Target:
        """Tells a source from a callable that makes one.

        Args:
            source: what the user gave.
            name: what to call it; None for a name of its own.

        Raises:
            UsageError: it is neither.
        """
        with suppress(UsageError):
            if not isinstance(source, type):
                sources.kind_of(source)
                return Target(lambda: source, name or type(source).__name__, renewable=False)
        if source is None:
            raise UsageError("the source is None: give a source, or a callable that returns one.")
        if not callable(source):
            sources.kind_of(source)  # says what it is not
        return Target(source, str(name or _name_of(source)), renewable=True)

    def check_renewable(self) -> None:
        """Notices a callable that gives one iterator again and again: there is one pass."""
        if self.renewable and self.last is not None:
            before = self.last
            self.renewable = self.new() is not before

    def new(self) -> Any:
        """A source; new at each call where the target is a callable.

        Raises:
            UsageError: the callable raises, or returns no source.
        """
        try:
            self.last = self.make()
        except Exception as error:
            raise UsageError(f"{self.name}() raised {_in_words(error)}") from error
        if self.last is None:
            raise UsageError(f"{self.name}() returned None: it must return a source of batches.")
        try:
            sources.kind_of(self.last)
        except UsageError as error:
            raise UsageError(f"{self.name}() returned what cannot be audited: {error}") from None
        return self.last


class Auditor:
    """Drives one target by one strategy after the other and keeps the manifest up to date."""

    def __init__(
        self,
        target: Target,
        manifest: Manifest,
        folder: Path,
        key: Key | None,
        timeout: float,
        on_progress: Progress | None,
        asked_probes: frozenset[str] = frozenset(),
        probe_seconds: float = 0.0,
    ) -> None:
        self.manifest = manifest
        self._target = target
        self._folder = folder
        self._key = key
        self._timeout = timeout
        self._on_progress = on_progress
        self._checked_key = key is None
        self._probes = asked_probes
        self._seconds_left = probe_seconds
        self._drawn: bool | None = None
        manifest.write(folder)  # now: an audit that is killed still says what it was asked

    def baseline(self) -> None:
        """Drives the serial passes that say what is deterministic, where there is more than one pass to have.

        Where `serial` is also asked for, the first of them is that run.
        """
        if self._one_pass:
            return
        serial = self._asked("serial")
        first = self._serially(BASELINE if serial is None else "serial", epochs=self.manifest.epochs)
        if serial is not None:
            self._note(replace(serial, finished=True))
        again = self._serially(BASELINE_AGAIN, epochs=1)
        reseeded = self._serially(BASELINE_RESEEDED, epochs=1, seed=_other_seed())
        self._drawn = len({*first.values(), *again.values(), *reseeded.values()}) > 1

    @property
    def _one_pass(self) -> bool:
        return self.manifest.kind == "iterator" and not self._target.renewable

    def _asked(self, name: str) -> Asked | None:
        return next((asked for asked in self.manifest.strategies if asked.strategy == name), None)

    def _serially(self, name: str, epochs: int, seed: int | None = None) -> dict[int, int]:
        """Drives serial epochs and returns a number for each, equal where their samples are."""
        tally: dict[int, int] = {}

        def add(epoch: int, content: int) -> None:
            tally[epoch] = (tally.get(epoch, 0) + content) % 2**64

        try:
            with preserved_streams(seed), self._job(name, epochs, add) as job:
                strategies.drive(job, strategies.parse("serial"))
        except BatchauditError as error:
            raise type(error)(f"{self.manifest.source}: {error}") from None
        except Exception as error:
            raise UsageError(f"{self.manifest.source} raised {_in_words(error)}") from error
        return tally

    def run(self, strategy: Strategy) -> None:
        """Drives one strategy; what goes wrong in it is noted, not raised."""
        name = str(strategy)
        asked = self._asked(name) or Asked(name)
        if asked.finished:
            return
        try:
            self._check_can_run(strategy)
            with preserved_streams(), self._job(name, self.manifest.epochs) as job:
                strategies.drive(job, strategy)
        except Skip as reason:
            asked = replace(asked, skipped=str(reason))
        except (WorkerError, UsageError) as error:
            asked = replace(asked, error=str(error))
        except Exception as error:
            asked = replace(asked, error=in_full(error))
        self._note(replace(asked, finished=True))
        if asked.skipped is None and asked.error is None and not self._one_pass:
            concrete = probes.concrete(self._target.last, strategy)
            self._probe(probes.OF_STRATEGY, name, concrete)

    def probe_source(self) -> None:
        """Makes the probes that have nothing to do with how the source is driven."""
        if not self._one_pass:
            self._probe(probes.OF_SOURCE, "serial", strategies.parse("serial"))

    def _subject(self) -> Subject:
        last = self._target.last
        kind, loader = sources.Kind(self.manifest.kind), torch_loader.is_loader(last)
        return Subject(
            self._target.new,
            kind,
            self._target.renewable,
            loader,
            torch_loader.has_indices(last) if loader else kind is sources.Kind.INDEXED,
            self.manifest.epochs,
            self._drawn,
        )

    def _probe(self, some: tuple[Any, ...], asked: str, strategy: Strategy) -> None:
        """Makes probes of a strategy; one that cannot be made is noted, and harms nothing.

        Args:
            some: the probes.
            asked: the strategy as it was asked for, under which the probes are logged.
            strategy: the same with workers of its own.
        """
        subject = self._subject()
        for probe in some:
            if probe.NAME not in self._probes or not probe.wanted(subject, strategy):
                continue
            name = probe_name(probe.NAME, asked)
            contents: list[int] = []
            reason = self._one_probe(probe, name, strategy, contents)
            if probe.NAME == probes.same_index.NAME:
                subject = replace(subject, suspect=1 < len(set(contents)) < len(contents))
            if reason:
                self.manifest = replace(self.manifest, probes={**self.manifest.probes, name: reason})
                self.manifest.write(self._folder)

    def _one_probe(self, probe: Any, name: str, strategy: Strategy, contents: list[int]) -> str:
        """Makes one probe; returns why it could not be made, or nothing."""
        if self._seconds_left <= 0:
            return "the time for probes was used up: give more with probe_seconds="
        began = time.monotonic()
        try:
            with (
                preserved_streams(),
                self._job(name, probe.EPOCHS, lambda _, content: contents.append(content)) as job,
            ):
                patience = min(self._timeout, self._seconds_left)
                probe.drive(replace(job, timeout=patience, until=began + self._seconds_left), strategy)
        except Exception as error:
            said = str(error).strip() or type(error).__name__
            return said.splitlines()[-1 if "Traceback" in said else 0]
        finally:
            self._seconds_left -= time.monotonic() - began
        return ""

    def _check_can_run(self, strategy: Strategy) -> None:
        own = sources.workers_of(self._target.last) if torch_loader.is_loader(self._target.last) else 0
        if own and strategy.family not in _OF_LOADERS:
            raise Skip(f"the source runs {own} workers of its own: audit it as-is, or with torch:{own}")
        if self._one_pass and any(asked.finished and not asked.skipped for asked in self.manifest.strategies):
            raise Skip(
                "the iterator was used up by the strategy before: give a callable that makes a new one"
            )

    def _note(self, asked: Asked) -> None:
        self.manifest = self.manifest.with_strategy(asked)
        self.manifest.write(self._folder)

    @cached_property
    def _about(self) -> dict[str, Any]:
        said = sources.about(self._target.last)
        return {**said, "ids": "key"} if self._key is not None else said

    @contextmanager
    def _job(self, name: str, epochs: int, note: _Note | None = None) -> Iterator[Job]:
        journal = open_journal(self._folder, self.manifest.source, name, self.manifest.attempt, self._about)
        recorder = Recorder(journal if note is None else _Noted(journal, note), self._key)

        def tell(epoch: int, step: int) -> None:
            if self._on_progress is not None:
                self._on_progress(name, epoch, step)

        try:
            yield Job(
                lambda: sources.watch(self._checked(self._target.new()), recorder),
                recorder,
                epochs,
                self.manifest.steps_per_epoch,
                self._timeout,
                self._target.renewable,
                _is_sized(self._target.last),
                tell,
                plain=self._target.new,
            )
        finally:
            journal.close()

    def _checked(self, source: Any) -> Any:
        """Tries `key` on a first batch, so that a wrong one is an error now and not a column of nothing."""
        if self._checked_key or not self._target.renewable or self._key is None:
            return source
        self._checked_key = True
        with preserved_streams():
            first = self._target.new()
            batch = first[0] if sources.kind_of(first) is sources.Kind.INDEXED else next(iter(first), None)
        if batch is not None:
            _try_key(self._key, batch)
        return source


def _itself(journal: JournalWriter) -> JournalWriter:
    return journal


_Note = Callable[[int, int], None]
"""Told the epoch of each delivered batch, and a number that is equal where the samples are, in any order."""


class _Noted:
    """A journal of which the audit also learns at once what was delivered, before anything is analysed."""

    def __init__(self, journal: JournalWriter, note: _Note) -> None:
        self._journal, self._note = journal, note

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._journal,)  # a worker's own copy has nobody to tell

    @property
    def closed(self) -> bool:
        return self._journal.closed

    def append(self, event: Event) -> int:
        if event.stage == Stage.DELIVERED:
            samples = event.samples
            self._note(event.epoch, event.digest_lo if samples is None else int(samples.sum(dtype="u8")))
        return self._journal.append(event)


def _try_key(key: Key, batch: Any) -> None:
    try:
        ids = sample_ids(key, batch)
    except Exception as error:
        raise UsageError(f"key= raised {_in_words(error)}") from error
    samples = fingerprint(batch, strict=False).samples
    if samples is not None and len(ids) != len(samples):
        raise UsageError(
            f"key= returned {len(ids)} ids for a batch of {len(samples)} samples: one id a sample is needed."
        )


def _name_of(source: Any) -> str:
    if isinstance(source, functools.partial):
        return _name_of(source.func)
    return str(getattr(source, "__name__", type(source).__name__))


def _is_sized(source: Any) -> bool:
    """Whether a source has a length; an endless `PyDataset` has none."""
    if torch_loader.is_loader(source):
        return torch_loader.is_sized(source)
    try:
        return sources.length_of(source) is not None
    except Exception:
        return False


def _other_seed() -> int:
    """A seed that the program is not using: a fixed one might be the user's own."""
    return xxhash.xxh3_64_intdigest(repr(StreamReader().read()).encode()) % 2**32


def _in_words(error: BaseException) -> str:
    """An exception of the user's code in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    here = os.path.dirname(__file__)
    theirs = [frame for frame in frames if not frame.filename.startswith(here)] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno}, in {theirs[-1].name})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"
