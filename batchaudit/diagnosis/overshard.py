"""`overshard`: the data is shared out twice, or among more replicas than there are shards.

Nothing comes twice, and only 1/k of the items comes at all: of what a serial pass has, of what the dataset
says it has, or of the range that the ids span. It is not a pass that somebody cut short, which has a prefix;
not `drop_last`, which costs each replica less than a batch; and not a sampler that draws some of the items,
which between ranks would draw some of them twice. Or some workers of a stream were never given anything: then
all may have come, and only the workers are idle. Where indices are dealt out, that is no finding.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import apart, codes, replicas, stock, strides
from batchaudit.analysis.apart import Apart
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.walk import sizes
from batchaudit.diagnosis import fixes, keyed
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    Judgement,
    found,
    listed,
    not_observable,
    one_worker,
    ruled_out,
)

CAUSE = "overshard"
_REPEATS = ("unsharded-replica", "order-divergence")
_NEAR = 0.1
_FEW = 0.01
_KNOWN = 0.9


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers share a source out twice, or more workers than shards were started.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if any(cause in earlier for cause in _REPEATS):
        return ruled_out("items come again: nothing is shared out twice")
    if "shared-state-race" in earlier:
        return not_observable("a race loses items, too: repair that first")
    if evidence.kind == "indexed" or apart.space(str(evidence.about.get("ids", ""))) == "dataset":
        return ruled_out("one process deals the indices out to the workers, each once")
    idle = _idle(evidence)
    lost = _lost(evidence)
    if isinstance(lost, tuple):
        return found(_of_workers(evidence, idle, *lost))
    if idle:
        return found(_of_idle(evidence, idle))
    if evidence.workers_seen < 2:
        return _of_stages(evidence) or one_worker(evidence, "one worker shares with nobody")
    return (
        not_observable(lost)
        if lost
        else ruled_out("the workers do not leave out all but 1/k of what a serial pass has")
    )


def _of_stages(evidence: Evidence) -> Judgement | None:
    """A pipeline that is sharded twice: by hosts and by their workers, or by mistake."""
    shards = [count for count in evidence.about.get("shards", ()) if count > 1]
    if len(shards) < 2:
        return None
    times = " and by ".join(str(count) for count in reversed(shards))
    return not_observable(
        f"the pipeline is sharded by {times}: whether other ranks have the rest of the data shows only where "
        "all of them are audited"
    )


def _idle(evidence: Evidence) -> list[int]:
    """The numbers of torch's workers that made nothing in any epoch."""
    produced, configured = evidence.tables.produced, evidence.workers_configured
    named = produced["framework_worker"] >= 0
    # torch asks its workers in turn, so each has its chance. A dynamic pool may leave one out.
    if configured < 2 or not bool((produced["framework_seed"][named] > 0).any()):
        return []
    working = sorted({int(number) for number in produced["framework_worker"][named].unique()})
    delivered = int(evidence.tables.delivered.groupby("epoch").size().min())
    made = produced.loc[named & (produced["epoch"] >= 0), ["epoch", "framework_worker"]]
    steps = made.groupby(["epoch", "framework_worker"]).size()
    if delivered < configured or steps.empty or int(steps.groupby("epoch").max().min()) < MANY_ENOUGH:
        return []
    return sorted(set(range(configured)) - set(working))


def _lost(evidence: Evidence) -> tuple[int, int, int, Apart] | str:
    """Whether only 1/k of the items came: (k, how many came, how many there are, what tells them apart).

    Else why that cannot be known, or "" where it is not so.
    """
    first = evidence.baseline.first
    if first is None:
        return "there is no serial pass that says how many items there are: use batchaudit.audit"
    known = apart.of_workers(evidence)
    serial = apart.rows_by(first, known.by)
    if not known.by or serial is None:
        return known.why or "the samples of the serial pass cannot be told apart"
    if evidence.workers_seen < 2:
        return ""
    has, came = sizes(serial), sizes(known.rows)
    if any(bool((each["nunique"] < (1 - _FEW) * each["size"]).any()) for each in (came, has)):
        return ""
    strange = float((~known.rows["item"].isin(serial["item"])).mean())
    count, most = int(has["nunique"].min()), int(came["nunique"].max())
    times = _times(count, most)
    # Each worker may have dropped a batch that was not full.
    dropped = _at_a_time(evidence) * int(evidence.tables.delivered["samples"].max())
    if times is None or count - most <= dropped or strange > 1 - _KNOWN:
        return ""
    return times, most, count, known


