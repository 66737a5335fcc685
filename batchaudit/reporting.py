"""Builds a report from a run's folder: log, analysis, diagnosis, in that order. Requires pandas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batchaudit import advising
from batchaudit.advice import Advice, SourceAdvice
from batchaudit.advising import Measured
from batchaudit.analysis import coverage, emission, overlap, seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.splits import Part
from batchaudit.analysis.tables import LIVE, Tables, handed_over, in_order, tables
from batchaudit.analysis.walk import walk
from batchaudit.diagnosis import diagnose, diagnose_attempts, diagnose_ranks, resume_replay, split_leak
from batchaudit.diagnosis.finding import NOT_OBSERVABLE, Finding, Verdict
from batchaudit.errors import analysing
from batchaudit.journal.asked import asked_of
from batchaudit.journal.manifest import (
    BASELINE,
    BASELINE_AGAIN,
    BASELINE_RESEEDED,
    CANDIDATE,
    Asked,
    Manifest,
    for_advice,
    is_shown,
    probed,
)
from batchaudit.journal.reader import Log, load
from batchaudit.report.model import Report, Run
from batchaudit.report.notes import note

_UNSEEN = (
    "no batch of it was seen: wrap what is given to fit() or what the loop goes over, after its last "
    "transformation"
)


def build(
    folder: Path,
    attempt: int | None = None,
    log: Log | None = None,
    rank: int | None = None,
    mode: str = "tolerant",
    said: Manifest | None = None,
) -> Report:
    """Reads, analyses and diagnoses a run.

    Args:
        folder: the run's folder.
        attempt: which attempt; by default all of them.
        log: what the folder holds, where it has been read already.
        rank: which training process; by default all of them.
        mode: how the log is read, as in `journal.reader.load`.
        said: the manifest of an attempt, where more is known of it than is written: what exceptions said.

    Returns:
        The report.

    Raises:
        JournalError: there is no log there, or it cannot be read.
        AnalysisError: what it says fits no training.
    """
    with analysing(str(folder)):
        return _build([folder], log or load(folder, mode=mode), attempt, rank, mode, said)


def build_together(folders: Sequence[Path], mode: str = "tolerant") -> Report | None:
    """Reads, analyses and diagnoses a run of which each rank has logged to a folder of its own.

    Args:
        folders: the ranks' folders.
        mode: how the logs are read, as in `journal.reader.load`.

    Returns:
        The report; None where they are no such folders: they hold the same rank, or one alone.

    Raises:
        JournalError: there is no log in one of them, or it cannot be read.
    """
    with analysing(", ".join(map(str, folders))):
        log = load(*folders, mode=mode)
        places = {
            (str(it.get("run", "")), int(it.get("rank", 0)), int(it.get("world", 1))) for it in log.writers
        }
        ranks, worlds = [rank for _, rank, _ in places], {world for _, _, world in places}
        if len(worlds) != 1 or worlds == {1} or len(ranks) != len(set(ranks)):
            return None
        return _build(folders, log, None, None, mode)


def _build(
    folders: Sequence[Path],
    log: Log,
    attempt: int | None,
    rank: int | None,
    mode: str,
    said: Manifest | None = None,
) -> Report:
    log, asked = asked_of(log, folders, mode)
    if said is not None:
        asked = {**asked, (said.attempt, said.rank): said}
    everything = log.events if rank is None else log.events[log.events["rank"] == rank]
    known = sorted({*(number for number, _ in asked), *map(int, everything["attempt"].unique())})
    shown = known if attempt is None else [attempt]
    events = everything if attempt is None else everything[everything["attempt"] == attempt]
    frames = Frames()
    parts = [_Attempt(folders[0].name, number, log, events, asked, frames) for number in shown]
    runs = [part.run(*entry) for part in parts for entry in part.entries()]
    between = [judged for part in parts for judged in part.between()]
    for part in parts:
        part.cover()
    between += _between_attempts(parts, log.health.complete)
    return Report(
        runs=tuple(runs),
        epochs=frames.of("epochs"),
        workers=frames.of("workers"),
        batches=frames.of("batches"),
        pooled=frames.of("pooled"),
        complete=log.health.complete,
        notes=tuple(_notes(log, shown, [it for (number, _), it in asked.items() if number in shown], events)),
        ranks=tuple(sorted({int(number) for number in events["rank"].unique()})) or (0,),
        missing_ranks=() if rank is not None else log.missing_ranks(events),
        attempts=tuple(known),
        across=tuple(finding for finding, _ in between if finding is not None),
        across_verdicts=tuple(dict.fromkeys(verdict for _, verdict in between)),
        timing=frames.of("timing"),
        emitted=frames.of("emitted"),
        coverage=frames.of("coverage"),
        overlap=frames.of("overlap"),
        advice=Advice(tuple(one for part in parts[-1:] for one in part.advice(log.health.complete))),
        log=log.health,
    )


_FRAMES = ("epochs", "workers", "batches", "pooled", "timing", "emitted", "coverage", "overlap")


class Frames:
    """Gathers the rows of all runs."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pd.DataFrame]] = {name: [] for name in _FRAMES}

    def add(self, run: Run, name: str, frame: pd.DataFrame) -> None:
        """Takes in one run's rows."""
        named = {
            "run": run.run,
            "attempt": run.attempt,
            "rank": run.rank,
            "source": run.source,
            "strategy": run.strategy,
        }
        # As objects: pyarrow's strings, which pandas would take, refuse a file name that is no UTF-8.
        columns = {
            key: pd.Series(value, index=frame.index, dtype="int64" if isinstance(value, int) else object)
            for key, value in named.items()
        }
        others = frame.drop(columns="rank", errors="ignore")
        self._parts[name].append(
            pd.concat([pd.DataFrame(columns, copy=False), others], axis=1)
        )  # names first

    def of(self, name: str) -> pd.DataFrame:
        """All runs' rows of one frame."""
        parts = self._parts[name]
        if parts:
            return parts[0].reset_index(drop=True) if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        return pd.DataFrame(columns=["run", "attempt", "rank", "source", "strategy"])


