"""`rng-epoch-reset`: the random state starts over each epoch, so every epoch is augmented alike.

It needs two epochs. Workers that are forked anew each epoch from a parent that draws nothing begin each epoch
from the same state; so does a source that seeds at an epoch's start. Where a stream moves that can be read,
its states repeat by position; where none does, the probe `orders` shows draws that come again with the order,
and not with the item. What is drawn must alter the samples: a stream that only orders them gives one order
again and again, which is `stale-epoch`; one that is seeded for each item is `frozen-augmentation`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from batchaudit.analysis import codes
from batchaudit.analysis.drawn import repeats
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.placed import Placed, placed
from batchaudit.analysis.seeds import moved, new_states
from batchaudit.analysis.stages import pipeline
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, NO_STREAM, Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.reseeding import (
    NOT_TRAINED_ON,
    draws_for_each_batch,
    draws_of,
    named,
    reseeding_streams,
)

CAUSE = "rng-epoch-reset"
_EXPLAIN = ("buffer-alias", "inplace-mutation", "shared-state-race", "unsharded-replica", "order-divergence")
_MOST = 0.5  # of an epoch's draws must begin from a state that an earlier epoch had at that step


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the random state starts over with each epoch.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    made = evidence.used
    if evidence.split in NOT_TRAINED_ON:
        return ruled_out("samples that are not trained on are meant to be the same each time")
    if made["epoch"].nunique() < 2:
        return not_observable("only one epoch was seen: drive 2 or more")
    if evidence.kind == "dataset":
        return _of_pipeline(evidence)
    judgement = _by_streams(evidence)
    if judgement.finding is not None:
        return judgement
    hidden = _hidden(evidence, earlier)
    return judgement if hidden is None else hidden


# -- streams that can be read ---------------------------------------------------------------------


def _by_streams(evidence: Evidence) -> Judgement:
    if not evidence.streams:
        return not_observable(NO_STREAM)
    own = set(reseeding_streams(evidence))
    repeated, seen = _repeated(evidence, own)
    if repeated:
        return _unless_for_the_order(evidence, repeated)
    if seen:
        return ruled_out("each epoch's draws began from states that no earlier epoch had at that step")
    if own:
        return ruled_out("the source seeds its random stream anew for each batch")
    return not_observable(
        f"fewer than {MANY_ENOUGH} draws an epoch, or only from streams that each new source begins "
        "anew: give an endless source and steps_per_epoch"
    )


def _repeated(evidence: Evidence, own: set[str]) -> tuple[dict[str, list[float]], bool]:
    """Which part of each later epoch's draws repeats an earlier one's, by stream; whether there are any."""
    made = evidence.used
    repeated: dict[str, list[float]] = {}
    seen = False
    for stream in evidence.streams:
        if stream in own or (evidence.renewed and stream == "private"):
            # What the source holds is new in every epoch because the audit made a new source.
            continue
        drew = made["epoch"][moved(made, stream)]
        if drew.value_counts().max() < MANY_ENOUGH:
            continue
        seen = True
        known = [1 - share for share in new_states(evidence.tables, stream) if not np.isnan(share)]
        visible = draws_for_each_batch(evidence, stream) or _batches_repeat(evidence)
        if known and np.mean(known) >= _MOST and visible:
            repeated[stream] = [round(float(share), 3) for share in known]
    return repeated, seen


def _batches_repeat(evidence: Evidence) -> bool:
    """Whether the epochs after the first hold next to no batch that is new, as serial epochs would."""
    sequence = evidence.baseline.sequence()
    by_design = len(codes.distinct(sequence)) <= 0.5 * len(sequence)
    later = evidence.epochs[evidence.epochs["epoch"] > 0]
    return not by_design and bool((later["new_unique"] <= 0.1 * later["unique"]).all())


def _unless_for_the_order(evidence: Evidence, repeated: dict[str, list[float]]) -> Judgement:
    """A draw that repeats may decide nothing but the order."""
    again = repeats(evidence.tables)
    if again is not None and again.bound:
        probe = draws_of(evidence)
        if probe is not None and probe.complete and not probe.draws:
            return ruled_out("what is drawn alters no sample; the order alone may repeat")
        if probe is None and _one_shuffled_order(evidence):
            return not_observable(
                "draws and order repeat together: audit it before training with ba.audit to tell which"
            )
    return found(_finding(evidence, repeated))


def _one_shuffled_order(evidence: Evidence) -> bool:
    """Whether all epochs have one order, and not that of the data."""
    if evidence.walk.by != "id":
        return False
    first, *others = evidence.walk.orders.values()
    return all(np.array_equal(first, each) for each in others) and bool((np.diff(first) < 0).any())


def _finding(evidence: Evidence, repeated: dict[str, list[float]]) -> Finding:
    worst = max(np.mean(shares) for shares in repeated.values())
    return _found(
        evidence,
        f"{worst:.0%} of the draws after the first of {len(evidence.epochs)} epochs repeat the draws of an "
        f"earlier one: {named(repeated)} starts over each epoch.",
        {
            "streams": sorted(repeated),
            "repeated_share_by_epoch": repeated,
            "first_example": _example(evidence, next(iter(repeated))),
        },
    )


def _example(evidence: Evidence, stream: str) -> str:
    made = evidence.used
    drew = made[moved(made, stream)]
    key = ["epoch_step", f"rng_{stream}_after"]
    once = drew.drop_duplicates([*key, "epoch"]).sort_values(["epoch_step", "epoch"], kind="stable")
    again = once[once.duplicated(key, keep=False)]
    twice = again[(again[key] == again[key].iloc[0]).all(axis=1)].iloc[:2] if len(again) else again
    if len(twice) < 2:
        return ""
    one, other = twice.to_dict("records")
    return (
        f"worker {one['worker']} in epoch {one['epoch']} and worker {other['worker']} in epoch "
        f"{other['epoch']} ended step {one['epoch_step']} in the same state"
    )


def _found(evidence: Evidence, summary: str, what: dict[str, Any]) -> Finding:
    new = evidence.epochs["new_unique"]
    figures = {
        "epochs": len(evidence.epochs),
        "new_unique_batches_by_epoch": [None if np.isnan(value) else int(value) for value in new],
    }
    scope = "worker" if evidence.made["worker"].nunique() > 1 else "pipeline"
    return Finding(CAUSE, "error", scope, summary, figures | what, fixes.of(CAUSE, evidence))


# -- streams that cannot --------------------------------------------------------------------------


def _hidden(evidence: Evidence, earlier: Collection[str]) -> Judgement | None:
    """What the contents say where no stream does; None for nothing."""
    first = evidence.baseline.first
    serial = None if first is None else repeats(first)
    # A stream that each copy walks from its beginning comes again at its places, too; and an item that one
    # process keeps as it was first made is equal wherever that process made it before.
    if any(cause in earlier for cause in _EXPLAIN) or (serial is not None and serial.bound):
        return None
    orders, run = placed(evidence.probes.get("orders")), placed(evidence.tables)
    for seen in (orders, run):
        if seen is not None and seen.starts_over:
            return found(_by_place(evidence, seen))
    # Without ids it might be another item that comes in each serial epoch, unless it is known to be drawn.
    drawn = serial is not None and (serial.by == "id" or "rng-clone" in earlier) and not serial.equal
    if run is not None and run.repeats and not run.moved and drawn:
        return found(_by_place(evidence, run))
    # Another framework looks ahead where each of the orders begins, and draws for it.
    if orders is not None and orders.goes_on and evidence.framework == "torch":
        return ruled_out("an order that comes again draws anew")
    return None


def _by_place(evidence: Evidence, seen: Placed) -> Finding:
    elsewhere = f", and {seen.other:.0%} of {seen.moved} another elsewhere" if seen.moved else ""
    return _found(
        evidence,
        f"{seen.same:.0%} of {seen.placed} items have the same content at the same place of another "
        f"epoch{elsewhere}: a random state that cannot be read starts over each epoch.",
        {
            "streams": [],
            "same_at_the_same_place": round(seen.same, 3),
            "other_elsewhere": round(seen.other, 3) if seen.moved else None,
            "first_example": seen.example,
        },
    )


# -- tf.data --------------------------------------------------------------------------------------


def _of_pipeline(evidence: Evidence) -> Judgement:
    again = repeats(evidence.tables)
    if again is None or not again.bound:
        return ruled_out("the samples differ from epoch to epoch")
    stages = pipeline(evidence.probes.get("retrace"))
    if not stages:
        how = evidence.unprobed.get("retrace") or "audit it before training with ba.audit"
        return not_observable(f"what draws inside TensorFlow cannot be read: {how}")
    cached = max((stage.number for stage in stages if stage.name == "Cache"), default=-1)
    seeded = [stage for stage in stages if "seeded" in stage.says and stage.number > cached]
    if not seeded:
        return ruled_out("no operation with a seed of its own draws after the last cache")
    first = seeded[0]
    return found(
        _found(
            evidence,
            f"{again.equal:.0%} of the samples of {len(evidence.epochs)} epochs have a content of the first: "
            f"{first.name} draws with a seeded operation, which starts over with each pass.",
            {
                "streams": [],
                "stage": f"{first.name}, stage {first.number} from the data on",
                "same_content": round(again.equal, 3),
                "first_example": again.example,
            },
        )
    )