def _at_a_time(evidence: Evidence) -> int:
    """How many workers there were in an epoch; a pool may be made anew for each."""
    made = evidence.made
    epoch, epochs = codes.numbered(made["epoch"].to_numpy())
    return int(np.bincount(codes.pairs(epoch, made["worker"].to_numpy()).group, minlength=epochs).max())


def _times(count: int, came: int) -> int | None:
    """k, where about 1/k of the items came and k is 2 or more."""
    times = round(count / came) if came else 1
    return times if times >= 2 and abs(count / came - times) <= _NEAR * times else None


def _of_workers(
    evidence: Evidence, idle: list[int], times: int, came: int, count: int, known: Apart
) -> Finding:
    never = _first_missing(evidence, known)
    workers = _at_a_time(evidence)
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{workers} workers give {came} of the {count} samples that a serial pass has, 1/{times} of them and "
        "none twice: the source is shared out more than once.",
        {
            "k": times,
            "items": count,
            "different_by_epoch": [int(n) for n in known.rows.groupby("epoch")["item"].nunique()],
            "idle_workers": idle[:64],
            "first_example": f"sample {never} comes in a serial pass and from no worker",
        },
        fixes.of(CAUSE, evidence),
    )


def _first_missing(evidence: Evidence, known: Apart) -> str:
    first = evidence.baseline.first
    rows = None if first is None else apart.rows_by(first, known.by)
    if rows is None:
        return ""
    row = int(np.argmax(~rows["item"].isin(known.rows["item"]).to_numpy()))
    return Apart(known.by, rows).named(row, "step")


def _of_idle(evidence: Evidence, idle: list[int]) -> Finding:
    configured = evidence.workers_configured
    steps = evidence.tables.delivered.groupby("epoch").size()
    return Finding(
        CAUSE,
        "warning",
        "worker",
        f"{len(idle)} of {configured} workers ({listed(idle)}) were given nothing in any epoch: there are "
        f"fewer shards than workers, so {configured - len(idle)} make all {int(steps.iloc[0])} batches of an "
        "epoch.",
        {
            "idle_workers": idle[:64],
            "workers_configured": configured,
            "workers_with_data": configured - len(idle),
            "delivered_by_epoch": [int(n) for n in steps],
            "first_example": (
                f"worker {idle[0]} made no batch while {int(steps.iloc[0])} were delivered in epoch "
                f"{int(steps.index[0])}"
            ),
        },
        fixes.of(CAUSE, evidence),
    )


# -- ranks ----------------------------------------------------------------------------------------


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether training processes share a source out twice, or are more than there are shards.

    Args:
        ranks: what they were given of one source.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    silent = sorted(ranks.silent)
    if silent:
        return found(_of_silent(ranks, silent))
    if any(cause in earlier for cause in _REPEATS):
        return ruled_out("items come again: nothing is shared out twice")
    missing = sorted(ranks.missing)
    if missing:
        return not_observable(
            f"nothing is known of rank {listed(missing)}: put the logs of all ranks together"
        )
    known = apart.of_ranks(ranks)
    if not known.by:
        return not_observable(known.why)
    items = known.items("rank")
    figures = replicas.spread(items)
    if bool((figures["different"] < (1 - _FEW) * figures["total"]).any()):
        return ruled_out("items come again: nothing is shared out twice")
    count = stock.of_ranks(ranks, items)
    by_count = None if count is None else _of_count(ranks, figures, count)
    times = by_count or _of_stride(known, items, figures, count)
    if times is not None:
        return found(_between(ranks, known, figures, times, count if by_count else None))
    if any(one.keyed for one in ranks.of.values()) and known.ids_known:
        return not_observable(f"{keyed.NO_ORDER}: whether the ranks' ids lie on a stride is not known")
    if count is None and not known.ids_known:
        return not_observable(f"how many items there are is not known: {apart.GIVE_KEY}")
    few = count is not None and _times(count, int(figures["different"].max())) is not None
    if few and stock.whole_passes(ranks) is None:
        return not_observable("whether the passes were cut short is not known, and no stride is in their ids")
    return ruled_out("the ranks leave no part of the items out")


