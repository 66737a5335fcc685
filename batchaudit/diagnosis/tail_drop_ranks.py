"""`tail-drop` between ranks: together they are given less than there is, the same part in every epoch."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from batchaudit.analysis import ends, order
from batchaudit.analysis.ranks import Ranks
from batchaudit.diagnosis import pages
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, listed, not_observable, ruled_out

CAUSE = "tail-drop"
_FIRST = ("shared-state-race", "unsharded-replica", "order-divergence", "overshard")
_MUCH = 0.05  # of the data: more than that is an error


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the ranks together leave out the same samples in every epoch.

    Args:
        ranks: one source in several ranks.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    spoilt = spoilt_by(earlier)
    if spoilt is not None:
        return spoilt
    each = list(ranks.of.values())
    walks = [one.walk for one in each]
    items = {one.items for one in each}
    if any(one.by != "id" for one in walks) or len(items) != 1 or None in items:
        return not_observable(
            "which of how many stored samples the ranks have is not known: use a loader over a dataset with "
            "a length"
        )
    [total] = [int(count) for count in items if count is not None]
    epochs = min(len(one.epochs) for one in each)
    seen = np.unique(np.concatenate([ends.items_of(one) for one in walks]))
    missing = total - len(seen)
    if missing <= 0:
        return ruled_out(f"the ranks together saw all {total} samples")
    size = max(int(ends.passes(one.tables)["most"].max()) for one in each)
    repeated = [order.repetition(one.tables, one.walk) for one in each]
    stand_still = all(one is not None and one.always for one in repeated)
    unshuffled = all(one.about.get("shuffles") is False for one in each)
    if missing >= len(each) * size or any(ends.repeats_within(one) for one in walks):
        return not_observable(f"{missing} of {total} samples are missing: more than the ends of the passes")
    if not stand_still and not unshuffled:
        return not_observable(
            f"{missing} of {total} samples were not seen in {epochs} epochs, whose orders differ: run more"
        )
    absent = np.setdiff1d(np.arange(total), seen)
    example = listed([int(item) for item in absent]) if len(absent) == missing else f"{missing} samples"
    return found(
        Finding(
            CAUSE,
            severity(missing, total),
            "rank",
            f"{missing} of {total} samples are in no rank's share, in none of {epochs} epochs: what does not "
            f"divide by {len(each)} ranks, or by batches of {size}, is dropped from an order that stays.",
            {
                "ranks": sorted(ranks.of),
                "samples": total,
                "samples_of_each_rank": [len(ends.items_of(one)) for one in walks],
                "batch_size": size,
                # Ids that are no numbers of the items, such as keyed ones, do not say which are absent.
                "never_seen": [int(item) for item in absent[:16]] if len(absent) == missing else missing,
                "first_example": f"samples that no rank was given: {example}",
            },
            pages.fix(CAUSE, "torch DistributedSampler"),
        )
    )


def spoilt_by(earlier: Collection[str]) -> Judgement | None:
    """What to say where a cause that was found earlier leaves out samples, too; None where none does."""
    first = next((cause for cause in _FIRST if cause in earlier), None)
    return None if first is None else not_observable(f"{first} leaves out other samples: repair that first")


def severity(missing: int, total: int) -> str:
    """How bad it is that so many of all samples never arrive."""
    return "error" if missing > _MUCH * total else "warning"
