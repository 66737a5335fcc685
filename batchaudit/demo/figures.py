"""The figures of one run as the demo's sentences use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchaudit.report import cells

if TYPE_CHECKING:
    from batchaudit.diagnosis.finding import Finding
    from batchaudit.report.model import Report


@dataclass(frozen=True)
class Figures:
    """One pipeline under one strategy.

    Attributes:
        strategy: its name.
        delivered: batches of each epoch.
        unique: different batches of each epoch.
        over_all: different batches of all epochs together.
        coverage: the share of the images that each epoch held; NaN where it cannot be known.
        divergence: the seed divergence of each epoch; NaN where there is none.
        shares: the batches that each worker delivered, for each epoch.
        by_worker: the batches that each worker delivered, over all epochs.
        findings: what was found.
        ended: why the run was skipped or ended early; "" where it ran to its end.
    """

    strategy: str
    delivered: tuple[int, ...]
    unique: tuple[int, ...]
    over_all: int
    coverage: tuple[float, ...]
    divergence: tuple[float, ...]
    shares: tuple[tuple[int, ...], ...]
    by_worker: tuple[int, ...]
    findings: tuple[Finding, ...]
    ended: str = ""

    @property
    def total(self) -> int:
        """Batches of all epochs."""
        return sum(self.delivered)

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that were found."""
        return tuple(finding.cause for finding in self.findings)

    def found(self, cause: str) -> Finding | None:
        """The finding of a cause; None where it was not found."""
        return next((finding for finding in self.findings if finding.cause == cause), None)

    @property
    def all_different(self) -> bool:
        """Whether no epoch held a batch twice."""
        return not self.ended and self.unique == self.delivered

    @property
    def different(self) -> str:
        """How many batches of each epoch were different, in words: "8 of 32", "8, 9 and 8 of 32"."""
        same = len(set(self.unique)) == 1
        return f"{listed(self.unique[:1] if same else self.unique)} of {span(self.delivered)}"


def figures(report: Report, source: str, strategy: str) -> Figures:
    """Reads one run's figures off a report.

    Args:
        report: holds the run.
        source: the pipeline's name.
        strategy: the strategy's name.

    Returns:
        The figures; empty ones where the run delivered nothing.

    Raises:
        LookupError: the report holds no such run.
    """
    run = next((run for run in report.runs if (run.source, run.strategy) == (source, strategy)), None)
    if run is None:
        raise LookupError(f"no run of {source} under {strategy}")
    epochs, workers = report.epochs_of(run), report.workers_of(run)
    by_epoch = [workers[workers["epoch"] == epoch] for epoch in epochs["epoch"]] if len(epochs) else []
    return Figures(
        strategy=strategy,
        delivered=_column(epochs, "delivered", int),
        unique=_column(epochs, "unique", int),
        over_all=int(report.batches_of(run)["digest"].nunique()) if len(epochs) else 0,
        coverage=_column(epochs, "sample_coverage", float),
        divergence=_column(epochs, "seed_divergence", float),
        shares=tuple(tuple(int(value) for value in rows["delivered"]) for rows in by_epoch),
        by_worker=tuple(int(total) for total in workers.groupby("worker")["delivered"].sum())
        if len(workers)
        else (),
        findings=run.findings,
        ended=_reason(run.skipped, run.error),
    )


def _column(epochs: Any, name: str, kind: Any) -> tuple[Any, ...]:
    return tuple(kind(value) for value in epochs[name]) if len(epochs) else ()


def _reason(skipped: str | None, error: str | None) -> str:
    """Why a run did not go to its end: the exception at the end of the worker's traceback."""
    if skipped:
        return skipped
    lines = [line for line in (error or "").splitlines() if line and not line[0].isspace()]
    return lines[-1].split(". ")[0].rstrip(".") if lines else ""


def listed(values: Sequence[int]) -> str:
    """Numbers of epochs in words: "8, 9 and 8"."""
    words = [cells.count(value) for value in values]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "none"


def span(values: Sequence[int]) -> str:
    """The range of some whole numbers: "8", or "8 to 9"."""
    return cells.span(list(values))


def percents(values: Sequence[float]) -> str:
    """Shares of epochs: "25, 28, 31 %"; one where all are the same."""
    words = _once([cells.percent(value) for value in values])
    if all(word.endswith(" %") for word in words):
        words = [word.removesuffix(" %") for word in words[:-1]] + words[-1:]
    return ", ".join(words) or cells.UNKNOWN


def ratios(values: Sequence[float]) -> str:
    """The range of ratios of epochs: "0.00", "0.00-0.12"."""
    known = sorted(value for value in values if value == value)
    return "-".join(_once([cells.ratio(value) for value in (known[:1] + known[-1:])])) or cells.UNKNOWN


def _once(words: list[str]) -> list[str]:
    return words if len(set(words)) > 1 else words[:1]
