"""`unsharded-replica` within a pipeline: several readers side by side, each of which reads everything.

Workers of a pipeline's own cannot be told apart from outside. Copies of one reader show as a multiplicity
that is the same for all elements, with all copies at one place of the pass: `repeat` puts them a whole pass
apart, `shuffle` anywhere, and duplicates of the data come each as often as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import NO_SAMPLES
from batchaudit.analysis.walk import by_content
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, Judgement, found, not_observable, ruled_out, short

_ALMOST_ALL = 0.9
_TOGETHER = 0.6
_BYTES = 64


def judge(evidence: Evidence, cause: str) -> Judgement:
    """Says whether a pipeline reads everything several times at once.

    Args:
        evidence: one run of a pipeline whose workers are not seen.
        cause: the slug to report.

    Returns:
        The judgement.
    """
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are equal is not known")
    if evidence.about.get("echoes"):
        return ruled_out("the pipeline repeats each element itself, by design")
    for unit, rows in _elements(evidence):
        times = [_copies_at_once(of_epoch.to_numpy()) for _, of_epoch in rows.groupby("epoch")["item"]]
        least = min(times, default=1)
        if least > 1:
            return found(_finding(evidence, cause, unit, least, rows))
    return ruled_out("the pipeline does not give every element several times at once")


def _elements(evidence: Evidence) -> Iterator[tuple[str, pd.DataFrame]]:
    delivered = evidence.tables.delivered
    yield "batch", delivered[["epoch", "step"]].assign(item=delivered["digest_lo"])
    # Sorted labels would look like copies: what has so few bytes is no witness.
    size = float(delivered["nbytes"].sum()) / max(1, int(delivered["samples"].sum()))
    if size >= _BYTES and not bool((delivered["flags"] & NO_SAMPLES).any()):
        yield "sample", by_content(evidence.tables).rows[["epoch", "step", "item"]]


def _copies_at_once(items: Any) -> int:
    """How many times each element comes, where all come as often and the copies lie together; else 1."""
    codes, counts = np.unique(items, return_counts=True)
    times = int(np.median(counts)) if len(counts) else 1
    if len(codes) < 2 * MANY_ENOUGH or times < 2 or float((counts == times).mean()) < _ALMOST_ALL:
        return 1
    # Copies that lie together leave half of the elements to the second half of the pass.
    early = len(np.unique(items[: len(items) // 2]))
    return times if early <= _TOGETHER * len(codes) else 1


def _finding(evidence: Evidence, cause: str, unit: str, times: int, rows: pd.DataFrame) -> Finding:
    epoch = int(rows["epoch"].min())
    first = rows[rows["epoch"] == epoch]
    item = first["item"].iloc[0]
    steps = [int(step) for step in first["step"][first["item"] == item].iloc[:2]]
    where = f"in steps {steps[0]} and {steps[1]}" if steps[0] != steps[1] else f"twice in step {steps[0]}"
    different = int(first["item"].nunique())
    return Finding(
        cause,
        "error",
        "pipeline",
        f"The pipeline gives each {unit} {times} times at once, as {times} readers do that each read "
        f"everything: {different} different of {len(first)} in epoch {epoch}.",
        {
            "copies_of_each": times,
            "unit": unit,
            "different": different,
            "delivered": len(first),
            "first_example": f"epoch {epoch} had {unit} {short(int(item))} {where}",
        },
        fixes.of(cause, evidence),
    )
