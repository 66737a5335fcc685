"""Drives one target by one strategy after the other, and the serial passes that they are compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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
from batchaudit.errors import BatchauditError, UsageError, WorkerError, in_full, without_messages
from batchaudit.journal.keeping import Keeping
from batchaudit.journal.layout import Event, Stage
from batchaudit.journal.manifest import BASELINE, BASELINE_AGAIN, BASELINE_RESEEDED, Asked, Manifest
from batchaudit.journal.manifest import probe as probe_name
from batchaudit.journal.writer import JournalWriter
from batchaudit.probes import Subject
from batchaudit.sources import torch_loader
from batchaudit.strategies import Job, Skip, Strategy
from batchaudit.target import Target, in_words
from batchaudit.watching import open_journal

# What drives a loader that has workers of its own; everything else would put workers around workers.
_OF_LOADERS = ("as-is", "serial", "torch")

Progress = Callable[[str, int, int], None]
"""Told (strategy, epoch, step) of every delivered batch."""


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
        keeping: Keeping | None = None,
    ) -> None:
        self.manifest = manifest
        self.target = target
        self._folder = folder
        self._keeping = keeping
        self._key = key
        self._timeout = timeout
        self._on_progress = on_progress
        self._checked_key = key is None
        self._probes = asked_probes
        self._seconds_left = probe_seconds
        self._drawn: bool | None = None
        self._reasons: dict[str, str] = {}

    def _write(self) -> None:
        """Writes the manifest without what exceptions said: that may be a piece of the data."""
        told = replace(
            self.manifest,
            strategies=tuple(map(_without_messages, self.manifest.strategies)),
            candidates=tuple(map(_without_messages, self.manifest.candidates)),
            probes=self._reasons,
        )
        told.write(self._folder)

    def baseline(self) -> None:
        """Drives the serial passes that say what is deterministic, where there is more than one pass to have.

        Where `serial` is also asked for, the first of them is that run.
        """
        if self.one_pass:
            return
        serial = self._asked("serial")
        first = self._serially(BASELINE if serial is None else "serial", epochs=self.manifest.epochs)
        if serial is not None:
            self._note(replace(serial, finished=True))
        again = self._serially(BASELINE_AGAIN, epochs=1)
        reseeded = self._serially(BASELINE_RESEEDED, epochs=1, seed=_other_seed())
        self._drawn = len({*first.values(), *again.values(), *reseeded.values()}) > 1

    @property
    def one_pass(self) -> bool:
        """Whether the source is an iterator that was given once: whoever drives it first has it all."""
        return self.manifest.kind == "iterator" and not self.target.renewable

    def _asked(self, name: str) -> Asked | None:
        return next((asked for asked in self.manifest.strategies if asked.strategy == name), None)

    def _serially(self, name: str, epochs: int, seed: int | None = None) -> dict[int, int]:
        """Drives serial epochs and returns a number for each, equal where their samples are."""
        tally: dict[int, int] = {}

        def add(epoch: int, content: int) -> None:
            tally[epoch] = (tally.get(epoch, 0) + content) % 2**64

        try:
            with preserved_streams(seed), self.job(name, epochs, add) as job:
                strategies.drive(job, strategies.parse("serial"))
        except BatchauditError as error:
            raise type(error)(f"{self.manifest.source}: {error}") from None
        except Exception as error:
            raise UsageError(f"{self.manifest.source} raised {in_words(error)}") from error
        return tally

    def run(self, strategy: Strategy) -> None:
        """Drives one strategy; what goes wrong in it is noted, not raised."""
        name = str(strategy)
        asked = self._asked(name) or Asked(name)
        if asked.finished:
            return
        asked = self._driven(asked, strategy, name)
        self._note(asked)
        if asked.skipped is None and asked.error is None and not self.one_pass:
            concrete = probes.concrete(self.target.last, strategy)
            self._probe(probes.OF_STRATEGY, name, concrete)

    def _driven(self, asked: Asked, strategy: Strategy, logged: str) -> Asked:
        """Drives one strategy and returns how that went."""
        try:
            self._check_can_run(strategy)
            with preserved_streams(), self.job(logged, self.manifest.epochs) as job:
                strategies.drive(job, strategy)
        except Skip as reason:
            asked = replace(asked, skipped=str(reason))
        except (WorkerError, UsageError) as error:
            asked = replace(asked, error=str(error))
        except Exception as error:
            asked = replace(asked, error=in_full(error))
        return replace(asked, finished=True)

    def try_out(self, strategy: Strategy, logged: str) -> None:
        """Drives a strategy that nobody asked for, to compare it; it is in no report as a run of its own.

        Args:
            strategy: which.
            logged: what its events are logged as.
        """
        try:
            strategies.require(strategy)
        except UsageError as error:
            self.note_candidate(Asked(str(strategy), skipped=str(error), finished=True))
            return
        self.note_candidate(self._driven(Asked(str(strategy), strategy.workers), strategy, logged))

    def note_candidate(self, asked: Asked) -> None:
        """Notes how a strategy that was tried beside those asked for went."""
        self.manifest = replace(self.manifest, candidates=(*self.manifest.candidates, asked))
        self._write()

    def came_to_its_end(self, name: str) -> bool:
        """Whether a strategy drove all epochs; the serial passes did, or there would be no audit."""
        known = [
            asked
            for asked in (*self.manifest.strategies, *self.manifest.candidates)
            if asked.strategy == name
        ]
        return all(asked.finished and asked.skipped is None and asked.error is None for asked in known)

    def note_unprobed(self, logged: str, error: Exception) -> None:
        """Notes why something could not be probed or timed.

        Args:
            logged: what its events would have been logged as.
            error: what was raised.
        """
        said = str(error).strip() or type(error).__name__
        kept = without_messages(said) if isinstance(error, BatchauditError) else type(error).__name__
        self.manifest = replace(self.manifest, probes={**self.manifest.probes, logged: _last(said)})
        self._reasons[logged] = _last(kept)
        self._write()

    def probe_source(self) -> None:
        """Makes the probes that have nothing to do with how the source is driven."""
        if not self.one_pass:
            self._probe(probes.OF_SOURCE, "serial", strategies.parse("serial"))

    def _subject(self) -> Subject:
        last = self.target.last
        kind, loader = sources.Kind(self.manifest.kind), torch_loader.is_loader(last)
        return Subject(
            self.target.new,
            kind,
            self.target.renewable,
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
            self._one_probe(probe, name, strategy, contents)
            if probe.NAME == probes.same_index.NAME:
                subject = replace(subject, suspect=1 < len(set(contents)) < len(contents))

    def _one_probe(self, probe: Any, name: str, strategy: Strategy, contents: list[int]) -> None:
        """Makes one probe, or notes why it could not be made."""
        if self._seconds_left <= 0:
            used_up = "the time for probes was used up: give more with probe_seconds="
            self.note_unprobed(name, WorkerError(used_up))
            return
        began = time.monotonic()
        try:
            with (
                preserved_streams(),
                self.job(name, probe.EPOCHS, lambda _, content: contents.append(content)) as job,
            ):
                patience = min(self._timeout, self._seconds_left)
                probe.drive(replace(job, timeout=patience, until=began + self._seconds_left), strategy)
        except Exception as error:
            self.note_unprobed(name, error)
        finally:
            self._seconds_left -= time.monotonic() - began

    def _check_can_run(self, strategy: Strategy) -> None:
        own = sources.workers_of(self.target.last) if torch_loader.is_loader(self.target.last) else 0
        if own and strategy.family not in _OF_LOADERS:
            raise Skip(f"the source runs {own} workers of its own: audit it as-is, or with torch:{own}")
        if self.one_pass and any(asked.finished and not asked.skipped for asked in self.manifest.strategies):
            raise Skip(
                "the iterator was used up by the strategy before: give a callable that makes a new one"
            )

    def _note(self, asked: Asked) -> None:
        self.manifest = self.manifest.with_strategy(asked)
        self._write()

    @cached_property
    def _about(self) -> dict[str, Any]:
        said = sources.about(self.target.last)
        return {**said, "ids": "key"} if self._key is not None else said

    @contextmanager
    def job(
        self, name: str, epochs: int, note: _Note | None = None, recorder: type[Recorder] = Recorder
    ) -> Iterator[Job]:
        """How to drive the source, logged under a name of its own; ends the log.

        Args:
            name: what its events are logged as.
            epochs: how many to drive.
            note: told of each delivered batch.
            recorder: what looks at the batches.
        """
        journal = open_journal(
            self._folder, self.manifest.source, name, self.manifest.attempt, self._about, self._keeping
        )
        looks = recorder(journal if note is None else _Noted(journal, note), self._key)

        def tell(epoch: int, step: int) -> None:
            if self._on_progress is not None:
                self._on_progress(name, epoch, step)

        try:
            yield Job(
                lambda: sources.watch(self._checked(self.target.new()), looks),
                looks,
                epochs,
                self.manifest.steps_per_epoch,
                self._timeout,
                self.target.renewable,
                _is_sized(self.target.last),
                tell,
                plain=self.target.new,
            )
        finally:
            journal.close()

    def _checked(self, source: Any) -> Any:
        """Tries `key` on a first batch, so that a wrong one is an error now and not a column of nothing."""
        if self._checked_key or not self.target.renewable or self._key is None:
            return source
        self._checked_key = True
        with preserved_streams():
            first = self.target.new()
            batch = first[0] if sources.kind_of(first) is sources.Kind.INDEXED else next(iter(first), None)
        if batch is not None:
            _try_key(self._key, batch)
        return source


def _without_messages(asked: Asked) -> Asked:
    """How a strategy went, without what exceptions said."""
    error, skipped = (text and without_messages(text) for text in (asked.error, asked.skipped))
    return replace(asked, error=error, skipped=skipped)


def _last(said: str) -> str:
    """The line of a text about an exception that says what it was."""
    return said.splitlines()[-1 if "Traceback" in said else 0]


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

    @property
    def off(self) -> bool:
        return False  # the audit itself goes by what is delivered, whatever becomes of the log

    def append(self, event: Event) -> int:
        if event.stage == Stage.DELIVERED:
            samples = event.samples
            self._note(event.epoch, event.digest_lo if samples is None else int(samples.sum(dtype="u8")))
        return self._journal.append(event)


def _try_key(key: Key, batch: Any) -> None:
    try:
        ids = sample_ids(key, batch)
    except Exception as error:
        raise UsageError(f"key= raised {in_words(error)}") from error
    samples = fingerprint(batch, strict=False).samples
    if samples is not None and len(ids) != len(samples):
        raise UsageError(
            f"key= returned {len(ids)} ids for a batch of {len(samples)} samples: one id a sample is needed."
        )


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