def _of_count(ranks: Ranks, figures: pd.DataFrame, count: int) -> int | None:
    """k, where whole passes gave 1/k of the items, about the same number in each epoch."""
    least, most = int(figures["different"].min()), int(figures["different"].max())
    if not stock.whole_passes(ranks) or most - least > _FEW * count:
        return None
    one = next(iter(ranks.of.values()))
    tail = int(one.tables.delivered["samples"].max()) * len(ranks.of)
    return _times(count, most) if count - most > tail else None


def _of_stride(known: Apart, items: pd.DataFrame, figures: pd.DataFrame, count: int | None) -> int | None:
    """k, where the ids that came are 1/k of the range that they span, and each rank's lie on a stride."""
    if not known.ids_known or not (_ascending(known) or replicas.same_in_all_epochs(items)):
        return None
    ids = known.rows["id"].to_numpy(np.int64)
    labels, rank = codes.ranked(known.rows["rank"].to_numpy())
    parts: list[Any] = [ids[its] for its in codes.rows_of(rank, len(labels))]
    times = strides.left_out(parts)
    if times is None or times < 2:
        return None
    # Somebody may give all of a part of the dataset: then only what slicing twice leaves is a defect.
    whole = count is not None and int(figures["different"].max()) >= (1 - _FEW) * count
    return None if whole and not strides.sliced_twice(parts) else times


def _ascending(known: Apart) -> bool:
    """Whether every rank has its items in the order of their ids."""
    rank, epoch, step, position, ids = (
        known.rows[name].to_numpy() for name in ("rank", "epoch", "step", "position", "id")
    )
    order = np.lexsort((position, step, epoch, rank))
    rank, epoch, ids = rank[order], epoch[order], ids[order]
    goes_on = (rank[1:] == rank[:-1]) & (epoch[1:] == epoch[:-1])
    return bool((ids[1:] > ids[:-1])[goes_on].all())


def _between(ranks: Ranks, known: Apart, figures: pd.DataFrame, times: int, count: int | None) -> Finding:
    came = int(figures["different"].max())
    of = f"of {count}" if count else f"of the {came * times} that their ids span"
    parts = known.rows.groupby("rank", sort=True)
    heads = {int(rank): rows["id" if known.ids_known else "item"].iloc[:4].tolist() for rank, rows in parts}
    said = [
        f"rank {rank} had samples {', '.join(str(int(n)) for n in head)} ..." for rank, head in heads.items()
    ]
    return Finding(
        CAUSE,
        "error",
        "rank",
        f"{len(ranks.of)} ranks were given {came} samples {of} in an epoch, 1/{times} of them and none "
        "twice: the data is shared out more than once.",
        {
            "k": times,
            "items": count,
            "different_by_epoch": [int(n) for n in figures["different"]],
            "delivered_by_epoch": [int(n) for n in figures["total"]],
            "first_example": " and ".join(said[:2]),
        },
        fixes.of(CAUSE, next(iter(ranks.of.values()))),
    )


def _of_silent(ranks: Ranks, silent: list[int]) -> Finding:
    given = {rank: len(one.tables.delivered) for rank, one in ranks.of.items() if rank not in silent}
    most = max(given, key=lambda rank: given[rank]) if given else -1
    return Finding(
        CAUSE,
        "error",
        "rank",
        f"Rank {listed(silent)} was given nothing, while rank {most} was given {given.get(most, 0)} batches: "
        "there are fewer shards than ranks.",
        {
            "silent_ranks": silent[:64],
            "delivered_by_rank": {str(rank): count for rank, count in list(given.items())[:64]},
            "first_example": f"rank {silent[0]} asked for a batch in epoch 0 and was given none",
        },
        fixes.of(CAUSE, next(iter(ranks.of.values()))),
    )
