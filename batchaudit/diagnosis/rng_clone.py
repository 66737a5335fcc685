"""`rng-clone`: workers share a random state, so they draw the same numbers for different samples.

It needs two workers with three steps each. Workers that inherit a state and draw from it go through the same
states, step by step. A source that seeds a stream anew for every batch has equal states by its own doing,
which is another cause; so a state that is merely equal before a draw proves nothing. A state that cannot be
read shows where each worker makes one item again and again (the probe `same-index`): equal across workers and
varying within each. So it does where whole batches of different items are equal.

Items that change with every access by themselves (`inplace-mutation`), and workers that all walk one stream
(`unsharded-replica`), look like that, too: where these are found, nothing more is said of hidden states.
Between ranks, see `rng_clone_ranks`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from batchaudit.analysis import clones, codes
from batchaudit.analysis.drawn import samples_made
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.same_index import SameIndex, same_index
from batchaudit.analysis.seeds import alike, begun_alike, moved
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    NO_STREAM,
    TOO_FEW_STEPS,
    Judgement,
    found,
    not_observable,
    one_worker,
    ruled_out,
    short,
)
from batchaudit.diagnosis.reseeding import chooses, draws_for_each_batch, named, reseeding_streams
from batchaudit.diagnosis.rng_clone_ranks import CAUSE as CAUSE
from batchaudit.diagnosis.rng_clone_ranks import judge_ranks as judge_ranks

_OFTEN = 0.5
_BOTH = "; started by the other method, too: the state lies in what is sent to them, or is seeded alike"
_INHERITED = "; started by the other method they do not: they inherit it from the process that starts them"
_EXPLAIN = ("unsharded-replica", "inplace-mutation")


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers share a random state.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if evidence.threaded and not evidence.streams:
        return not_observable(NO_STREAM)
    if evidence.threaded:
        return ruled_out("the workers are threads: they share one stream and cannot hold copies of it")
    judgement = _by_streams(evidence)
    if judgement.finding is not None:
        if "unsharded-replica" in earlier and _as_serially(evidence) and not chooses(evidence):
            return not_observable("what the workers draw alike orders the stream that all of them walk")
        return judgement
    return _by_contents(evidence, earlier) or judgement


# -- streams that can be read ---------------------------------------------------------------------


def _by_streams(evidence: Evidence) -> Judgement:
    made = evidence.made
    if not evidence.streams:
        return not_observable(NO_STREAM)
    steps = made.groupby("worker").size()
    if len(steps) < 2:
        return one_worker(evidence, "one worker cannot be the clone of another")
    # Global streams of threads are one and the same; what each copy of the source holds is its own.
    streams = [name for name in evidence.streams if not evidence.shared_process or name == "private"]
    own = set(reseeding_streams(evidence))
    drawn = {stream: _drawn_alike(evidence, stream) for stream in streams if stream not in own}
    drawn = {stream: rows for stream, rows in drawn.items() if len(rows)}
    if drawn:
        return found(_finding(evidence, drawn))
    if own & set(streams):
        return ruled_out("the source seeds its random stream anew for each batch")
    if (steps >= MANY_ENOUGH).sum() < 2:
        return not_observable(TOO_FEW_STEPS)
    if any(begun_alike(evidence.tables, stream) for stream in streams):
        return not_observable(
            "workers began from an equal random state: whether they seeded it, or drew different amounts "
            "from it, cannot be told; draw equal amounts for each batch, or seed before the first"
        )
    return ruled_out("no two workers drew from the same random state")


def _drawn_alike(evidence: Evidence, stream: str) -> pd.DataFrame:
    rows = alike(evidence.tables, stream)
    # Without a serial baseline nothing tells whether the source seeds the stream itself: then only a stream
    # that goes on, from step to step, is a clone.
    goes_on = rows[f"rng_{stream}_before"].nunique() > 1
    known = evidence.baseline.first is not None
    key = ("epoch", "local_step", f"rng_{stream}_before", "digest_lo")
    same_batches = bool(codes.several(*(rows[name].to_numpy() for name in key)).any())
    enough = same_batches or (len(rows) >= MANY_ENOUGH and draws_for_each_batch(evidence, stream))
    return rows if enough and (known or goes_on) else rows.iloc[:0]


def _finding(evidence: Evidence, drawn: dict[str, pd.DataFrame]) -> Finding:
    streams = sorted(drawn)
    most = max(drawn.values(), key=len)
    workers = sorted({int(worker) for rows in drawn.values() for worker in rows["worker"]})
    at_a_time = int(max(rows.groupby("epoch")["worker"].nunique().max() for rows in drawn.values()))
    draws = int(sum(moved(evidence.made, stream).sum() for stream in streams))
    repeated = int(sum(len(rows) for rows in drawn.values()))
    known = evidence.epochs["seed_divergence"].dropna()
    return _found(
        evidence,
        f"{at_a_time} workers draw the same random numbers: {repeated} of {draws} draws began from a state "
        f"of {named(drawn)} that another worker had at the same step",
        {
            "streams": streams,
            "workers": workers[:64],
            "draws": draws,
            "draws_alike": repeated,
            "lockstep": int(evidence.epochs["lockstep"].max()),
            "seed_divergence": float(known.mean()) if len(known) else None,
            "first_example": _example(most, max(drawn, key=lambda stream: len(drawn[stream]))),
        },
    )


def _example(rows: pd.DataFrame, stream: str) -> str:
    first = rows.iloc[0]
    same = rows[
        (rows["epoch"] == first["epoch"])
        & (rows["local_step"] == first["local_step"])
        & (rows[f"rng_{stream}_before"] == first[f"rng_{stream}_before"])
    ].iloc[:2]
    step = int(first["local_step"])
    who = " and ".join(f"worker {int(row['worker'])} step {step}" for _, row in same.iterrows())
    what = " and ".join(short(int(value)) for value in same["digest_hi"])
    return f"{who} began from the same state and emitted batches {what}"


def _found(evidence: Evidence, what: str, figures: dict[str, Any]) -> Finding:
    """The finding, with how the state came to the workers where the other start method tells."""
    other = same_index(evidence.probes.get("start"))
    if other is not None and other.enough:
        figures = figures | {"alike_under_the_other_start_method": other.cloned}
        what += _BOTH if other.cloned else _INHERITED
    return Finding(CAUSE, "error", "worker", f"{what}.", figures, fixes.of(CAUSE, evidence))


# -- streams that cannot --------------------------------------------------------------------------


def _by_contents(evidence: Evidence, earlier: Collection[str]) -> Judgement | None:
    """What the contents say where no stream does; None for nothing."""
    explained = any(cause in earlier for cause in _EXPLAIN)
    same = same_index(evidence.probes.get("same-index"))
    if same is not None and same.cloned and not explained and not _as_serially(evidence):
        return found(_same_item(evidence, same))
    equal = clones.equal_though_other_items(evidence.tables)
    if len(equal):  # of different items, so that no replicas explain it
        return found(_same_batches(evidence, equal))
    if same is not None and same.fixed and not evidence.streams:
        return ruled_out("an item is the same whichever worker makes it, and however often")
    if same is not None and same.apart:
        return ruled_out("workers that made one item again and again each drew for themselves")
    return None


def _as_serially(evidence: Evidence) -> bool:
    """Whether the samples are those of a serial pass: nothing is drawn for them when they are first made."""
    first = evidence.baseline.first
    if first is None:
        return False
    ours, serial = samples_made(evidence.tables), samples_made(first)
    known = set(serial["digest"][serial["epoch"] == 0])
    return float(ours["digest"][ours["epoch"] == 0].isin(known).mean()) > _OFTEN


def _same_item(evidence: Evidence, same: SameIndex) -> Finding:
    return _found(
        evidence,
        f"{len(same.alike)} workers that each made one item {same.steps} times made it alike, step by step, "
        f"and in {same.contents[1]} ways: they draw from copies of a random state that cannot be read",
        {
            "streams": [],
            "workers": list(same.alike)[:64],
            "steps": same.steps,
            "contents_of_the_item": same.contents[1],
            "first_example": same.example,
        },
    )


def _same_batches(evidence: Evidence, equal: pd.DataFrame) -> Finding:
    first = equal.iloc[0]
    here = equal[(equal["epoch"] == first["epoch"]) & (equal["local_step"] == first["local_step"])]
    who = " and ".join(
        f"worker {int(worker)} step {int(first['local_step'])}"
        for worker in here["worker"][here["digest_lo"] == first["digest_lo"]].iloc[:2]
    )
    return _found(
        evidence,
        f"{equal['worker'].nunique()} workers made equal batches of different samples at {len(equal)} steps: "
        "what they hold is drawn, from copies of a random state that cannot be read",
        {
            "streams": [],
            "workers": sorted({int(worker) for worker in equal["worker"]})[:64],
            "batches_alike": len(equal),
            "first_example": f"{who} emitted batch {short(int(first['digest_hi']))}, of different samples",
        },
    )
