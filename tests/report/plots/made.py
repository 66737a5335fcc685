"""Reports over hand-made logs, with every frame that a picture is drawn from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import coverage, emission, overlap, seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.walk import walk
from batchaudit.report.model import Report, Run
from batchaudit.reporting import Frames
from tests.analysis.build import many
from tests.report.hand_made import UNSHARDED, advised_report

FRAMES = ("epochs", "workers", "batches", "pooled", "timing", "emitted", "coverage", "overlap")


def report_of(*runs: tuple[Run, Tables]) -> Report:
    """The frames of some runs as `reporting` gathers them, and the advice of another report."""
    frames = Frames()
    for run, table in runs:
        figures = uniqueness.epochs(table, Baseline())
        figures = figures.merge(seeds.divergence(table), on="epoch", how="left")
        figures = figures.merge(workers.counts(table), on="epoch", how="left")
        frames.add(run, "epochs", figures.assign(workers_configured=run.workers_configured))
        frames.add(run, "workers", workers.shares(table))
        frames.add(run, "batches", uniqueness.batches(table))
        frames.add(run, "emitted", emission.emitted(table))
        count = int(table.produced["index"].max()) + 1
        frames.add(run, "coverage", coverage.coverage(walk(table, Baseline()), None, count or None))
        frames.add(run, "overlap", overlap.overlap(table))
    return Report(
        runs=tuple(run for run, _ in runs),
        advice=advised_report().advice,
        **{name: frames.of(name) for name in FRAMES},
    )


def run(strategy: str = "fork:2", source: str = "make_loader", **known: Any) -> Run:
    return Run("today", source, strategy, **known)


@cache
def report(sick: bool, count: int, batches: int, epochs: int = 3) -> Report:
    """Replicas that all walk one stream from one random state, or workers that share the work.

    Args:
        sick: which of the two.
        count: workers.
        batches: of all epochs together.
        epochs: as many as there are batches for.
    """
    number = np.arange(batches)
    each = -(-batches // epochs)
    epoch, step = number // each, number % each
    worker, local = step % count, step // count
    index = local if sick else step
    content = 1 + epoch * each + index
    state = content + 2**32
    named = run(f"fork:{count}", workers_configured=count, findings=(UNSHARDED,) if sick else ())
    return report_of((named, many(10 + worker, content, epoch, state, index)))


def named(source: str, strategy: str) -> Report:
    """A sick report of which the names are anybody's."""
    small = report(True, 2, 30)
    (one,) = small.runs
    other = replace(one, source=source, strategy=strategy)
    frames = {
        name: getattr(small, name).assign(source=objects(source), strategy=objects(strategy))
        for name in FRAMES
        if len(getattr(small, name))
    }
    return replace(small, runs=(other,), **frames)


def objects(text: str) -> Any:
    """A column of a text that pyarrow's strings may refuse."""
    return lambda frame: pd.Series(text, index=frame.index, dtype=object)
