"""`rng-clone`: workers share a random state, so they draw the same numbers for different samples.

It needs two workers and a random stream that moved. Workers that inherit a state and draw from it go
through the same states, step by step. A source that seeds a stream anew for every batch has equal states
by its own doing, which is another cause; so a state that is merely equal before a draw proves nothing.
"""

from __future__ import annotations

import pandas as pd

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import alike, moved
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
from batchaudit.diagnosis.reseeding import draws_for_each_batch, reseeding_streams

CAUSE = "rng-clone"


def judge(evidence: Evidence) -> Judgement:
    """Says whether workers share a random state.

    Args:
        evidence: one run.

    Returns:
        The judgement.
    """
    made = evidence.made
    if not evidence.streams:
        return not_observable(NO_STREAM)
    steps = made.groupby("worker").size()
    if evidence.threaded:
        return ruled_out("the workers are threads: they share one stream and cannot hold copies of it")
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
    if any(_begun_alike(evidence, stream) for stream in streams):
        return not_observable(
            "workers began from an equal random state: whether they seeded it, or drew different amounts "
            "from it, cannot be told; draw equal amounts for each batch, or seed before the first"
        )
    return ruled_out("no two workers drew from the same random state")


def _begun_alike(evidence: Evidence, stream: str) -> bool:
    made = evidence.made[evidence.made["epoch"] >= 0]
    drew = made[moved(made, stream) & (made[f"rng_{stream}_before"] != 0)]
    workers = drew.groupby(["epoch", "local_step", f"rng_{stream}_before"])["worker"].nunique()
    return bool((workers > 1).any())


def _drawn_alike(evidence: Evidence, stream: str) -> pd.DataFrame:
    made = evidence.made[evidence.made["epoch"] >= 0]
    rows = alike(made, stream)
    # Without a serial baseline nothing tells whether the source seeds the stream itself: then only a stream
    # that goes on, from step to step, is a clone.
    goes_on = rows[f"rng_{stream}_before"].nunique() > 1
    known = evidence.baseline.first is not None
    groups = rows.groupby(["epoch", "local_step", f"rng_{stream}_before"])["digest_lo"]
    same_batches = bool((groups.nunique() < groups.size()).any())
    enough = same_batches or (len(rows) >= MANY_ENOUGH and draws_for_each_batch(evidence, stream))
    return rows if enough and (known or goes_on) else rows.iloc[:0]


def _finding(evidence: Evidence, drawn: dict[str, pd.DataFrame]) -> Finding:
    streams = sorted(drawn)
    most = max(drawn.values(), key=len)
    workers = sorted({int(worker) for rows in drawn.values() for worker in rows["worker"]})
    at_a_time = int(max(rows.groupby("epoch")["worker"].nunique().max() for rows in drawn.values()))
    draws = int(sum(moved(evidence.made, stream).sum() for stream in streams))
    repeats = int(sum(len(rows) for rows in drawn.values()))
    known = evidence.epochs["seed_divergence"].dropna()
    named = " and ".join(fixes.STREAM_NAMES[stream] for stream in streams)
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{at_a_time} workers draw the same random numbers: {repeats} of {draws} draws began from a state of "
        f"{named} that another worker had at the same step.",
        {
            "streams": streams,
            "workers": workers[:64],
            "draws": draws,
            "draws_alike": repeats,
            "lockstep": int(evidence.epochs["lockstep"].max()),
            "seed_divergence": float(known.mean()) if len(known) else None,
            "first_example": _example(most, max(drawn, key=lambda stream: len(drawn[stream]))),
        },
        fixes.seed_per_worker(evidence),
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
