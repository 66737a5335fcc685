"""Builds a report from a run's folder: log, analysis, diagnosis, in that order. Requires pandas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from batchaudit.analysis import seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.splits import Part
from batchaudit.analysis.tables import LIVE, Tables, handed_over, tables
from batchaudit.diagnosis import diagnose, split_leak
from batchaudit.diagnosis.finding import Finding, Verdict
from batchaudit.journal import manifest as manifests
from batchaudit.journal.manifest import (
    BASELINE,
    BASELINE_AGAIN,
    BASELINE_RESEEDED,
    BASELINES,
    Asked,
    Manifest,
)
from batchaudit.journal.reader import Health, Log, load
from batchaudit.report.model import Report, Run

_UNSEEN = (
    "no batch of it was seen: wrap what is given to fit() or what the loop goes over, after its last "
    "transformation"
)


def build(folder: Path, attempt: int | None = None, log: Log | None = None) -> Report:
    """Reads, analyses and diagnoses a run.

    Args:
        folder: the run's folder.
        attempt: which attempt; by default all of them.
        log: what the folder holds, where it has been read already.

    Returns:
        The report.

    Raises:
        JournalError: there is no log there, or it cannot be read.
    """
    log = log or load(folder)
    asked = manifests.read(folder)
    known = sorted({*asked, *(int(number) for number in log.events["attempt"].unique())})
    shown = known if attempt is None else [attempt]
    frames = Frames()
    parts = [_Attempt(folder.name, number, log, asked.get(number), frames) for number in shown]
    runs = [part.run(source, entry) for part in parts for source, entry in part.entries()]
    between = [judged for part in parts for judged in part.between_sources()]
    events = log.events[log.events["attempt"].isin(shown)]
    return Report(
        runs=tuple(runs),
        epochs=frames.of("epochs"),
        workers=frames.of("workers"),
        batches=frames.of("batches"),
        complete=log.health.complete,
        notes=tuple(_notes(log.health, [asked[number] for number in shown if number in asked], events)),
        ranks=tuple(sorted({int(rank) for rank in events["rank"].unique()})) or (0,),
        missing_ranks=log.missing_ranks(events),
        attempts=tuple(known),
        across=tuple(finding for finding, _ in between if finding is not None),
        across_verdicts=tuple(dict.fromkeys(verdict for _, verdict in between)),
    )


class Frames:
    """Gathers the rows of all runs."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pd.DataFrame]] = {"epochs": [], "workers": [], "batches": []}

    def add(self, run: Run, name: str, frame: pd.DataFrame) -> None:
        """Takes in one run's rows."""
        named = {"run": run.run, "attempt": run.attempt, "source": run.source, "strategy": run.strategy}
        # As objects: pyarrow's strings, which pandas would take, refuse a file name that is no UTF-8.
        columns = {
            key: pd.Series(
                [value] * len(frame), index=frame.index, dtype=None if key == "attempt" else object
            )
            for key, value in named.items()
        }
        self._parts[name].append(pd.concat([pd.DataFrame(columns), frame], axis=1))  # names first

    def of(self, name: str) -> pd.DataFrame:
        """All runs' rows of one frame."""
        parts = self._parts[name]
        if parts:
            return pd.concat(parts, ignore_index=True)
        return pd.DataFrame(columns=["run", "attempt", "source", "strategy"])


