"""The one result object: every face renders it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchaudit.advice import Advice
from batchaudit.diagnosis.finding import SEVERITIES, Finding, Verdict
from batchaudit.errors import UsageError
from batchaudit.health import Health

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1


def _no_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


@dataclass(frozen=True)
class Run:
    """One source under one strategy.

    Attributes:
        run: the name of the run's folder.
        source: the source's name.
        strategy: the strategy as it was asked for.
        workers_configured: how many workers it was to have; 0 for none.
        skipped: why the strategy cannot run the source; None where it could.
        error: what ended it early, with the worker's own traceback; None where nothing did.
        findings: what is wrong, most severe first.
        verdicts: one for each cause.
        attempt: which start of the run it belongs to.
        rank: which training process it was in.
    """

    run: str
    source: str
    strategy: str
    workers_configured: int = 0
    skipped: str | None = None
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    attempt: int = 0
    rank: int = 0


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        runs: one for each source and strategy, in the order in which they ran.
        epochs: pandas frame, one row an epoch of a run: what was delivered, how much of it was different, the
            seed divergence (columns: see the reference in the documentation).
        workers: pandas frame, one row a worker of an epoch: who it was and its share.
        batches: pandas frame, one row a delivered batch, digests as short hex.
        pooled: pandas frame, one row an epoch of a source that several ranks were given: the figures over all
            of them together. Empty where one rank was seen.
        complete: whether the log is whole: nothing is missing or damaged.
        notes: what a reader must know about the figures, such as an incomplete log.
        ranks: the ranks that were seen.
        missing_ranks: the ranks that the world size says should be there.
        attempts: the attempts that were seen.
        across: what is wrong between ranks, attempts or sources.
        across_verdicts: what the evidence says about causes that lie between them.
        timing: pandas frame, one row a run: how fast it was; times in seconds, rates a second.
        emitted: pandas frame, one row a batch that a worker made, with the states of the random streams
            before it: what a picture has room for, the beginning and the end of a long run.
        coverage: pandas frame, one row a piece of neighbouring stored samples: how many of them were seen,
            and how often. Of several ranks it is over all of them, under the first.
        overlap: pandas frame, one row a pair of workers, ranks or epochs: which share of their batches they
            have in common. Of several ranks it is under the first.
        advice: which strategy is worth its cost, for each source.
        log: how much of the log could be read: what was dropped, what is missing, what was not ended.
    """

    runs: tuple[Run, ...]
    epochs: pd.DataFrame
    workers: pd.DataFrame
    batches: pd.DataFrame
    pooled: pd.DataFrame
    complete: bool = True
    notes: tuple[str, ...] = ()
    ranks: tuple[int, ...] = (0,)
    missing_ranks: tuple[int, ...] = ()
    attempts: tuple[int, ...] = (0,)
    across: tuple[Finding, ...] = ()
    across_verdicts: tuple[Verdict, ...] = ()
    timing: pd.DataFrame = field(default_factory=_no_rows)
    emitted: pd.DataFrame = field(default_factory=_no_rows)
    coverage: pd.DataFrame = field(default_factory=_no_rows)
    overlap: pd.DataFrame = field(default_factory=_no_rows)
    advice: Advice = field(default_factory=Advice)
    log: Health = field(default_factory=Health)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all runs, and those between ranks, attempts and sources."""
        return (*(finding for run in self.runs for finding in run.findings), *self.across)

    def worst(self) -> str | None:
        """The highest severity among the findings; None where there is none."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)

    def epochs_of(self, run: Run) -> pd.DataFrame:
        """The rows of `epochs` that belong to one run.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `epochs`.
        """
        return _of(self.epochs, run)

    def workers_of(self, run: Run) -> pd.DataFrame:
        """The rows of `workers` that belong to one run.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `workers`.
        """
        return _of(self.workers, run)

    def batches_of(self, run: Run) -> pd.DataFrame:
        """The rows of `batches` that belong to one run.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `batches`.
        """
        return _of(self.batches, run)

    def timing_of(self, run: Run) -> pd.DataFrame:
        """The row of `timing` that belongs to one run, if there is one.

        Args:
            run: one of `runs`.

        Returns:
            At most one row, with all columns of `timing`.
        """
        return _of(self.timing, run)

    def emitted_of(self, run: Run) -> pd.DataFrame:
        """The rows of `emitted` that belong to one run.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `emitted`.
        """
        return _of(self.emitted, run)

    def coverage_of(self, run: Run) -> pd.DataFrame:
        """The rows of `coverage` that belong to one run, or to it and the other ranks.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `coverage`.
        """
        return _of(self.coverage, run, of_all_ranks=True)

    def overlap_of(self, run: Run) -> pd.DataFrame:
        """The rows of `overlap` that belong to one run, or to it and the other ranks.

        Args:
            run: one of `runs`.

        Returns:
            Those rows, with all columns of `overlap`.
        """
        return _of(self.overlap, run, of_all_ranks=True)

    def run(self, strategy: str | None = None, source: str | None = None) -> Run:
        """One of the runs.

        Args:
            strategy: the first with this strategy; by default the first with the most severe finding.
            source: the first of this source; by default of any.

        Returns:
            The run.

        Raises:
            UsageError: there is none, or no such one.
        """
        runs = [run for run in self.runs if source is None or run.source == source]
        if strategy is not None:
            runs = [run for run in runs if run.strategy == strategy]
        if not runs:
            there = ", ".join(dict.fromkeys(f"{run.strategy} of {run.source}" for run in self.runs))
            wanted = f" {strategy!r}" if strategy is not None else ""
            wanted += f" of {source!r}" if source is not None else ""
            raise UsageError(f"there is no run{wanted} in this report: it has {there or 'none'}.")
        # The most severe first; what was skipped has nothing to show.
        return min(runs, key=lambda run: (run.skipped is not None, _severity(run)))

    def plot(
        self,
        kind: str,
        ax: Axes | Figure | None = None,
        *,
        strategy: str | None = None,
        source: str | None = None,
    ) -> Axes:
        """Draws one picture of the report; needs matplotlib.

        Args:
            kind: of all runs: "unique", how many batches and samples of each epoch were different, beside
                what was expected; "timing", how long a batch takes to make and to wait for under each
                strategy. Of one run: "lanes", which worker emitted which batch; "overlap", which batches two
                workers (or ranks, or epochs) have in common; "streams", the random states that batches were
                made from; "coverage", how often each sample was seen.
            ax: where to draw; an empty figure gets axes, and the size that the picture needs; by default new
                axes of a new figure of pyplot's.
            strategy: of a picture of one run, which; by default the one with the most severe finding.
            source: the same.

        Returns:
            The axes.

        Raises:
            UsageError: there is no such plot, no such run, or nothing to draw.
        """
        from batchaudit.report.plots import OF_REPORT, plot

        of_one = strategy is not None or source is not None
        if of_one and kind in OF_REPORT:
            raise UsageError(f"the plot {kind!r} is of all runs: leave out strategy= and source=.")
        return plot(self, kind, ax, self.run(strategy, source) if of_one else None)

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints: plain values only."""
        from batchaudit.report.document import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """The same document as text."""
        from batchaudit.report.document import to_json

        return to_json(self)

    def to_markdown(self) -> str:
        """The report as Markdown that fits a comment on a pull request."""
        from batchaudit.report.markdown import as_markdown

        return as_markdown(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report to a file.

        Args:
            path: ending in `.html` for a page, in `.json` for a file that `Report.load` reads, in `.md` for
                Markdown.

        Raises:
            UsageError: another ending, or the file cannot be written.
        """
        from batchaudit.report.files import save

        save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Report:
        """Reads a report that was saved as JSON.

        Args:
            path: the file.

        Returns:
            A report equal to the saved one.

        Raises:
            UsageError: the file is missing or is no such report.
        """
        from batchaudit.report.files import load

        return load(path)

    def __str__(self) -> str:
        from batchaudit.report.console import as_text

        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from batchaudit.report.html import as_fragment

        return as_fragment(self)


def _of(frame: pd.DataFrame, run: Run, of_all_ranks: bool = False) -> pd.DataFrame:
    if frame.empty:
        return frame
    rows = frame["attempt"] == run.attempt
    if not of_all_ranks:
        rows &= frame["rank"] == run.rank
    for name in ("run", "source", "strategy"):
        rows &= frame[name] == getattr(run, name)
    return frame[rows]


def _severity(run: Run) -> int:
    """The place of a run's most severe finding among the severities; behind them where it has none."""
    return min((SEVERITIES.index(one.severity) for one in run.findings), default=len(SEVERITIES))
