"""The one result object: every face renders it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchaudit.advice import Advice
from batchaudit.diagnosis.finding import SEVERITIES, Finding, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

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
        advice: which strategy is worth its cost, for each source.
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
    advice: Advice = field(default_factory=Advice)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all runs, and those between ranks, attempts and sources."""
        return (*(finding for run in self.runs for finding in run.findings), *self.across)

    def worst(self) -> str | None:
        """The highest severity among the findings; None where there is none."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)

    def epochs_of(self, run: Run) -> pd.DataFrame:
        """The rows of `epochs` that belong to one run."""
        return _of(self.epochs, run)

    def workers_of(self, run: Run) -> pd.DataFrame:
        """The rows of `workers` that belong to one run."""
        return _of(self.workers, run)

    def batches_of(self, run: Run) -> pd.DataFrame:
        """The rows of `batches` that belong to one run."""
        return _of(self.batches, run)

    def timing_of(self, run: Run) -> pd.DataFrame:
        """The row of `timing` that belongs to one run, if there is one."""
        return _of(self.timing, run)

    def plot(self, kind: str, ax: Axes | None = None) -> Axes:
        """Draws one picture of the report; needs matplotlib.

        Args:
            kind: "timing": how long a batch takes to make and to wait for under each strategy, and its rate.
            ax: where to draw; by default new axes.

        Returns:
            The axes.

        Raises:
            UsageError: there is no such plot, or nothing to draw.
        """
        from batchaudit.report.plots import plot

        return plot(self, kind, ax)

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints: plain values only."""
        from batchaudit.report.document import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """The same document as text."""
        from batchaudit.report.document import to_json

        return to_json(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report to a file.

        Args:
            path: ending in `.html` for a page, in `.json` for a file that `Report.load` reads.

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


def _of(frame: pd.DataFrame, run: Run) -> pd.DataFrame:
    if frame.empty:
        return frame
    rows = (frame["attempt"] == run.attempt) & (frame["rank"] == run.rank)
    for name in ("run", "source", "strategy"):
        rows &= frame[name] == getattr(run, name)
    return frame[rows]
