"""`unsharded-replica` between ranks: training processes that were each given the whole stream.

Ranks are compared batch by batch at equal steps, and by their items in whatever order. A training has no
serial baseline, so what is compared must speak for itself: ranks that slice different orders have only a
share each, sampling with replacement repeats items within a rank, and batches that were drawn from equal
random states are equal without any data behind them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from batchaudit.analysis import apart, codes, replicas
from batchaudit.analysis.apart import Apart
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.seeds import moved, moved_streams
from batchaudit.diagnosis import fixes, pages
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    Judgement,
    found,
    listed,
    not_observable,
    ruled_out,
    short,
)

_ALMOST_ALL = 0.9
_CONSTANT = 0.5
_FEW = 0.02
_FAR_BEYOND = 1.5
_SURELY_BEYOND = 1.75

Group = list[int]


def judge(ranks: Ranks, cause: str) -> Judgement:
    """Says whether training processes were given the same.

    Args:
        ranks: what they were given of one source.
        cause: the slug to report.

    Returns:
        The judgement.
    """
    if not all(one.hashed for one in ranks.of.values()):
        return not_observable("the batches hold what cannot be hashed by value: which are equal is not known")
    known = apart.of_ranks(ranks)
    items = known.items("rank")
    groups = _equal_batches(ranks)
    by_batch = bool(groups)
    if by_batch and not _stored(ranks, known):
        return not_observable(
            "the ranks drew equal batches from equal random states: repair rng-clone, then audit again"
        )
    if not by_batch:
        if not known.by:
            return not_observable(known.why)
        groups = _equal_items(ranks, items)
    if not groups:
        return ruled_out("the ranks were given different samples")
    if next(iter(ranks.of.values())).split == "validation":
        return ruled_out("each rank validates on everything, which changes no mean")
    example = _batch_example(ranks, groups[0]) if by_batch else _item_example(known, items, groups[0])
    return found(_finding(ranks, cause, groups, by_batch, known, example))


# -- batch by batch -------------------------------------------------------------------------------


def _batches(ranks: Ranks) -> pd.DataFrame:
    delivered = ranks.pooled.delivered  # by epoch and step
    values = {name: delivered[name].to_numpy() for name in ("epoch", "rank", "digest_lo")}
    labels, rank = codes.ranked(values["rank"])
    order = np.concatenate(codes.rows_of(rank, len(labels)))
    rows = pd.DataFrame({name: column[order] for name, column in values.items()}, copy=False)
    return replicas.items_of(rows, "rank", "digest_lo")


def _equal_batches(ranks: Ranks) -> list[Group]:
    """The ranks whose batches are equal at equal steps."""
    batches = _batches(ranks)
    if _chance_of_equal(batches) > _CONSTANT:
        return []

    def equal(pairs: list[replicas.Pair]) -> bool:
        walked = sum(pair.walked for pair in pairs)
        return walked >= MANY_ENOUGH and sum(pair.in_step for pair in pairs) >= _ALMOST_ALL * walked

    return _groups(batches, equal)


def _chance_of_equal(batches: pd.DataFrame) -> float:
    """How likely two batches of one rank's epoch are equal, in the rank in which that is least likely."""
    held, ranks = _held(batches)
    rank = held.group % ranks
    alike = np.zeros(ranks, np.int64)
    np.add.at(alike, rank, held.times**2)
    of_rank = np.zeros(ranks, np.int64)
    np.add.at(of_rank, rank, held.times)
    return float((alike / of_rank**2).min()) if ranks else 0.0


def _held(items: pd.DataFrame) -> tuple[codes.Pairs, int]:
    """How often each rank had each item in each epoch, in groups epoch * ranks + rank; how many ranks."""
    labels, who = codes.ranked(items["who"].to_numpy())
    epoch = codes.ranked(items["epoch"].to_numpy())[1]
    return codes.pairs(epoch * len(labels) + who, items["item"].to_numpy()), len(labels)


def _stored(ranks: Ranks, known: Apart) -> bool:
    """Whether equal batches are of stored items, and not made of equal random numbers alone."""
    if known.by == "id" or not _drawn_alike(ranks):
        return True
    rows = known.rows
    return len(rows) > 0 and bool(rows.groupby("item")["epoch"].nunique().gt(1).mean() > _CONSTANT)


def _drawn_alike(ranks: Ranks) -> bool:
    """Whether most batches were drawn from a random state that another rank had at the same step."""
    made = ranks.pooled.produced
    made = made[made["delivered"]]
    for stream in moved_streams(ranks.pooled):
        drew = made[moved(made, stream) & (made[f"rng_{stream}_before"] != 0)]
        sharing = drew.groupby(["epoch", "step", f"rng_{stream}_before"])["rank"].transform("nunique")
        if int((sharing > 1).sum()) >= _ALMOST_ALL * len(made):
            return True
    return False


