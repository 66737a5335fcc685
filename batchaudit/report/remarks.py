"""What a run's figures show beside its table and findings: one line each."""

from __future__ import annotations

import pandas as pd

from batchaudit.report import cells
from batchaudit.report.model import Report, Run
from batchaudit.untrusted import shown_line

LIVE = "live"
"""The strategy of a source that the user's own program drives."""

# A difference between the workers' shares below this part of their mean is chance or a remainder.
_UNEVEN = 0.2
_MOST_SHARES = 8


def remarks(report: Report, run: Run, epochs: pd.DataFrame) -> tuple[str, ...]:
    """What else a run's figures show.

    Args:
        report: the report.
        run: one of its runs.
        epochs: the run's rows of `Report.epochs`.

    Returns:
        One line each, clean and not yet escaped for any medium.
    """
    said = (_expected(epochs), _lengths(run, epochs), _changed(epochs), _shares(report.workers_of(run)))
    return tuple(filter(None, said))


def pooled_remarks(report: Report) -> tuple[str, ...]:
    """What all ranks together were given of each source: one line each.

    Args:
        report: the report.
    """
    said = []
    for (source, strategy), rows in report.pooled.groupby(["source", "strategy"], sort=False):
        name = shown_line(source if strategy == LIVE else f"{source}, {strategy}")
        parts = [
            f"{cells.span(rows[unique].tolist())} of {cells.span(rows[total].tolist())} {what}"
            for unique, total, what in (
                ("unique", "delivered", "batches"),
                ("unique_samples", "samples", "samples"),
            )
            if not rows[[unique, total]].isna().any(axis=None)
        ]
        if parts:
            said.append(f"{name}, over all ranks: {' and '.join(parts)} of an epoch are different")
    return tuple(said)


def _expected(epochs: pd.DataFrame) -> str:
    """Where batches were repeated: how many different ones the serial baseline gave."""
    if epochs.empty:
        return ""
    known = epochs.dropna(subset=["unique", "delivered", "expected_unique"])
    repeated = known[known["unique"] < known["delivered"]]
    if repeated.empty:
        return ""
    return f"serial gives {cells.span(repeated['expected_unique'].tolist())} different batches"


def _lengths(run: Run, epochs: pd.DataFrame) -> str:
    """A training's epochs that are not equally long: the source ran out, or a queue went on across them."""
    lengths = epochs["delivered"].tolist() if run.strategy == LIVE and len(epochs) else []
    if len(set(lengths[:-1] or lengths)) < 2:  # the last one may have been cut short
        return ""
    shown = ", ".join(map(cells.count, lengths[:_MOST_SHARES]))
    more = len(lengths) - _MOST_SHARES
    return f"the epochs are not equally long: {shown}{f' and {more} more' if more > 0 else ''} batches"


def _changed(epochs: pd.DataFrame) -> str:
    """Batches that were changed on their way to the consumer."""
    changed = epochs["changed"].fillna(0) if len(epochs) else pd.Series(dtype=float)
    if not (changed > 0).any():
        return ""
    first = epochs.loc[(changed > 0).idxmax(), "epoch"]
    return (
        f"{cells.count(changed.sum())} of {cells.count(epochs['delivered'].sum())} batches were changed "
        f"between being made and being delivered, the first in epoch {first}"
    )


def _shares(workers: pd.DataFrame) -> str:
    """The shares of the epoch in which the workers' shares differ most; nothing where all are about even."""
    if workers.empty:
        return ""
    uneven = [
        (spread, epoch, rows)
        for epoch, rows in workers.groupby("epoch", sort=True)
        if (spread := _spread(rows)) > _UNEVEN
    ]
    if not uneven:
        return ""
    _, epoch, rows = max(uneven, key=lambda one: one[0])
    if len(rows) > _MOST_SHARES:
        low, high = cells.percent(rows["share"].min()), cells.percent(rows["share"].max())
        return f"uneven workers in epoch {epoch}: {len(rows)} workers with shares of {low} to {high}"
    shares = (
        f"worker {worker} {cells.percent(share)}"
        for worker, share in zip(rows["worker"], rows["share"], strict=True)
    )
    return f"uneven workers in epoch {epoch}: {', '.join(shares)}"


def _spread(rows: pd.DataFrame) -> float:
    delivered = rows["delivered"].dropna()
    if len(delivered) < 2 or delivered.max() - delivered.min() <= 1:
        return 0.0
    return float((delivered.max() - delivered.min()) / delivered.mean())
