"""Several runs in one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from batchaudit.advice import Advice
from batchaudit.health import together
from batchaudit.report.model import Report

if TYPE_CHECKING:
    from collections.abc import Iterable


def combine(reports: Sequence[tuple[str, Report]]) -> Report:
    """Puts reports side by side; nothing is compared between them.

    Args:
        reports: each with the path that it was read from, which names its run where two share a name.

    Returns:
        A report of all their runs; complete if all of them are.
    """
    if len(reports) == 1:
        return reports[0][1]
    parts = (
        [_renamed(report, path) for path, report in reports] if _clash(reports) else [r for _, r in reports]
    )
    return Report(
        runs=tuple(run for part in parts for run in part.runs),
        epochs=_stack(part.epochs for part in parts),
        workers=_stack(part.workers for part in parts),
        batches=_stack(part.batches for part in parts),
        pooled=_stack(part.pooled for part in parts),
        timing=_stack(part.timing for part in parts),
        emitted=_stack(part.emitted for part in parts),
        coverage=_stack(part.coverage for part in parts),
        overlap=_stack(part.overlap for part in parts),
        advice=Advice(tuple(one for part in parts for one in part.advice)),
        complete=all(part.complete for part in parts),
        notes=tuple(dict.fromkeys(f"{path}: {note}" for path, report in reports for note in report.notes)),
        ranks=_union(part.ranks for part in parts),
        missing_ranks=_missing(parts),
        attempts=_union(part.attempts for part in parts),
        across=tuple(finding for part in parts for finding in part.across),
        across_verdicts=tuple(dict.fromkeys(one for part in parts for one in part.across_verdicts)),
        log=together(part.log for part in parts),
    )


def _clash(reports: Sequence[tuple[str, Report]]) -> bool:
    names = [name for _, report in reports for name in {run.run for run in report.runs}]
    return len(names) != len(set(names))


def _renamed(report: Report, name: str) -> Report:
    def of_run(frame: pd.DataFrame) -> pd.DataFrame:
        # As objects: pyarrow's strings, which pandas would take, refuse a file name that is no UTF-8.
        return frame.assign(run=pd.Series(name, index=frame.index, dtype=object))

    return replace(
        report,
        runs=tuple(replace(run, run=name) for run in report.runs),
        epochs=of_run(report.epochs),
        workers=of_run(report.workers),
        batches=of_run(report.batches),
        pooled=of_run(report.pooled),
        timing=of_run(report.timing),
        emitted=of_run(report.emitted),
        coverage=of_run(report.coverage),
        overlap=of_run(report.overlap),
    )


def _stack(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    # An empty frame has no types of its own, and would only spoil those of the others.
    listed = list(frames)
    filled = [frame for frame in listed if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else listed[0]


def _union(numbers: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({number for some in numbers for number in some}))


def _missing(parts: Sequence[Report]) -> tuple[int, ...]:
    """The ranks that one log lacks and no other has."""
    lacking = {rank for part in parts for rank in part.missing_ranks}
    return tuple(sorted(lacking - set(_union(part.ranks for part in parts))))
