"""`unsharded-replica`: every worker walks the whole stream, so each batch is delivered once a worker.

It needs two workers with three steps each. Replicas of a deterministic stream emit the same batches at
the same local steps, and no random stream has to do with it: where the batches were drawn from equal
states, the shared state explains them (`rng-clone`), and nothing can be said here. Replicas that each
shuffle for themselves emit the same samples in orders of their own: repeated between workers, never
within one, and each worker goes far beyond its share.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import MOST_WORKERS, moved
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    MANY_ENOUGH,
    TOO_FEW_STEPS,
    Judgement,
    found,
    listed,
    not_observable,
    one_worker,
    ruled_out,
    short,
)

CAUSE = "unsharded-replica"
_ALMOST_ALL = 0.9
_FAR_BEYOND = 1.5  # times a worker's share, without a sample twice: it walks more than its share


def judge(evidence: Evidence) -> Judgement:
    """Says whether workers are unsharded replicas.

    Args:
        evidence: one run.

    Returns:
        The judgement.
    """
    made = evidence.made[evidence.made["epoch"] >= 0]
    steps = made.groupby("worker").size()
    if evidence.threaded:
        return ruled_out("the workers are threads that share one source")
    if len(steps) < 2:
        return one_worker(evidence, "one worker has no replica")
    if (steps >= MANY_ENOUGH).sum() < 2:
        return not_observable(TOO_FEW_STEPS)
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are equal is not known")
    if _chance_of_equal(evidence) > 0.5:
        return not_observable(
            "the source repeats its batches without workers, too: replicas look no different"
        )
    pairs = _compare(made, evidence.streams)
    equal = [pair for pair in pairs if pair["walked"] >= MANY_ENOUGH and pair["walked_alike"] >= _ALMOST_ALL]
    if equal:
        return found(_finding(evidence, made, equal))
    by_sample = _own_orders(evidence, made)
    if by_sample:
        return found(by_sample)
    if any(pair["drawn_alike"] >= MANY_ENOUGH for pair in pairs):
        return not_observable(
            "the workers drew equal batches from equal random states: repair rng-clone, then audit again"
        )
    if all(pair["steps"] < MANY_ENOUGH for pair in pairs):
        return not_observable(
            f"no two workers made {MANY_ENOUGH} batches in one epoch: use a longer epoch or fewer workers"
        )
    return ruled_out("the workers emitted different batches")


def _chance_of_equal(evidence: Evidence) -> float:
    """How likely two batches of the serial baseline are equal."""
    sequence = evidence.baseline.sequence()
    if not len(sequence):
        return 0.0
    _, counts = np.unique(sequence, return_counts=True)
    return float(((counts / len(sequence)) ** 2).sum())


def _compare(made: pd.DataFrame, streams: list[str]) -> list[dict[str, Any]]:
    """Each pair of workers of one epoch, at the local steps that both reached.

    A step counts as drawn where both drew for it from an equal state of a stream; else as walked.
    """
    pairs: dict[tuple[int, int], pd.DataFrame] = {}
    for _, here in made.groupby("epoch"):
        workers = sorted(here["worker"].unique())[:MOST_WORKERS]
        by_worker = {w: here[here["worker"] == w].set_index("local_step") for w in workers}
        for first, second in combinations(workers, 2):
            a, b = by_worker[first], by_worker[second]
            common = a.index.intersection(b.index)
            a, b = a.loc[common], b.loc[common]
            drawn = np.zeros(len(common), bool)
            for stream in streams:
                equal_state = (a[f"rng_{stream}_before"] == b[f"rng_{stream}_before"]).to_numpy()
                drawn |= equal_state & moved(a, stream).to_numpy() & moved(b, stream).to_numpy()
            same = (a["digest_lo"] == b["digest_lo"]).to_numpy()
            steps = pd.DataFrame({"step": common, "same": same, "drawn": drawn})
            key = (int(first), int(second))
            pairs[key] = pd.concat([pairs[key], steps]) if key in pairs else steps
    return [_compared(pair, steps) for pair, steps in pairs.items()]


def _compared(pair: tuple[int, int], steps: pd.DataFrame) -> dict[str, Any]:
    walked = steps[~steps["drawn"]]
    alike = walked[walked["same"]]
    return {
        "workers": pair,
        "steps": len(steps),
        "walked": len(walked),
        "walked_alike": len(alike) / len(walked) if len(walked) else 0.0,
        "drawn_alike": int((steps["drawn"] & steps["same"]).sum()),
        "first": int(alike["step"].iloc[0]) if len(alike) else -1,
    }


def _finding(evidence: Evidence, made: pd.DataFrame, equal: list[dict[str, Any]]) -> Finding:
    workers = sorted({worker for pair in equal for worker in pair["workers"]})
    best = max(equal, key=lambda pair: pair["walked"])
    first, second = best["workers"]
    step = best["first"]
    row = made[(made["worker"] == first) & (made["local_step"] == step)].iloc[0]
    return _replicas(
        evidence,
        workers,
        f"emit the same batches: {best['walked_alike']:.0%} of the steps that both reached are equal",
        {
            "equal_steps": best["walked"],
            "first_example": (
                f"worker {first} step {step} and worker {second} step {step} emitted batch "
                f"{short(int(row['digest_hi']))}"
            ),
        },
    )


def _replicas(evidence: Evidence, workers: list[int], what: str, more: dict[str, Any]) -> Finding:
    figures = evidence.epochs
    worst = figures.loc[figures["effective_ratio"].fillna(1).idxmin()]
    epoch = ""
    if not np.isnan(worst["unique"]):
        epoch = (
            f"; epoch {worst['epoch']} holds {worst['unique']:.0f} different batches of {worst['delivered']}"
        )
    shares = evidence.shares
    made = evidence.made[evidence.made["epoch"] >= 0]
    at_a_time = int(made.groupby("epoch")["worker"].nunique().max())
    who = f"{len(workers)} workers ({listed(workers)})"
    if at_a_time < len(workers):  # the framework makes them anew for each epoch
        who = f"{at_a_time} workers at a time, {len(workers)} over all epochs,"
    return Finding(
        CAUSE,
        "error",
        "pipeline" if evidence.family == "tf.data" else "worker",
        f"{who} {what}{epoch}.",
        {
            "workers": workers[:64],
            "unique_by_epoch": [None if np.isnan(value) else int(value) for value in figures["unique"]],
            "delivered_by_epoch": [int(value) for value in figures["delivered"]],
            "copies": worst["copies"],
            "shares_of_first_epoch": [int(n) for n in shares[shares["epoch"] == 0]["delivered"]],
            **more,
        },
        fixes.shard(evidence),
    )


def _own_orders(evidence: Evidence, made: pd.DataFrame) -> Finding | None:
    """Replicas that walk the same samples, each in an order of its own."""
    if evidence.kind == "indexed":
        return None  # indices are dealt out; an epoch that holds parts of two orders repeats samples, too
    tables, baseline = evidence.tables, evidence.baseline
    by_id = tables.ids_known
    if not by_id and not baseline.fixed_samples:
        return None
    column = "id" if by_id else "digest"
    has = baseline.size(column)
    rows = tables.samples.merge(
        made[["worker", "epoch"]], left_on="event", right_index=True, how="inner"
    ).sort_values(["event", "position"])
    if not has or rows.empty or bool(rows[column].isna().any()):
        return None
    workers = rows.groupby("epoch")["worker"].nunique().max()  # at a time: a pool may be made anew
    once = rows.groupby("worker").head(has)
    per_worker = once.groupby("worker")[column].agg(["size", "nunique"])
    walkers = per_worker[
        (per_worker["nunique"] >= 0.98 * per_worker["size"])
        & (per_worker["nunique"] > _FAR_BEYOND * has / workers)
    ]
    repeats = rows.groupby(["epoch", column])["worker"].nunique()
    doubled = float((repeats > 1).mean())
    if len(walkers) < 2 or doubled < 0.05:
        return None
    epoch, sample = repeats.idxmax()
    twice = rows[(rows["epoch"] == epoch) & (rows[column] == sample)]
    who = " and ".join(f"worker {worker}" for worker in twice["worker"].unique()[:2])
    which = sample if by_id else short(int(sample))
    return _replicas(
        evidence,
        [int(worker) for worker in walkers.index],
        f"each walk all samples in an order of their own: {doubled:.0%} of an epoch's samples repeat",
        {
            "first_example": f"{who} both emitted sample {which} in epoch {epoch}",
            "samples_of_the_source": int(has),
            "different_samples_by_worker": [int(value) for value in walkers["nunique"]],
            "sample_coverage_by_epoch": [
                None if np.isnan(value) else round(float(value), 3)
                for value in evidence.epochs["sample_coverage"]
            ],
        },
    )