_SERIAL = "serial"
_OF_SOURCE = _SERIAL
"""What the probes are logged under that have nothing to do with a strategy."""
_ONE = ["source", "strategy", "rank"]
_ASKED_FOR = ("iterator", "exhausted", "epoch")
"""Hooks which say that somebody wanted batches of a source."""


class _Attempt:
    """One attempt of a run: what each rank's sources gave, under each strategy."""

    def __init__(
        self,
        run: str,
        number: int,
        log: Log,
        events: pd.DataFrame,
        asked: dict[tuple[int, int], Manifest],
        frames: Frames,
    ):
        self._run = run
        self._number = number
        self._log = log
        self._complete = log.health.complete
        here = (events["attempt"] == number).to_numpy()
        self._events = events if here.all() else events[here]
        of_one = self._events.groupby(_ONE, observed=True).indices
        self._groups = {
            (str(source), str(strategy), int(rank)): rows for (source, strategy, rank), rows in of_one.items()
        }
        self._made: dict[tuple[str, str, int], Tables] = {}
        self._of_ranks: dict[tuple[str, str], Tables] = {}
        self._about: dict[tuple[str, int], dict[str, Any]] = {}
        for writer in log.writers:
            if writer.get("attempt", 0) == number:
                key = str(writer.get("source", "")), int(writer.get("rank", 0))
                self._about.setdefault(key, dict(writer.get("about") or {}))
        self._asked = {rank: entry for (attempt, rank), entry in asked.items() if attempt == number}
        self._frames = frames
        self._baselines: dict[tuple[str, int], Baseline] = {}
        self._silent: dict[tuple[str, str], list[int]] = {}
        self.evidence: dict[tuple[str, str, int], Evidence] = {}
        self._findings: dict[tuple[str, str, int], tuple[Finding, ...]] = {}

    def entries(self) -> list[tuple[str, Asked, int]]:
        """The runs in order: as each rank was asked for them, then what else was logged."""
        asked = [
            (manifest.source, entry, rank)
            for rank, manifest in sorted(self._asked.items())
            for entry in manifest.strategies
        ]
        named = {(source, entry.strategy, rank) for source, entry, rank in asked}
        others = [
            (source, Asked(strategy, finished=True), rank)
            for source, strategy, rank in self._groups
            if (source, strategy, rank) not in named and is_shown(strategy)
        ]
        return asked + others

    def run(self, source: str, entry: Asked, rank: int) -> Run:
        """One run's figures and findings."""
        # In a training of the user's own nobody has asked for workers: the source says how many it has.
        about = self._about.get((source, rank), {}) if entry.strategy == LIVE else {}
        workers = entry.workers or int(about.get("workers", 0))
        made = Run(
            self._run, source, entry.strategy, workers, entry.skipped, _error(entry),
            attempt=self._number, rank=rank,
        )  # fmt: skip
        if (source, entry.strategy, rank) not in self._groups or entry.skipped:
            return made
        table = self._tables(source, entry.strategy, rank)
        if table.delivered.empty and table.raised.empty:
            if bool(table.hooks["text"].isin(_ASKED_FOR).any()):
                self._silent.setdefault((source, entry.strategy), []).append(rank)
                return made
            return replace(made, skipped=_UNSEEN) if entry.strategy == LIVE else made
        evidence = self._evidence(made, table)
        self.evidence[source, entry.strategy, rank] = evidence
        self._frames.add(made, "epochs", evidence.epochs)
        self._frames.add(made, "workers", evidence.shares)
        self._frames.add(made, "batches", uniqueness.batches(table))
        self._frames.add(made, "emitted", emission.emitted(table))
        self._frames.add(
            made, "timing", advising.row(entry.strategy, evidence.kind, table, self._hidden(source, rank))
        )
        findings, verdicts = diagnose(evidence, self._complete)
        self._findings[source, entry.strategy, rank] = findings
        return replace(made, findings=findings, verdicts=verdicts)

    def advice(self, complete: bool) -> list[SourceAdvice]:
        """What to do about the speed of each source, as its first rank saw it; after `run` of each."""
        advices: dict[str, SourceAdvice | None] = {}
        for rank, manifest in sorted(self._asked.items()):
            if manifest.strategies and manifest.source not in advices:
                advices[manifest.source] = self._advice(manifest, rank, complete)
        for (source, strategy, _), evidence in sorted(self.evidence.items()):
            if strategy == LIVE and source not in advices:
                advices[source] = advising.of_training(source, evidence.tables, evidence.kind)
        return [one for one in advices.values() if one is not None]

    def _advice(self, manifest: Manifest, rank: int, complete: bool) -> SourceAdvice | None:
        source = manifest.source
        measured = [Measured(it, *self._found(source, it.strategy, rank)) for it in manifest.strategies]
        for it in manifest.candidates:
            name = for_advice(CANDIDATE, it.strategy)
            measured.append(Measured(it, *self._judged(source, name, it, rank), wanted=False))
        baseline = None
        if _SERIAL not in {it.strategy for it in manifest.strategies}:
            serial = Asked(_SERIAL, finished=True)
            baseline = Measured(serial, *self._judged(source, BASELINE, serial, rank), wanted=False)
        return advising.of_audit(source, manifest, measured, baseline, self._hidden(source, rank), complete)

    def _found(self, source: str, strategy: str, rank: int) -> tuple[Tables | None, tuple[Finding, ...]]:
        """What a run gave that is in the report."""
        evidence = self.evidence.get((source, strategy, rank))
        return None if evidence is None else evidence.tables, self._findings.get((source, strategy, rank), ())

    def _judged(
        self, source: str, logged: str, asked: Asked, rank: int
    ) -> tuple[Tables | None, tuple[Finding, ...]]:
        """What a run gave that is in no report, and what is wrong with it."""
        if (source, logged, rank) not in self._groups:
            return None, ()
        table = self._tables(source, logged, rank)
        if table.delivered.empty:
            return None, ()
        run = Run(self._run, source, asked.strategy, asked.workers, attempt=self._number, rank=rank)
        return table, diagnose(self._evidence(run, table), self._complete)[0]

    def _hidden(self, source: str, rank: int) -> advising.Hidden:
        def tables_of(name: str) -> Tables | None:
            return self._tables(source, name, rank) if (source, name, rank) in self._groups else None

        return tables_of

    def between(self) -> list[tuple[Finding | None, Verdict]]:
        """What is wrong between ranks, and between the sources of a live training; after `run` of each."""
        judged = [one for ranks in self._ranks() for one in diagnose_ranks(ranks, self._complete)]
        parts = self._parts()
        if not parts:
            reason = "one source alone: watch the training, and wrap training and validation in one ba.Audit"
            return [*judged, (None, Verdict(split_leak.CAUSE, NOT_OBSERVABLE, reason))]
        return judged + split_leak.between(parts, self._complete)

    def _ranks(self) -> list[Ranks]:
        """The sources that several ranks drove in one way; their pooled figures go to the frames."""
        found: dict[tuple[str, str], dict[int, Evidence]] = {}
        for (source, strategy, rank), evidence in sorted(self.evidence.items()):
            found.setdefault((source, strategy), {})[rank] = evidence
        several = []
        missing = self._log.missing_ranks(self._events) if len(self._groups) > 1 else ()
        for (source, strategy), by_rank in found.items():
            silent = tuple(self._silent.get((source, strategy), ()))
            if len(by_rank) + len(silent) < 2:
                continue
            pooled = self._pooled(source, strategy)
            several.append(Ranks(source, strategy, by_rank, pooled, silent, missing))
            if len(self._log.keys([self._number], source)) > 1:
                continue  # what is equal does not look equal
            figures = uniqueness.epochs(pooled, Baseline())
            self._frames.add(Run(self._run, source, strategy, attempt=self._number), "pooled", figures)
        return several

    def cover(self) -> None:
        """How often each stored sample was seen by all ranks together, and what they have in common."""
        of_ranks: dict[tuple[str, str], list[Evidence]] = {}
        for (source, strategy, _), evidence in self.evidence.items():
            of_ranks.setdefault((source, strategy), []).append(evidence)
        for (source, strategy), several in of_ranks.items():
            first = several[0]
            table = first.tables if len(several) == 1 else self._pooled(source, strategy)
            walked = first.walk if len(several) == 1 else walk(table, first.baseline)
            made = Run(self._run, source, strategy, attempt=self._number, rank=first.rank)
            self._frames.add(made, "coverage", coverage.coverage(walked, first.serial_walk, first.items))
            self._frames.add(made, "overlap", overlap.overlap(table))

    def _parts(self) -> list[Part]:
        """The live sources, each over all ranks."""
        ranks: dict[str, list[int]] = {}
        for source, strategy, rank in self.evidence:
            if strategy == LIVE:
                ranks.setdefault(source, []).append(rank)
        parts = []
        for source, its in ranks.items():
            about = [self._about.get((source, rank), {}) for rank in sorted(its)]
            spaces = [str(each.get("ids", "")) for each in about]
            one, several = about[0], len(its) > 1
            parts.append(
                Part(
                    source,
                    str(one.get("split", "")),
                    # Of several ranks each numbers the stored items in its own process.
                    "|".join(spaces) if all(spaces) else "",
                    self._pooled(source, LIVE) if several else self.evidence[source, LIVE, its[0]].tables,
                    str(one.get("kind", "")),
                    str(one.get("framework", "")),
                    self._log.keys([self._number], source),
                )
            )
        return parts

    def _pooled(self, source: str, strategy: str) -> Tables:
        if (source, strategy) not in self._of_ranks:
            groups = [rows for (s, t, _), rows in self._groups.items() if (s, t) == (source, strategy)]
            self._of_ranks[source, strategy] = self._of(np.sort(np.concatenate(groups)))
        return self._of_ranks[source, strategy]

    def _tables(self, *key: Any) -> Tables:
        """The events of a source, a strategy and a rank; the same object each time."""
        if key not in self._made:
            self._made[key] = self._of(self._groups[key])
        return self._made[key]

    def _of(self, rows: np.ndarray[Any, Any]) -> Tables:
        samples = self._log.samples
        if len(rows) == len(self._log.events):
            return tables(self._events, samples)
        events = self._events if len(rows) == len(self._events) else self._events.iloc[rows]
        return tables(events, in_order(samples, events)[0])

    def _baseline(self, source: str, rank: int) -> Baseline:
        if (source, rank) not in self._baselines:

            def of(*names: str) -> Tables | None:
                known = (name for name in names if (source, name, rank) in self._groups)
                name = next(known, None)
                return None if name is None else self._tables(source, name, rank)

            self._baselines[source, rank] = Baseline(
                of("serial", BASELINE), of(BASELINE_AGAIN), of(BASELINE_RESEEDED)
            )
        return self._baselines[source, rank]

    def _evidence(self, run: Run, table: Tables) -> Evidence:
        baseline = self._baseline(run.source, run.rank)
        figures = uniqueness.epochs(table, baseline)
        figures = figures.merge(seeds.divergence(table), on="epoch", how="left")
        figures = figures.merge(workers.counts(table), on="epoch", how="left")
        figures["workers_configured"] = _configured(run, figures["workers"])
        asked, about = self._asked.get(run.rank), self._about.get((run.source, run.rank), {})
        probes, unprobed = self._probes(run)
        return Evidence(
            run.source,
            run.strategy,
            (asked.kind if asked and asked.strategies else "") or str(about.get("kind", "")),
            bool(asked and asked.renewable and asked.kind == "iterator" and asked.steps_per_epoch is None),
            table,
            figures,
            workers.shares(table),
            seeds.moved_streams(table),
            seeds.share_a_process(table),
            baseline,
            run.workers_configured,
            run.error is not None,
            about,
            probes,
            unprobed,
            run.rank,
            self._log.keys([self._number], run.source, run.rank),
        )

    def _probes(self, run: Run) -> tuple[dict[str, Tables], dict[str, str]]:
        """What probes of a run gave, and why others could not be made."""
        made = {}
        for source, strategy, rank in self._groups:
            named = probed(strategy)
            if (source, rank) != (run.source, run.rank) or named is None:
                continue
            if named[1] in (run.strategy, _OF_SOURCE):
                made[named[0]] = self._tables(source, strategy, rank)
        manifest = self._asked.get(run.rank)
        reasons = {} if manifest is None else manifest.probes
        named_reasons = ((probed(logged), reason) for logged, reason in reasons.items())
        of_run = (run.strategy, _OF_SOURCE)
        return made, {one[0]: reason for one, reason in named_reasons if one and one[1] in of_run}