def _batch_example(ranks: Ranks, group: Group) -> str:
    delivered = ranks.pooled.delivered
    first, second = (delivered[delivered["rank"] == rank] for rank in group[:2])
    place = ["epoch", "step", "digest_hi"]
    same = first[place].merge(second[place], on=place).iloc[0]
    who = " and ".join(f"rank {rank} step {int(same['step'])}" for rank in group[:2])
    return f"{who} were given batch {short(int(same['digest_hi']))} in epoch {int(same['epoch'])}"


# -- item by item ---------------------------------------------------------------------------------


def _equal_items(ranks: Ranks, items: pd.DataFrame) -> list[Group]:
    """The ranks that were given the same items, in whatever order."""
    if items.empty or not _walked(items) or _have_their_share(ranks, items):
        return []
    # No replica walks backwards: that is a listing the other way round, of which each took a slice.
    if any(pair.reversed and pair.alike == 1 for pair in replicas.compare(items)):
        return []
    groups = _groups(items, lambda pairs: all(map(_replicated, pairs)))
    count = _count(ranks)
    if not groups and count is not None:
        # Endless streams whose epochs end before they have gone round. What a rank has may be its own share.
        seen = int(items["item"].nunique())
        walking = replicas.walkers(items, max(count, seen), _FAR_BEYOND if seen <= count else _SURELY_BEYOND)
        share = max(1, max(count, seen) // len(ranks.of))
        enough = len(walking) > 1 and replicas.doubled(items, share) >= 1 - _ALMOST_ALL
        groups = [walking] if enough else []
    return groups


def _replicated(pair: replicas.Pair) -> bool:
    return pair.alike >= _ALMOST_ALL and min(pair.sizes) >= 2 * MANY_ENOUGH


def _walked(items: pd.DataFrame) -> bool:
    """Whether each rank goes round its items: none comes much oftener than another, as in draws."""
    held, _ = _held(items)
    first = codes.starts(held.group)
    if bool((np.maximum.reduceat(held.times, first) - np.minimum.reduceat(held.times, first) <= 1).all()):
        return True
    figures = replicas.spread(items)
    return int(figures["within"].sum()) <= _FEW * int(figures["total"].sum())


def _count(ranks: Ranks) -> int | None:
    """How many items the source says it has, in every rank."""
    counts = {one.items for one in ranks.of.values()}
    return counts.pop() if len(counts) == 1 else None


def _have_their_share(ranks: Ranks, items: pd.DataFrame) -> bool:
    """Whether all ranks together were given no more than the source has: a share each, of whatever orders."""
    count = _count(ranks)
    if count is None:
        return False
    return int(np.bincount(codes.ranked(items["epoch"].to_numpy())[1]).max()) <= (1 + _FEW) * count + len(
        ranks.of
    )


def _groups(items: pd.DataFrame, equal: Callable[[list[replicas.Pair]], bool]) -> list[Group]:
    by_pair: dict[tuple[int, int], list[replicas.Pair]] = {}
    for pair in replicas.compare(items):
        by_pair.setdefault(pair.who, []).append(pair)
    return replicas.groups([who for who, pairs in by_pair.items() if equal(pairs)])


def _item_example(known: Apart, items: pd.DataFrame, group: Group) -> str:
    example = replicas.example(items, group)
    if example is None:
        return ""
    who = " and ".join(f"rank {rank}" for rank in example[2])
    return f"{who} were both given sample {known.named(example[0], 'rank')} in epoch {example[1]}"


# -- the finding ----------------------------------------------------------------------------------


def _finding(
    ranks: Ranks, cause: str, groups: list[Group], by_batch: bool, known: Apart, example: str
) -> Finding:
    unit = "samples" if known.by else "batches"
    figures = replicas.spread(known.items("rank") if known.by else _batches(ranks))
    first = figures.iloc[0]
    in_step = "the same batches at the same steps"
    what = in_step if by_batch else "the same samples, each in an order of its own"
    who = " and ".join(f"Ranks {listed(group)}" for group in groups[:4])
    return Finding(
        cause,
        "error",
        "rank",
        f"{who} of {len(ranks.of)} were given {what}: {int(first['different'])} different {unit} of "
        f"{int(first['total'])} in epoch {int(first['epoch'])}. Only ranks of one model-parallel group "
        "(tensor, sequence, pipeline) are meant to be equal.",
        {
            "groups": [group[:64] for group in groups[:64]],
            "compared": "batches" if by_batch else f"samples, by {known.by}",
            "unit": unit,
            "different_by_epoch": [int(value) for value in figures["different"]],
            "delivered_by_epoch": [int(value) for value in figures["total"]],
            "copies": float(np.round(first["total"] / max(1, first["different"]), 3)),
            "first_example": example,
        },
        _fix(cause, next(iter(ranks.of.values()))),
    )


def _fix(cause: str, evidence: Evidence) -> str:
    # A dataset that is indexed is shared out by its sampler, one that is iterated by itself.
    if evidence.framework == "torch" and "items" in evidence.about:
        return pages.fix(cause, "torch DistributedSampler")
    return fixes.of(cause, evidence)
