"""Builds a comparison from the folders of two runs: log, analysis, what belongs together.

Requires pandas.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from batchaudit.analysis import compare as analysis
from batchaudit.analysis.compare import Compared, Stream
from batchaudit.analysis.sequences import Likeness
from batchaudit.analysis.tables import handed_over, tables
from batchaudit.errors import UsageError, analysing
from batchaudit.journal.asked import asked_of
from batchaudit.journal.manifest import is_shown
from batchaudit.journal.reader import Log, load
from batchaudit.report.comparison import Alone, Comparison, Grain, Pair, Side
from batchaudit.report.notes import note

_Name = tuple[str, str]
"""A source and its strategy."""


def compare(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    sources: Iterable[str] = (),
    strategies: Iterable[str] = (),
    attempt_a: int | None = None,
    attempt_b: int | None = None,
    mode: str = "tolerant",
) -> Comparison:
    """Compares what two runs delivered.

    Sources of equal names are compared under equal strategies; where each run has only one, whatever it is
    called. The attempts of a run are one stream, one after the other.

    Args:
        a: the folder of the run that the other is measured against.
        b: the folder of the other.
        sources: which sources to compare; "X=Y" is X in A with Y in B. By default all.
        strategies: the same for strategies.
        attempt_a: which attempt of A; by default all.
        attempt_b: which attempt of B; by default all.
        mode: how the logs are read: "strict", "tolerant" or "salvage"; see `load`.

    Returns:
        The comparison.

    Raises:
        UsageError: there is nothing to compare, or the logs were written with different keys.
        JournalError: a log cannot be read; in mode "strict" also one that is not complete.
        AnalysisError: what one says fits no training.
    """
    with analysing(f"{os.fspath(a)} or {os.fspath(b)}"):
        run_a, run_b = _Run.read(Path(a), "A", attempt_a, mode), _Run.read(Path(b), "B", attempt_b, mode)
        _check_keys(run_a, run_b)
        return _compare(run_a, run_b, list(sources), list(strategies))


def _compare(run_a: _Run, run_b: _Run, sources: list[str], strategies: list[str]) -> Comparison:
    names = _named(run_a, run_b, sources, strategies)
    pairs: list[Pair] = []
    alone: list[Alone] = []
    for name_a, name_b in names:
        ours, theirs = run_a.of(name_a), run_b.of(name_b)
        for rank in sorted({*ours, *theirs}):
            if name_a is not None and name_b is not None and rank in ours and rank in theirs:
                pairs.append(_pair(name_a, name_b, rank, ours[rank], theirs[rank]))
            elif rank in ours and name_a is not None:
                alone.append(Alone("a", *name_a, rank, len(ours[rank].batches)))
            elif name_b is not None:
                alone.append(Alone("b", *name_b, rank, len(theirs[rank].batches)))
    if not pairs:
        raise UsageError(_nothing(run_a, run_b))
    notes = (*run_a.notes(), *run_b.notes())
    return Comparison(run_a.side, run_b.side, tuple(pairs), tuple(alone), notes)


@dataclass(frozen=True)
class _Run:
    """One run's log.

    Attributes:
        path: its folder.
        letter: "A" or "B".
        attempts: which of its attempts are looked at.
        log: what it holds.
        groups: the events of each source and strategy that delivered anything.
    """

    path: Path
    letter: str
    attempts: tuple[int, ...]
    log: Log
    groups: dict[_Name, pd.DataFrame]

    @staticmethod
    def read(path: Path, letter: str, attempt: int | None, mode: str) -> _Run:
        log, asked = asked_of(load(path, mode=mode), [path], mode)
        known = sorted({*(number for number, _ in asked), *map(int, log.events["attempt"].unique())})
        if attempt is not None and attempt not in known:
            raise UsageError(
                f"run {letter} ({path}) has no attempt {attempt}; it has {', '.join(map(str, known))}."
            )
        chosen = known if attempt is None else [attempt]
        skipped = {
            (manifest.source, entry.strategy)
            for (number, _), manifest in asked.items()
            if number in chosen
            for entry in manifest.strategies
            if entry.skipped
        }
        events = log.events[log.events["attempt"].isin(chosen)]
        groups = {
            (str(source), str(strategy)): rows
            for (source, strategy), rows in events.groupby(["source", "strategy"], observed=True, sort=False)
            if is_shown(str(strategy)) and (source, strategy) not in skipped
        }
        return _Run(path, letter, tuple(chosen), log, groups)

    @property
    def side(self) -> Side:
        return Side(str(self.path), self.attempts, self.log.health.complete, self.log.health)

    @property
    def keys(self) -> frozenset[str]:
        """The names of the keys that its digests went through; "" for none."""
        return self.log.keys(self.attempts)

    def of(self, name: _Name | None) -> dict[int, Stream]:
        """The streams of one source under one strategy, by rank."""
        if name is None:
            return {}
        samples = self.log.samples
        parts = {}
        for attempt, events in self.groups[name].groupby("attempt"):
            parts[int(attempt)] = tables(events, samples[samples["event"].isin(events.index)])
        return analysis.streams(parts)

    def notes(self) -> list[str]:
        """What to know of this log."""
        notes = []
        if not self.side.complete:
            notes.append(note("diff-incomplete-log", letter=self.letter, lost=self.log.health.lost))
        missing = self.log.missing_ranks(self.log.events)
        if missing:
            ranks = ", ".join(map(str, missing))
            notes.append(note("diff-missing-rank", letter=self.letter, ranks=ranks))
        unseen = [source for (source, _), events in self.groups.items() if not _consumed(events)]
        if unseen:
            notes.append(note("diff-not-consumed", sources=", ".join(unseen), letter=self.letter))
        return notes


def _check_keys(a: _Run, b: _Run) -> None:
    """Refuses runs whose digests cannot be equal, whatever they delivered.

    Raises:
        UsageError: they are.
    """
    if len(a.keys | b.keys) < 2:
        return
    said = " and ".join(f"{run.letter} ({run.path}) {_written(run.keys)}" for run in (a, b))
    raise UsageError(
        f"{said}: under another key equal batches have other digests, so these streams cannot be compared. "
        "Record both with one key file, or both without."
    )


def _written(keys: frozenset[str]) -> str:
    if keys == {""}:
        return "was written without a key"
    return f"was written with {'the key' if len(keys) == 1 else 'the keys'} {', '.join(sorted(keys)) or '?'}"


def _consumed(events: pd.DataFrame) -> bool:
    return bool(handed_over(events).any()) or not bool((events["stage"] == "produced").any())


def _named(
    a: _Run, b: _Run, sources: list[str], strategies: list[str]
) -> list[tuple[_Name | None, _Name | None]]:
    """Which source under which strategy of A belongs to which of B; None where there is no such."""
    named: list[tuple[_Name | None, _Name | None]] = []
    for ours, theirs in _paired(
        a, b, _each(name[0] for name in a.groups), _each(name[0] for name in b.groups), sources, "source"
    ):
        under_a = [strategy for source, strategy in a.groups if source == ours]
        under_b = [strategy for source, strategy in b.groups if source == theirs]
        if ours is None or theirs is None:
            named += [((ours, strategy), None) for strategy in under_a if ours is not None]
            named += [(None, (theirs, strategy)) for strategy in under_b if theirs is not None]
            continue
        for left, right in _paired(a, b, under_a, under_b, strategies, "strategy"):
            named.append((None if left is None else (ours, left), None if right is None else (theirs, right)))
    return named


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _paired(
    a: _Run, b: _Run, ours: list[str], theirs: list[str], asked: list[str], what: str
) -> list[tuple[str | None, str | None]]:
    """Pairs names: as was asked; else one with one, whatever they are; else equal ones, the rest alone."""
    if asked:
        return [_asked(a, b, ours, theirs, text, what) for text in asked]
    if len(ours) == len(theirs) == 1:
        return [(ours[0], theirs[0])]
    pairs: list[tuple[str | None, str | None]]
    pairs = [(name, name if name in theirs else None) for name in ours]
    return pairs + [(None, name) for name in theirs if name not in ours]


def _asked(a: _Run, b: _Run, ours: list[str], theirs: list[str], text: str, what: str) -> tuple[str, str]:
    """Reads "NAME" or "A=B"; a name may itself hold "="."""
    if text in ours and text in theirs:
        return text, text
    cuts = [place for place, letter in enumerate(text) if letter == "="]
    for place in cuts:
        if text[:place] in ours and text[place + 1 :] in theirs:
            return text[:place], text[place + 1 :]
    raise UsageError(
        f"--{what} {text}: A ({a.path}) has {_listed(ours)}, B ({b.path}) has {_listed(theirs)}; write "
        "NAME for one that both have, A=B for two of different names."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _nothing(a: _Run, b: _Run) -> str:
    def has(run: _Run) -> str:
        return ", ".join(f"{source!r} under {strategy}" for source, strategy in run.groups) or "no batch"

    return (
        f"there is nothing to compare: A ({a.path}) has {has(a)}, B ({b.path}) has {has(b)}; pair sources of "
        "different names with --source A=B, and strategies with --strategy A=B."
    )


def _pair(name_a: _Name, name_b: _Name, rank: int, a: Stream, b: Stream) -> Pair:
    found = analysis.compare(a, b)
    first = found.first
    return Pair(
        source_a=name_a[0],
        source_b=name_b[0],
        strategy_a=name_a[1],
        strategy_b=name_b[1],
        rank=rank,
        batches=_grain(found.batches),
        samples=None if found.samples is None else _grain(found.samples),
        ids=None if found.ids is None else _grain(found.ids),
        sizes_alike=found.sizes_alike,
        first=None if first is None else {**asdict(first), "what": analysis.KINDS[first.kind]},
        notes=tuple(_pair_notes(found, a, b)),
    )


def _grain(likeness: Likeness) -> Grain:
    return Grain(likeness.same, likeness.counts, likeness.epochs)


def _pair_notes(found: Compared, a: Stream, b: Stream) -> list[str]:
    notes = []
    if not found.batches.cut_alike or (found.samples is not None and not found.samples.cut_alike):
        ours, theirs = (_lengths(stream) for stream in (a, b))
        notes.append(note("diff-cut-otherwise", ours=ours, theirs=theirs))
    return notes


def _lengths(stream: Stream) -> str:
    sizes = [int(size) for size in stream.batches.groupby("epoch").size()]
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{sizes[0]:,} in each of {len(sizes)}"
    return ", ".join(f"{size:,}" for size in sizes[:6]) + (", …" if len(sizes) > 6 else "")
