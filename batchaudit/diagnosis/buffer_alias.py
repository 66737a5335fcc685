"""`buffer-alias`: one buffer is filled again while a batch that waits in a queue still points to it.

It needs both ends of a queue: the content of a batch when it was made and when it was handed on. That is what
tells it from its neighbours: replicas make equal batches, a race makes torn ones, and here what was made is
right. A conversion on the way changes every batch, and never into what was made for another one. Where bytes
are converted, too, what remains is that batches were made different and arrive equal, one behind the other.

A `DataLoader` puts batches together out of samples that wait just so; there the probe `kept` sees both ends.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from batchaudit.analysis import aliasing
from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, Judgement, found, not_observable, ruled_out, short

CAUSE = "buffer-alias"


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether batches were overwritten between their making and their delivery.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    within = _within_batches(evidence)
    if within is not None:
        return within
    passed = aliasing.passages(evidence.tables)
    if passed.empty:
        return _unseen(evidence)
    if not evidence.hashed:
        return not_observable(
            "the batches hold what cannot be hashed by value: whether they changed is not known"
        )
    if bool(passed["changed"].any()):
        return found(_finding(evidence, passed, passed[passed["changed"]]))
    if bool(passed["converted"].any()):
        return _of_converted(evidence, passed)
    if evidence.family == "serial":
        return ruled_out("each batch was used before the next one was made")
    if int(passed["overtaken"].sum()) < MANY_ENOUGH:
        return not_observable(
            "no batch waited in a queue, the consumer was faster than the source: audit the training itself, "
            "which is slower"
        )
    return ruled_out("every batch arrived as it was made")


def _within_batches(evidence: Evidence) -> Judgement | None:
    """Samples that are overwritten before their batch is put together, so that it was never made right."""
    told = evidence.told("kept")
    if told is None or not told["overwritten"]:
        return None
    samples, overwritten = int(told["samples"]), int(told["overwritten"])
    where = f" at {told['where']}" if told["where"] else ""
    return found(
        Finding(
            CAUSE,
            "error",
            "pipeline",
            f"{overwritten} of {samples} samples were overwritten before their batch was put together: the "
            "dataset hands out the same memory each time, and a batch holds its last sample in every place.",
            {
                "samples": samples,
                "overwritten": overwritten,
                "where": told["where"],
                "first_example": (
                    f"of {samples} samples, made one after another, {overwritten} came to hold{where} "
                    "what was made for a later one"
                ),
            },
            fixes.of(CAUSE, evidence),
        )
    )


def _unseen(evidence: Evidence) -> Judgement:
    delivered = evidence.tables.delivered
    if len(delivered) and bool((delivered["stage"] == "produced").all()) and evidence.live:
        return ruled_out("each batch was made when the training asked for it: none waited in a queue")
    return not_observable(
        "which produced batch a delivered one came from is not known: wrap what is given to fit() itself, or "
        "use ba.audit"
    )


def _of_converted(evidence: Evidence, passed: pd.DataFrame) -> Judgement:
    """Batches were converted on their way: only what became equal can be told."""
    merged = passed[aliasing.neighbours(passed)]
    if len(merged) >= MANY_ENOUGH - 1:
        return found(_finding(evidence, passed, merged))
    return not_observable(
        "the batches are converted on their way, so what was made cannot be compared with what arrived: make "
        "the source yield the dtypes that arrive"
    )


def _finding(evidence: Evidence, passed: pd.DataFrame, changed: pd.DataFrame) -> Finding:
    doubled, lost = int(aliasing.neighbours(passed).sum()), aliasing.lost(passed)
    return Finding(
        CAUSE,
        "error",
        "worker" if evidence.made["worker"].nunique() > 1 else "pipeline",
        f"{len(changed)} of {len(passed)} batches held something else when they arrived than when they were "
        f"made: their memory was filled again while they waited; {doubled} repeat the batch before them.",
        {
            "changed": len(changed),
            "compared": len(passed),
            "hold_another_batch": int(changed["foreign"].sum()),
            "repeat_the_batch_before": doubled,
            "made_and_never_delivered": lost,
            "changed_by_epoch": _by_epoch(passed, changed),
            "first_example": _example(evidence, passed, changed),
        },
        fixes.of(CAUSE, evidence),
    )


def _by_epoch(passed: pd.DataFrame, changed: pd.DataFrame) -> list[int]:
    counts = changed.groupby("epoch").size().reindex(sorted(passed["epoch"].unique()), fill_value=0)
    return [int(count) for count in counts]


def _example(evidence: Evidence, passed: pd.DataFrame, changed: pd.DataFrame) -> str:
    row = changed.iloc[0]
    produced, delivered = evidence.tables.produced, evidence.tables.delivered
    made = produced.loc[delivered["made"][row.name]]
    arrived = delivered.loc[row.name]
    by = f" by worker {int(row['worker'])}" if row["worker"] >= 0 else ""
    said = (
        f"epoch {int(row['epoch'])} step {int(row['step'])} was made{by} as batch "
        f"{short(int(made['digest_hi']))} and arrived as {short(int(arrived['digest_hi']))}"
    )
    source = produced[(produced["digest_lo"] == row["after"]) & (produced.index != made.name)]
    if source.empty:
        return said
    other = delivered[delivered["made"] == source.index[0]]
    whose = (
        "made later"
        if other.empty
        else f"made for epoch {int(other['epoch'].iloc[0])} step {int(other['step'].iloc[0])}"
    )
    return f"{said}, which was {whose}"