class _Attempt:
    """One attempt of a run."""

    def __init__(self, run: str, number: int, log: Log, asked: Manifest | None, frames: Frames):
        self._run = run
        self._number = number
        self._samples = log.samples
        events = log.events[log.events["attempt"] == number]
        self._groups = {
            (str(source), str(strategy)): rows
            for (source, strategy), rows in events.groupby(["source", "strategy"], observed=True)
        }
        self._about: dict[str, dict[str, Any]] = {}
        for writer in log.writers:
            if writer.get("attempt", 0) == number:
                about = dict(writer.get("about") or {})
                known = self._about.setdefault(str(writer["source"]), about)
                if about.get("ids") != known.get("ids"):  # of several ranks, each with a number of its own
                    known["ids"] = ""
        self._asked = asked
        self._frames = frames
        self._baselines: dict[str, Baseline] = {}
        self._live: dict[str, Tables] = {}

    def entries(self) -> list[tuple[str, Asked]]:
        """The runs in order: as they were asked for, then what else was logged."""
        asked = [(self._asked.source, entry) for entry in self._asked.strategies] if self._asked else []
        named = {(source, entry.strategy) for source, entry in asked}
        others = [(s, Asked(t, finished=True)) for s, t in self._groups if (s, t) not in named]
        return asked + [(s, entry) for s, entry in others if entry.strategy not in BASELINES]

    def run(self, source: str, entry: Asked) -> Run:
        """One run's figures and findings."""
        workers = entry.workers or int(self._about.get(source, {}).get("workers", 0))
        made = Run(
            self._run, source, entry.strategy, workers, entry.skipped, _error(entry), attempt=self._number
        )
        group = self._groups.get((source, entry.strategy))
        if group is None or entry.skipped:
            return made
        table = self._tables(group)
        if table.delivered.empty and table.raised.empty:
            return replace(made, skipped=_UNSEEN) if entry.strategy == LIVE else made
        if entry.strategy == LIVE:
            self._live[source] = table
        evidence = self._evidence(made, table)
        self._frames.add(made, "epochs", evidence.epochs)
        self._frames.add(made, "workers", evidence.shares)
        self._frames.add(made, "batches", uniqueness.batches(table))
        findings, verdicts = diagnose(evidence)
        return replace(made, findings=findings, verdicts=verdicts)

    def between_sources(self) -> list[tuple[Finding | None, Verdict]]:
        """What is wrong between the sources of a live training, once `run` has been called for each."""
        parts = []
        for name, table in self._live.items():
            about = {key: str(value) for key, value in self._about.get(name, {}).items()}
            parts.append(
                Part(
                    name,
                    about.get("split", ""),
                    about.get("ids", ""),
                    table,
                    about.get("kind", ""),
                    about.get("framework", ""),
                )
            )
        return split_leak.between(parts)

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
        figures["workers_configured"] = _configured(run, figures["workers"])
        asked, about = self._asked, self._about.get(run.source, {})
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
            str(about.get("framework", "")),
        )


def _configured(run: Run, seen: pd.Series) -> float:
    """How many workers there were to be; NaN where only the framework's own call knew it, as in tf_keras."""
    configured = run.workers_configured or 1
    return float("nan") if run.strategy == LIVE and (seen > configured).any() else configured


def _error(entry: Asked) -> str | None:
    if entry.error or entry.finished:
        return entry.error
    return "the audit ended before this strategy did: its process was killed, or is still running"


def _notes(health: Health, asked: list[Manifest], events: pd.DataFrame) -> list[str]:
    notes = []
    made = events[events["stage"] == "produced"]
    unseen = sorted(
        {str(name) for name in made["source"]} - {str(name) for name in events["source"][handed_over(events)]}
    )
    if unseen:
        notes.append(
            f"no consumer of {', '.join(unseen)} was watched: the figures count what was produced, not what "
            "was delivered."
        )
    if not health.complete:
        notes.append(f"the log is not whole: {health.lost}. What is missing may hold duplicates.")
    for source, said in made.groupby("source", observed=True)["text"].unique().items():
        unhashable = sorted({text for text in said if text})
        if unhashable:
            notes.append(
                f"{source} yields what cannot be hashed by value ({unhashable[0]}): how many of its batches "
                "are different is not known."
            )
    if any(one.kind == "iterator" and not one.renewable for one in asked):
        notes.append(
            "the source was one iterator, which has one pass: there is no serial baseline. Give a callable "
            "that makes it for the full diagnosis."
        )
    return notes
