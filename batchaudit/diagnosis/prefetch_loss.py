"""`prefetch-loss`: what a queue or a look drew ahead was thrown away, or given again.

It needs both sides of the queue, of a source that goes on by itself: a generator or an iterator. A batch
that was made between two delivered ones of different epochs, and never delivered, leaves a hole. A batch that
was made once and is delivered in a later epoch again is a look that the framework replays. A source with an
index, and one that begins anew with each pass, loses nothing: its batches are made again.

What is left in a queue at the end of the run is no loss. Batches that nobody made are `tail-drop` or
`overshard`.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from batchaudit.analysis.ends import Lost, lost_between, replayed
from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, listed, not_observable, ruled_out, short

CAUSE = "prefetch-loss"


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether batches were lost or replayed where passes begin and end.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if evidence.kind in ("indexed", "arrays"):
        return ruled_out("the source has an index: what is thrown away is made again when it is asked for")
    if evidence.kind == "iterable":
        return ruled_out("each pass begins a new iterator: what the last one had drawn ahead is made again")
    if evidence.kind == "dataset":
        return not_observable(
            "what tf.data draws ahead is not seen; where it iterates a generator, wrap that, too"
        )
    if evidence.renewed:
        return ruled_out("each epoch was driven on a new iterator, of which nothing was left to lose")
    again = replayed(evidence.tables)
    if int(again["replayed"].sum()):
        return found(_replays(evidence, again))
    lost = lost_between(evidence.tables.produced)
    if lost:
        return found(_hole(evidence, lost))
    if len(again) < 2:
        return not_observable("only one epoch was seen: run 2, or two calls of fit")
    if not bool((evidence.tables.delivered["made"] >= 0).all()) and not _all_consumed(evidence):
        return not_observable("which of the batches that were made came out of the queue is not known")
    return ruled_out("between the epochs no batch was made that was not delivered")


def _all_consumed(evidence: Evidence) -> bool:
    return len(evidence.tables.produced) == len(evidence.tables.delivered)


def _severity(evidence: Evidence, severity: str) -> str:
    return severity if evidence.split in ("training", "") else "info"


def _hole(evidence: Evidence, lost: list[Lost]) -> Finding:
    produced = evidence.tables.produced
    counts = [len(each.batches) for each in lost]
    worst = max(lost, key=lambda each: len(each.batches))
    before, after = (produced.loc[label] for label in (worst.before, worst.after))
    digests = produced["digest_lo"].loc[list(worst.batches)]
    return Finding(
        CAUSE,
        _severity(evidence, "warning"),
        "pipeline",
        f"{sum(counts)} batches were made and thrown away where epochs end, {max(counts)} of them after "
        f"epoch {worst.epoch}: the source went on, and the training goes on behind a hole.",
        {
            "epochs_that_ended": [each.epoch for each in lost][:64],
            "batches_lost": counts[:64],
            "lost": [short(int(digest)) for digest in digests][:16],
            "first_example": (
                f"batch {short(int(digests.iloc[0]))} was made after batch "
                f"{short(int(before['digest_lo']))}, which ended epoch {worst.epoch}, and before "
                f"{short(int(after['digest_lo']))} of epoch {int(after['epoch'])}; it was never delivered"
            ),
        },
        fixes.of(CAUSE, evidence),
    )


def _replays(evidence: Evidence, again: pd.DataFrame) -> Finding:
    given = again[again["replayed"] > 0]
    only = given[given["replayed"] == given["batches"]]
    first = given.iloc[0]
    tables = evidence.tables
    rows = tables.delivered[tables.delivered["epoch"] == first["epoch"]]
    row = rows.iloc[0]
    numbers = listed([int(epoch) for epoch in (only if len(only) else given)["epoch"]])
    if len(only):
        said = f"epochs {numbers} hold nothing but batches that were looked at before the first one"
    else:
        said = f"epochs {numbers} begin with batches that were looked at before the first one"
    return Finding(
        CAUSE,
        _severity(evidence, "error" if len(only) else "warning"),
        "pipeline",
        f"{int(given['replayed'].sum())} batches were delivered again: {said}.",
        {
            "epochs": [int(epoch) for epoch in again["epoch"]][:64],
            "batches": [int(count) for count in again["batches"]][:64],
            "replayed": [int(count) for count in again["replayed"]][:64],
            "first_example": (
                f"batch {short(int(row['digest_lo']))} was made once and is delivered again as step "
                f"{int(row['step'])} of epoch {int(row['epoch'])}"
            ),
        },
        fixes.of(CAUSE, evidence),
    )
