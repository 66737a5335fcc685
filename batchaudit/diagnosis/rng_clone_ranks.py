"""`rng-clone` between ranks: workers of several training processes draw the same numbers.

Any two workers of different ranks are compared, whatever their numbers: seeds that are the sum of rank and
worker meet off the diagonal. Ranks that were given the same samples are replicas (`unsharded-replica`), and
clones only where what comes is drawn, and from one state.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from batchaudit.analysis import clones
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.seeds import moved, moved_streams
from batchaudit.analysis.tables import chosen
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    NO_STREAM,
    TOO_FEW_STEPS,
    Judgement,
    found,
    not_observable,
    ruled_out,
    short,
)
from batchaudit.diagnosis.reseeding import chooses, named, reseeding_streams

CAUSE = "rng-clone"
_OFTEN = 0.5
_CHOOSE = ("numpy", "python", "private")  # torch's own moves with every iterator that is made


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers of several ranks share a random state.

    Args:
        ranks: one source in several ranks.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    one = next(iter(ranks.of.values()))
    made = ranks.pooled.produced
    made = chosen(made, ((made["worker"] >= 0) & (made["epoch"] >= 0)).to_numpy())
    streams = moved_streams(ranks.pooled)
    if "unsharded-replica" in earlier:
        return _of_replicas(one, made)
    if not streams:
        return not_observable(NO_STREAM)
    own = {stream for evidence in ranks.of.values() for stream in reseeding_streams(evidence)}
    drawn = {}
    for stream in streams:
        rows = clones.alike_between_ranks(made, stream)
        # What moves rarely orders the samples: ranks that share them out have to agree in that.
        if stream not in own and len(rows) and moved(made, stream).mean() >= _OFTEN:
            drawn[stream] = rows
    if drawn:
        most = max(drawn, key=lambda stream: len(drawn[stream]))
        share = len(drawn[most]) / int(moved(made, most).sum())
        what = (
            f"draw the same random numbers: {share:.0%} of the draws began from a state of {named(drawn)} "
            "that a worker of another rank had at the same step"
        )
        return found(_between(one, drawn, what))
    if own & set(streams):
        return ruled_out("the source seeds its random stream anew for each batch")
    if (made.groupby("worker").size() >= MANY_ENOUGH).sum() < 2:
        return not_observable(TOO_FEW_STEPS)
    return ruled_out("no workers of two ranks drew from the same random state")


def _of_replicas(one: Evidence, made: pd.DataFrame) -> Judgement:
    """Were ranks given the same samples because all walk one stream, or because all draw alike?"""
    if chooses(one):
        drawn = {stream: clones.alike_between_epochs(made, stream) for stream in _CHOOSE}
        drawn = {stream: rows for stream, rows in drawn.items() if len(rows)}
        if drawn:
            epochs = made["epoch"].nunique()
            what = f"choose the same samples: each of {epochs} epochs begins from one state of {named(drawn)}"
            return found(_between(one, drawn, what))
    return not_observable("the ranks were given the same samples: repair unsharded-replica first")


def _between(one: Evidence, drawn: dict[str, pd.DataFrame], what: str) -> Finding:
    stream = max(drawn, key=lambda name: len(drawn[name]))
    rows = drawn[stream]
    key = ["epoch", "local_step", f"rng_{stream}_before", f"rng_{stream}_after"]
    contents = rows.groupby(key)["digest_lo"].agg(["nunique", "size"])
    equal = float((contents["nunique"] < contents["size"]).mean())
    first = rows.sort_values(["epoch", "local_step", "rank"], kind="stable").iloc[0]
    same = rows[(rows[key] == first[key]).all(axis=1)].drop_duplicates("rank").iloc[:2]
    who = " and ".join(_who(row) for row in same.to_dict("records"))
    emitted = " and ".join(short(int(value)) for value in same["digest_hi"])
    involved = sorted({int(rank) for its in drawn.values() for rank in its["rank"]})
    return Finding(
        CAUSE,
        # Other samples with equal draws are less varied; equal batches are trained on twice.
        "error" if equal > _OFTEN else "warning",
        "rank",
        f"{len(involved)} ranks {what}.",
        {
            "streams": sorted(drawn),
            "ranks": involved[:64],
            "draws_alike": len(rows),
            "batches_equal": round(equal, 3),
            "first_example": f"{who} began from the same state and emitted batches {emitted}",
        },
        fixes.of(CAUSE, one),
    )


def _who(row: dict[Any, Any]) -> str:
    worker = f" worker {int(row['framework_worker'])}" if row["framework_worker"] >= 0 else ""
    return f"rank {int(row['rank'])}{worker} step {int(row['local_step'])}"
