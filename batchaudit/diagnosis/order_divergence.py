"""`order-divergence`: replicas slice different permutations, so what some double is missing elsewhere.

It needs two replicas and what tells items apart. No replica has an item twice in an epoch, as sampling with
replacement has; together they have no more items than there are, unlike replicas that walk everything
(`unsharded-replica`); and the copies lie anywhere, where those of padding lie in the last batches. How many
items there are is known from the serial pass, or from the dataset. Where nobody says it, the share of
different ones must be that of parts of independent orders (`analysis/divergence`). An epoch that holds parts
of two orders of one source repeats items under one worker, too: workers to whom indices are dealt out are
judged only beside a serial pass that repeats nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from batchaudit.analysis import apart, divergence, replicas, stock
from batchaudit.analysis.apart import Apart
from batchaudit.analysis.divergence import Divergence
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.walk import sizes
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    Judgement,
    found,
    not_observable,
    one_worker,
    ruled_out,
)

CAUSE = "order-divergence"
_SPOILS = {
    "buffer-alias": "batches were overwritten",
    "inplace-mutation": "the stored data changes",
    "shared-state-race": "the workers disturb each other",
}
_FEW = 0.01
_IN_STEP = 0.9


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers take parts of orders of their own.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if "unsharded-replica" in earlier:
        return ruled_out("the workers are replicas that each walk everything")
    spoilt = next((why for cause, why in _SPOILS.items() if cause in earlier), "")
    if spoilt:
        return not_observable(f"{spoilt}: repair that first")
    if evidence.threaded:
        return ruled_out("the workers are threads that share one source and its order")
    if evidence.workers_seen < 2:
        return one_worker(evidence, "one worker has one order")
    known = apart.of_workers(evidence)
    dealt = _dealt(evidence)
    if not known.by:
        return not_observable(known.why)
    if known.by == "id" and apart.space(str(evidence.about.get("ids", ""))) == "dataset":
        return ruled_out("one process deals the indices out to the workers")
    count = _serial_count(evidence, known)
    if count == 0:
        return not_observable("the source repeats items without workers, too")
    if count is None and dealt:
        return not_observable(
            "indices are dealt out, and there is no serial pass to compare with: use batchaudit.audit"
        )
    items = known.items("worker")
    if any(
        pair.walked >= MANY_ENOUGH and pair.in_step >= _IN_STEP * pair.walked
        for pair in replicas.compare(items)
    ):
        return not_observable("workers go through the samples in one and the same order")
    epochs = divergence.diverged(items, count, _tail(evidence))
    if not epochs:
        return ruled_out("the workers do not double between them what is missing elsewhere")
    return found(_finding(evidence, "worker", epochs, known, items))


def _dealt(evidence: Evidence) -> bool:
    """Whether indices are dealt out to the workers, each once."""
    return evidence.kind == "indexed" or apart.space(str(evidence.about.get("ids", ""))) == "dataset"


def _serial_count(evidence: Evidence, known: Apart) -> int | None:
    """How many items a serial epoch has; 0 where one repeats some, None where there is no such pass."""
    first = evidence.baseline.first
    if first is None:
        return None
    rows = apart.rows_by(first, known.by)
    if rows is None or rows.empty:
        return None
    by_epoch = sizes(rows)
    if bool((by_epoch["nunique"] < (1 - _FEW) * by_epoch["size"]).any()):
        return 0
    return int(by_epoch["nunique"].max())


def _tail(evidence: Evidence) -> int:
    """How many items a replica's last batch may have."""
    return max(1, int(evidence.tables.delivered["samples"].max()))


# -- ranks ----------------------------------------------------------------------------------------


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether training processes take parts of orders of their own.

    Args:
        ranks: what they were given of one source.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    if "unsharded-replica" in earlier:
        return ruled_out("the ranks are replicas that each walk everything")
    known = apart.of_ranks(ranks)
    if not known.by:
        return not_observable(known.why)
    # Workers that double what a rank has say nothing of the ranks.
    items = known.items("rank")
    one = next(iter(ranks.of.values()))
    epochs = divergence.diverged(items, stock.of_ranks(ranks, items), _tail(one), listings=True)
    if not epochs:
        return ruled_out("the ranks do not double between them what is missing elsewhere")
    return found(_finding(one, "rank", epochs, known, items))


# -- the finding ----------------------------------------------------------------------------------


def _finding(
    evidence: Evidence, scope: str, epochs: list[Divergence], known: Apart, items: pd.DataFrame
) -> Finding:
    first = epochs[0]
    fixed = replicas.same_in_all_epochs(items)
    never = f"{first.missing} of {first.count} never come{' in any epoch' if fixed else ''}"
    return Finding(
        CAUSE,
        "error",
        scope,
        f"{first.replicas} {scope}s take parts of different orders: in epoch {first.epoch} {first.doubled} "
        f"samples come again from another {scope}, none from the same, and {never} ({first.share:.1%} are "
        f"different, {first.expected:.1%} are expected of independent orders).",
        _numbers(epochs, fixed) | {"compared": known.by, "first_example": _example(known, items, scope)},
        fixes.of(CAUSE, evidence),
    )


def _numbers(epochs: list[Divergence], fixed: bool) -> dict[str, Any]:
    first = epochs[0]
    return {
        "epochs": [one.epoch for one in epochs[:64]],
        "replicas": first.replicas,
        "items": first.count,
        "delivered": first.total,
        "different_by_epoch": [one.different for one in epochs[:64]],
        "doubled_by_epoch": [one.doubled for one in epochs[:64]],
        "missing_by_epoch": [one.missing for one in epochs[:64]],
        "share_seen": round(first.share, 4),
        "share_expected": round(first.expected, 4),
        "standard_deviation": round(first.deviation, 4),
        "same_in_every_epoch": fixed,
        "one_is_the_other_reversed": list(first.reversed) if first.reversed else [],
    }


def _example(known: Apart, items: pd.DataFrame, scope: str) -> str:
    example = replicas.example(items)
    if example is None:
        return ""
    row, epoch, both = example
    who = " and ".join(f"{scope} {each}" for each in both)
    return f"{who} both had sample {known.named(row, scope)} in epoch {epoch}"
