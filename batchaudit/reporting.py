"""Builds a report from a run's folder: log, analysis, diagnosis, in that order. Requires pandas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from batchaudit.analysis import seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import Tables, tables
from batchaudit.diagnosis import diagnose
from batchaudit.journal import manifest as manifests
from batchaudit.journal.manifest import BASELINE, BASELINE_AGAIN, BASELINE_RESEEDED, Asked, Manifest
from batchaudit.journal.reader import Health, Log, load
from batchaudit.report.model import Report, Run

_BASELINES = (BASELINE, BASELINE_AGAIN, BASELINE_RESEEDED)


def build(folder: Path, attempt: int | None = None) -> Report:
    """Reads, analyses and diagnoses one attempt of a run.

    Args:
        folder: the run's folder.
        attempt: which attempt; by default the last one.

    Returns:
        The report.

    Raises:
        JournalError: there is no log there, or it cannot be read.
    """
    log = load(folder)
    asked = manifests.read(folder)
    known = sorted({*asked, *(int(number) for number in log.events["attempt"].unique())})
    attempt = known[-1] if attempt is None else attempt
    events = log.events[log.events["attempt"] == attempt]
    groups = {
        (str(source), str(strategy)): rows
        for (source, strategy), rows in events.groupby(["source", "strategy"], observed=True)
    }
    builder = _Builder(folder.name, log, groups, asked.get(attempt))
    runs = [builder.run(source, entry) for source, entry in builder.entries()]
    return Report(
        runs=tuple(runs),
        epochs=builder.frame("epochs"),
        workers=builder.frame("workers"),
        batches=builder.frame("batches"),
        complete=log.health.complete,
        notes=tuple(_notes(log.health, known, attempt, asked.get(attempt), events)),
        ranks=tuple(sorted({int(rank) for rank in events["rank"].unique()})) or (0,),
        missing_ranks=_missing(log, events),
        attempts=tuple(known),
    )


class _Builder:
    """Gathers the frames of all runs while it makes them."""

    def __init__(
        self, run: str, log: Log, groups: dict[tuple[str, str], pd.DataFrame], asked: Manifest | None
    ):
        self._run = run
        self._samples = log.samples
        self._groups = groups
        self._asked = asked
        self._frames: dict[str, list[pd.DataFrame]] = {"epochs": [], "workers": [], "batches": []}
        self._baselines: dict[str, Baseline] = {}

    def entries(self) -> list[tuple[str, Asked]]:
        """The runs in order: as they were asked for, then what else was logged."""
        asked = [(self._asked.source, entry) for entry in self._asked.strategies] if self._asked else []
        named = {(source, entry.strategy) for source, entry in asked}
        others = [(s, Asked(t, finished=True)) for s, t in self._groups if (s, t) not in named]
        return asked + [(s, entry) for s, entry in others if entry.strategy not in _BASELINES]

    def run(self, source: str, entry: Asked) -> Run:
        """One run's figures and findings."""
        made = Run(self._run, source, entry.strategy, entry.workers, entry.skipped, _error(entry))
        group = self._groups.get((source, entry.strategy))
        if group is None or entry.skipped:
            return made
        table = self._tables(group)
        if table.delivered.empty and table.raised.empty:
            return made
        evidence = self._evidence(made, table)
        self._keep(made, "epochs", evidence.epochs)
        self._keep(made, "workers", evidence.shares)
        self._keep(made, "batches", uniqueness.batches(table))
        findings, verdicts = diagnose(evidence)
        return replace(made, findings=findings, verdicts=verdicts)

    def frame(self, name: str) -> pd.DataFrame:
        """All runs' rows of one frame."""
        frames = self._frames[name]
        return (
            pd.concat(frames, ignore_index=True)
            if frames
            else pd.DataFrame(columns=["run", "source", "strategy"])
        )

    def _keep(self, run: Run, name: str, frame: pd.DataFrame) -> None:
        named = {"run": run.run, "source": run.source, "strategy": run.strategy}
        self._frames[name].append(
            pd.concat([pd.DataFrame(named, index=frame.index), frame], axis=1)  # names first
        )

    def _tables(self, events: pd.DataFrame) -> Tables:
        samples = self._samples[self._samples["event"].isin(events.index)]
        return tables(events, samples)

    def _baseline(self, source: str) -> Baseline:
        def of(*names: str) -> Tables | None:
            groups = [self._groups[source, name] for name in names if (source, name) in self._groups]
            return self._tables(groups[0]) if groups else None

        return Baseline(of("serial", BASELINE), of(BASELINE_AGAIN), of(BASELINE_RESEEDED))

    def _evidence(self, run: Run, table: Tables) -> Evidence:
        if run.source not in self._baselines:
            self._baselines[run.source] = self._baseline(run.source)
        baseline = self._baselines[run.source]
        figures = uniqueness.epochs(table, baseline)
        figures = figures.merge(seeds.divergence(table), on="epoch", how="left")
        figures = figures.merge(workers.counts(table), on="epoch", how="left")
        figures["workers_configured"] = run.workers_configured or 1
        asked = self._asked
        return Evidence(
            run.source,
            run.strategy,
            asked.kind if asked else "",
            bool(asked and asked.renewable and asked.kind == "iterator" and asked.steps_per_epoch is None),
            table,
            figures,
            workers.shares(table),
            seeds.moved_streams(table),
            seeds.share_a_process(table),
            baseline,
            run.workers_configured,
            run.error is not None,
        )


def _error(entry: Asked) -> str | None:
    if entry.error or entry.finished:
        return entry.error
    return "the audit ended before this strategy did: its process was killed, or is still running"


def _missing(log: Log, events: pd.DataFrame) -> tuple[int, ...]:
    world = max((int(writer.get("world", 1)) for writer in log.writers), default=1)
    return tuple(sorted(set(range(world)) - {int(rank) for rank in events["rank"].unique()}))


def _notes(
    health: Health, attempts: list[int], attempt: int, asked: Manifest | None, events: pd.DataFrame
) -> list[str]:
    notes = []
    if not (events["stage"] == "delivered").any():
        notes.append("no consumer was watched: the figures count what was produced, not what was delivered.")
    if not health.complete:
        lost = f"{health.bytes_dropped:,} bytes dropped, {health.gaps:,} events missing"
        more = [*health.failures, *(f"{name}: unreadable" for name in health.files_unreadable)]
        notes.append(
            "the log is not whole: " + "; ".join([lost, *more]) + ". What is missing may hold duplicates."
        )
    texts = events[events["stage"] == "produced"].groupby("source", observed=True)["text"].unique()
    for source, said in texts.items():
        unhashable = sorted({text for text in said if text})
        if unhashable:
            notes.append(
                f"{source} yields what cannot be hashed by value ({unhashable[0]}): how many of its batches "
                "are different is not known."
            )
    if len(attempts) > 1:
        notes.append(f"attempt {attempt} is shown; the folder holds {len(attempts)}: {attempts}.")
    if asked and asked.kind == "iterator" and not asked.renewable:
        notes.append(
            "the source was one iterator, which has one pass: there is no serial baseline. Give a callable "
            "that makes it for the full diagnosis."
        )
    return notes
