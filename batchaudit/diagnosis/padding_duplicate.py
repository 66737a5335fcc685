"""`padding-duplicate`: ranks, batches or shards are filled up to equal lengths with samples that come again.

It needs ids, or contents that nothing draws. An epoch is put back into the order in which its N items were
dealt out (one by one, batch by batch, in blocks). It is padded where that order is N different items and then
its own head, and the copies are exactly as many as a multiple of the ranks, of the batch size or of both asks
for. Sampling with replacement and divergent orders put copies anywhere. A stream that runs through the ends
of epochs goes on behind its copies in the next epoch; a shuffled one begins anew with other items.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from batchaudit.analysis import padding
from batchaudit.analysis.contents import hashed_by_sample, recurring
from batchaudit.analysis.ends import repeats_within
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.padded import Padded, of_batches, of_ranks, of_serial_pass, of_workers, runs_through
from batchaudit.analysis.padding import Padding
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.walk import Walk, by_content, by_id
from batchaudit.diagnosis import fixes, pages
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, Judgement, found, not_observable, ruled_out, short

CAUSE = "padding-duplicate"
_MUCH = 0.01  # of an epoch's samples: as many copies as nobody would notice in training
_SMALL = 32  # bytes of a sample: rows of a few whole numbers may be equal by themselves
_ANEW = 0.05  # fewer repeated contents from epoch to epoch than this: they are drawn anew
_GIVE_IDS = "give key=, which says what stored item a sample is"
_COPIES = ("unsharded-replica", "order-divergence", "shared-state-race", "buffer-alias")
"""What makes copies of its own, in which those of a padding do not show."""


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the batches, or the shares of the workers, are padded.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    walk, why = _walk(evidence.tables, evidence.walk)
    if walk is None:
        return not_observable(why)
    if not repeats_within(walk):
        return _without_copies(walk, evidence.tables)
    if "unsharded-replica" in earlier:
        return _spoilt("unsharded-replica")
    seen = of_batches(evidence, walk) or of_workers(evidence, walk) or of_serial_pass(evidence, walk)
    if seen is None:
        return _not_padding(walk, earlier)
    if runs_through(seen):
        return ruled_out("the stream goes on behind its copies in the next epoch: none comes too often")
    return found(_finding(evidence, seen, "worker" if seen.taker else "pipeline"))


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the shares of the ranks are padded to equal lengths.

    Args:
        ranks: one source in several ranks.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    world = len(ranks.of)
    if world <= max(ranks.of):
        return not_observable(f"the logs of {world} ranks of at least {max(ranks.of) + 1} were read")
    fixed = all(evidence.baseline.fixed_samples for evidence in ranks.of.values())
    known = by_content(ranks.pooled) if fixed and hashed_by_sample(ranks.pooled) else None
    walk, why = _walk(ranks.pooled, by_id(ranks.pooled) if ranks.pooled.ids_known else known)
    if walk is None:
        return not_observable(why)
    if not repeats_within(walk):
        return _without_copies(walk, ranks.pooled)
    if "unsharded-replica" in earlier:
        return _spoilt("unsharded-replica")
    seen = of_ranks(ranks, walk)
    if seen is None:
        return _not_padding(walk, earlier)
    return found(_finding(ranks.of[min(ranks.of)], seen, "rank"))


def _walk(tables: Tables, known: Walk | None) -> tuple[Walk | None, str]:
    """The items in order; in the user's own program, without ids, their contents. Else why there are none."""
    if known is not None and known.by in ("id", "content"):
        return known, ""
    if not hashed_by_sample(tables):
        return None, f"the samples cannot be told apart: {_GIVE_IDS}"
    walk = by_content(tables)
    again = recurring(walk.rows)
    if again is None and not repeats_within(walk):
        return None, f"one epoch does not show whether contents are drawn anew: run 2 epochs, or {_GIVE_IDS}"
    if again is not None and again < _ANEW:
        return None, f"contents are drawn anew, so that copies do not look equal: {_GIVE_IDS}"
    return walk, ""


def _without_copies(walk: Walk, tables: Tables) -> Judgement:
    if tables.delivered["epoch"].nunique() == 1 and len(tables.delivered) < MANY_ENOUGH:
        return not_observable(f"fewer than {MANY_ENOUGH} batches were delivered: use a longer epoch")
    return ruled_out(f"no {walk.unit[:-1]} came twice in an epoch")