def _between_attempts(parts: list[_Attempt], complete: bool) -> list[tuple[Finding | None, Verdict]]:
    """What is wrong between the starts of one training."""
    starts: dict[tuple[str, int], list[Evidence]] = {}
    for part in parts:
        for (source, strategy, rank), evidence in part.evidence.items():
            if strategy == LIVE:
                starts.setdefault((source, rank), []).append(evidence)
    if not starts:
        reason = "an audit before the training resumes nothing: watch the training itself with ba.Audit"
        return [(None, Verdict(resume_replay.CAUSE, NOT_OBSERVABLE, reason))]
    return [judged for several in starts.values() for judged in diagnose_attempts(several, complete)]


def _configured(run: Run, seen: pd.Series) -> float:
    """How many workers there were to be; NaN where only the framework's own call knew it, as in tf_keras."""
    configured = run.workers_configured or 1
    return float("nan") if run.strategy == LIVE and (seen > configured).any() else configured


def _error(entry: Asked) -> str | None:
    if entry.error or entry.finished:
        return entry.error
    return "the audit ended before this strategy did: its process was killed, or is still running"


def _notes(log: Log, attempts: list[int], asked: list[Manifest], events: pd.DataFrame) -> list[str]:
    health, keys, notes = log.health, log.keys(attempts), []
    made = (events["stage"] == "produced") & events["strategy"].map(is_shown).astype(bool)
    sources = [events["source"][rows].unique() for rows in (made, handed_over(events))]
    unseen = sorted({str(name) for name in sources[0]} - {str(name) for name in sources[1]})
    if unseen:
        notes.append(note("not-consumed", sources=", ".join(unseen)))
    if not health.complete:
        notes.append(note("incomplete-log", lost=health.lost))
    if health.unverified:
        plural = "s" if health.unverified > 1 else ""
        notes.append(note("unverified", count=f"{health.unverified:,} record{plural}"))
    if keys - {""}:
        notes.append(note("keyed"))
    if len(keys) > 1:
        notes.append(note("keys-differ"))
    said = events.loc[made & (events["text"] != ""), ["source", "text"]]
    for source, unhashable in said.groupby("source", observed=True)["text"].min().items():
        notes.append(note("unhashable", source=str(source), leaves=unhashable))
    if any(one.kind == "iterator" and not one.renewable for one in asked):
        notes.append(note("one-pass"))
    return notes
