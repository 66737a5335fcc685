"""`rng-epoch-reset`: the random state starts over each epoch, so every epoch is augmented alike.

It needs two epochs and a random stream that moved. Workers that are forked anew each epoch from a parent
that draws nothing begin each epoch from the same state; so does a source that seeds at an epoch's start.
"""

from __future__ import annotations

import numpy as np

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import moved, new_states
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, NO_STREAM, Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.reseeding import draws_for_each_batch, reseeding_streams

CAUSE = "rng-epoch-reset"
_MOST = 0.5  # of an epoch's draws must begin from a state that an earlier epoch had at that step


def judge(evidence: Evidence) -> Judgement:
    """Says whether the random state starts over with each epoch.

    Args:
        evidence: one run.

    Returns:
        The judgement.
    """
    made = evidence.made[evidence.made["epoch"] >= 0]
    epochs = sorted(made["epoch"].unique())
    if not evidence.streams:
        return not_observable(NO_STREAM)
    if len(epochs) < 2:
        return not_observable("only one epoch was seen: drive 2 or more")
    own = set(reseeding_streams(evidence))
    repeated: dict[str, list[float]] = {}
    seen = False
    for stream in evidence.streams:
        if stream in own or (evidence.renewed and stream == "private"):
            # What the source holds is new in every epoch because the audit made a new source.
            continue
        drew = made[moved(made, stream)]
        if drew.groupby("epoch").size().max() < MANY_ENOUGH:
            continue
        seen = True
        shares = [
            1 - new_states(made, made[made["epoch"] == epoch], int(epoch), stream) for epoch in epochs[1:]
        ]
        known = [share for share in shares if not np.isnan(share)]
        visible = draws_for_each_batch(evidence, stream) or _batches_repeat(evidence)
        if known and np.mean(known) >= _MOST and visible:
            repeated[stream] = [round(float(share), 3) for share in known]
    if repeated:
        return found(_finding(evidence, repeated, len(epochs)))
    if not seen:
        if own:
            return ruled_out("the source seeds its random stream anew for each batch")
        return not_observable(
            f"fewer than {MANY_ENOUGH} draws an epoch, or only from streams that each new source begins "
            "anew: give an endless source and steps_per_epoch"
        )
    return ruled_out("each epoch's draws began from states that no earlier epoch had at that step")


def _batches_repeat(evidence: Evidence) -> bool:
    """Whether the epochs after the first hold next to no batch that is new, as serial epochs would."""
    sequence = evidence.baseline.sequence()
    by_design = len(np.unique(sequence)) <= 0.5 * len(sequence)
    later = evidence.epochs[evidence.epochs["epoch"] > 0]
    return not by_design and bool((later["new_unique"] <= 0.1 * later["unique"]).all())


def _finding(evidence: Evidence, repeated: dict[str, list[float]], epochs: int) -> Finding:
    worst = max(np.mean(shares) for shares in repeated.values())
    named = " and ".join(fixes.STREAM_NAMES[stream] for stream in repeated)
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{worst:.0%} of the draws after the first of {epochs} epochs repeat the draws of an earlier one: "
        f"{named} starts over each epoch.",
        {
            "streams": sorted(repeated),
            "epochs": epochs,
            "repeated_share_by_epoch": repeated,
            "new_unique_batches_by_epoch": [_plain(value) for value in evidence.epochs["new_unique"]],
        },
        fixes.seed_per_epoch(evidence),
    )


def _plain(value: float) -> int | None:
    return None if np.isnan(value) else int(value)