def _spoilt(cause: str) -> Judgement:
    return not_observable(f"{cause} makes copies of its own: repair it, then audit again")


def _not_padding(walk: Walk, earlier: Collection[str]) -> Judgement:
    spoils = next((cause for cause in _COPIES if cause in earlier), None)
    if spoils is not None:
        return _spoilt(spoils)
    copies = int((walk.sizes["size"] - walk.sizes["nunique"]).sum())
    return ruled_out(f"the {copies:,} copies are not the head of an order that fills up its end")


def _finding(evidence: Evidence, seen: Padded, scope: str) -> Finding:
    epoch, one = next(iter(seen.by_epoch.items()))
    rows = seen.walk.rows[seen.walk.rows["epoch"] == epoch].reset_index(drop=True)
    share = one.copies / len(rows)
    measured = evidence.split in ("validation", "prediction")
    metrics = ", and count double in its metrics" if measured else ""
    by = ", by equal content" if seen.walk.by == "content" else ""
    by_itself = scope == "pipeline" and _may_be_the_data_s_own(evidence, seen)
    if by_itself:
        by += ", which samples so small may have by themselves"
    head = f"{one.copies:,} of the {len(rows):,} samples of epoch {epoch} are copies"
    return Finding(
        CAUSE,
        "warning" if (measured or share > _MUCH) and not by_itself else "info",
        scope,
        f"{head} that fill {one.items:,} items up to a multiple of {seen.what}{metrics}{by}.",
        {
            "items": one.items,
            "copies": one.copies,
            "formula": _formula(one, seen.what),
            "copies_by_epoch": {number: its.copies for number, its in seen.by_epoch.items()},
            "share_of_epoch": round(share, 4),
            "dealt": one.dealt,
            "filled_with": _FILLED[one.filled],
            "first_example": _example(rows, seen, one, scope),
            "compared_by": "id" if seen.walk.by == "id" else "equal content",
            "seen_in": "the serial pass" if seen.serial else "this run",
        },
        _fix(evidence, scope),
    )


def _may_be_the_data_s_own(evidence: Evidence, seen: Padded) -> bool:
    """Whether equal contents may be other items: small ones, in an order that no epoch changes."""
    if seen.walk.by != "content":
        return False
    delivered = evidence.tables.delivered
    small = float(delivered["nbytes"].sum()) <= _SMALL * int(delivered["samples"].sum())
    orders = [seen.walk.orders[epoch][: one.items] for epoch, one in seen.by_epoch.items()]
    return small and all(np.array_equal(orders[0], order) for order in orders[1:])


_FILLED = {
    padding.HEAD: "the head of the epoch's order",
    padding.LAST: "the last item of the epoch's order, again",
    padding.NEXT: "the head of the next share",
    padding.OWN: "the head of the same share",
}


def _formula(one: Padding, what: str) -> str:
    if one.filled == padding.OWN and one.copies != -one.items % one.multiple:
        return f"(-n) mod {one.multiple} in each share of n items: {one.copies:,} copies in all"
    return f"(-{one.items:,}) mod {one.multiple:,} = {one.copies:,}, {one.multiple:,} being {what}"


def _example(rows: pd.DataFrame, seen: Padded, one: Padding, scope: str) -> str:
    item = int(rows["item"].iat[one.first])
    name = f"id {item}" if seen.walk.by == "id" else f"content {short(item)}"
    first, copy = (_place(rows, row, scope) for row in (one.first, one.copy))
    return f"{name} came in {first}, and again in {copy}"


def _place(rows: pd.DataFrame, row: int, scope: str) -> str:
    at = {name: int(rows[name].iat[row]) for name in ("rank", "worker", "epoch", "step", "position")}
    who = f"{scope} {at[scope]} " if scope in at else ""
    return f"{who}epoch {at['epoch']} step {at['step']} position {at['position']}"


def _fix(evidence: Evidence, scope: str) -> str:
    if scope == "rank" and evidence.framework == "torch":
        return pages.fix(CAUSE, "torch DistributedSampler")
    return fixes.of(CAUSE, evidence)
