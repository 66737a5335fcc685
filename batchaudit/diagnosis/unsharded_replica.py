"""`unsharded-replica`: every replica walks the whole stream, so each item is delivered once a replica.

It needs two workers with three steps each. Replicas of a deterministic stream emit the same batches at the
same local steps, and no random stream has to do with it: where the batches were drawn from equal states,
the shared state explains them (`rng-clone`), and nothing can be said here, unless the source seeds that
stream itself. Replicas that each shuffle or augment for themselves emit the same items in orders of their
own: repeated between workers, never within one, and each goes far beyond its share. What tells items apart
is in `analysis/apart`.

Ranks are compared in `equal_ranks`, readers within a pipeline in `readers`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import apart, codes, replicas
from batchaudit.analysis.apart import Apart
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.seeds import MOST_WORKERS, moved
from batchaudit.diagnosis import equal_ranks, fixes, readers
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
from batchaudit.diagnosis.reseeding import reseeding_streams

Array = np.ndarray[Any, Any]

CAUSE = "unsharded-replica"
_ALMOST_ALL = 0.9
_FAR_BEYOND = 1.5  # times a worker's share, without a sample twice: it walks more than its share
_SURELY_BEYOND = 1.75  # where the share is only guessed: parts of different orders come to 1.58 times theirs
_DOUBLED = 0.05
_FEW = 0.02


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers, or readers within a pipeline, are unsharded replicas.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    made = evidence.used
    steps = made["worker"].value_counts()
    if evidence.kind == "dataset" and len(steps) < 2:
        return readers.judge(evidence, CAUSE)
    if evidence.threaded:
        return ruled_out("the workers are threads that share one source")
    if len(steps) < 2:
        return one_worker(evidence, "one worker has no replica")
    if (steps >= MANY_ENOUGH).sum() < 2:
        return not_observable(TOO_FEW_STEPS)
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are equal is not known")
    if _chance_of_equal(evidence, made) > 0.5:
        return not_observable(
            "the source repeats its batches without workers, too: replicas look no different"
        )
    own = reseeding_streams(evidence)  # equal by the source's own doing: they belong to what it walks
    pairs = _compare(made, [stream for stream in evidence.streams if stream not in own])
    equal = pairs[(pairs["walked"] >= MANY_ENOUGH) & (pairs["walked_alike"] >= _ALMOST_ALL)]
    if len(equal):
        return found(_finding(evidence, made, equal.to_dict("records")))
    if bool((pairs["drawn_alike"] >= MANY_ENOUGH).any()):
        return not_observable(
            "the workers drew equal batches from equal random states: repair rng-clone, then audit again"
        )
    by_sample = _own_orders(evidence)
    if by_sample:
        return found(by_sample)
    if bool((pairs["steps"] < MANY_ENOUGH).all()):
        return not_observable(
            f"no two workers made {MANY_ENOUGH} batches in one epoch: use a longer epoch or fewer workers"
        )
    return ruled_out("the workers emitted different batches")


def judge_ranks(ranks: Ranks, earlier: Collection[str] = ()) -> Judgement:
    """Says whether training processes were each given the whole stream.

    Args:
        ranks: what they were given of one source.
        earlier: the causes that have been found between them before this one is judged.

    Returns:
        The judgement.
    """
    return equal_ranks.judge(ranks, CAUSE)


# -- workers, batch by batch ----------------------------------------------------------------------


def _chance_of_equal(evidence: Evidence, made: pd.DataFrame) -> float:
    """How likely two batches are equal that one and the same walk gives."""
    sequence = evidence.baseline.sequence()
    if len(sequence):
        return _chance(sequence)
    # Without a serial baseline each worker's own steps tell: within one walk replicas do not show.
    own, count = codes.numbered(made["epoch"].to_numpy(), made["worker"].to_numpy())
    contents = codes.pairs(own, codes.numbered(made["digest_lo"].to_numpy(np.uint64))[0])
    sizes = np.bincount(own, minlength=count)
    chances = np.bincount(contents.group, (contents.times / sizes[contents.group]) ** 2, minlength=count)
    several = chances[sizes > 1]
    return float(several.mean()) if len(several) else 0.0


def _chance(sequence: Any) -> float:
    values = np.sort(sequence)
    counts = np.diff(codes.starts(values), append=len(values))
    return float(((counts / len(sequence)) ** 2).sum())


def _compare(made: pd.DataFrame, streams: list[str]) -> pd.DataFrame:
    """Each pair of workers that were there in one epoch, at the local steps that both reached.

    A step counts as drawn where both drew for it from an equal state of a stream; else as walked.

    Returns:
        A row a pair: `one` and `other`, the `steps` of both, how many were `walked` and what part of these
        was `walked_alike`, how many were `drawn_alike`, and the `first` step that was walked alike; -1: none.
    """
    labels, epoch = codes.ranked(made["epoch"].to_numpy())
    worker, step = made["worker"].to_numpy(), made["local_step"].to_numpy()
    content, _ = codes.numbered(made["digest_lo"].to_numpy(np.uint64))
    states = [_drawn_from(made, stream) for stream in streams]
    parts = []
    for rows in codes.rows_of(epoch, len(labels)):
        workers, row = codes.ranked(worker[rows])
        steps, column = codes.ranked(step[rows])
        few = row < MOST_WORKERS
        tables = [_table(values[rows[few]], row[few], column[few]) for values in (content, *states)]
        parts += _compared(workers, steps, tables[0], tables[1:])
    if not parts:
        return pd.DataFrame(columns=_COMPARED)
    pairs = pd.DataFrame(dict(zip(_COMPARED, map(np.concatenate, zip(*parts, strict=True)), strict=True)))
    pairs["first"] = pairs["first"].where(pairs["first"] >= 0)
    by_pair = pairs.groupby(["one", "other"], sort=False)
    found = by_pair[["steps", "walked", "walked_alike", "drawn_alike"]].sum()
    found["walked_alike"] = (found["walked_alike"] / found["walked"]).fillna(0.0)
    found["first"] = by_pair["first"].first().fillna(-1).astype(np.int64)
    return found.reset_index()


_COMPARED = ["one", "other", "steps", "walked", "walked_alike", "drawn_alike", "first"]


def _table(values: Array, row: Array, column: Array) -> Array:
    """Values at their places in a table; -1 where there is none."""
    table = np.full((int(row.max()) + 1, int(column.max()) + 1), -1)
    table[row, column] = values
    return table


def _drawn_from(made: pd.DataFrame, stream: str) -> Array:
    """A number for the state from which each batch drew; -1 for one that did not draw."""
    state, _ = codes.numbered(made[f"rng_{stream}_before"].to_numpy(np.uint64))
    return np.where(moved(made, stream), state, -1)


def _compared(workers: Array, steps: Array, contents: Array, states: list[Array]) -> list[tuple[Array, ...]]:
    """Compares each worker of an epoch with those after it: a row a worker, a column a step, -1 for none."""
    found = []
    for row in range(len(contents) - 1):
        others = contents[row + 1 :]
        common = (others >= 0) & (contents[row] >= 0)
        drawn = np.zeros(common.shape, bool)
        for state in states:
            drawn |= (state[row + 1 :] == state[row]) & (state[row] >= 0)
        same = common & (others == contents[row])
        alike = same & ~drawn
        first = np.where(alike.any(axis=1), steps[alike.argmax(axis=1)], -1)
        counts = (each.sum(axis=1) for each in (common, common & ~drawn, alike, same & drawn))
        pair = np.full(len(others), workers[row]), workers[row + 1 : len(contents)]
        found.append((*pair, *counts, first))
    return found


def _finding(evidence: Evidence, made: pd.DataFrame, equal: list[dict[str, Any]]) -> Finding:
    workers = sorted({int(pair[who]) for pair in equal for who in ("one", "other")})
    best = max(equal, key=lambda pair: pair["walked"])
    first, second, step = (int(best[name]) for name in ("one", "other", "first"))
    row = made[(made["worker"] == first) & (made["local_step"] == step)].iloc[0]
    return _replicas(
        evidence,
        workers,
        f"emit the same batches: {best['walked_alike']:.0%} of the steps that both reached are equal",
        {
            "equal_steps": int(best["walked"]),
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
    made = evidence.used
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
        fixes.of(CAUSE, evidence),
    )


# -- workers, item by item ------------------------------------------------------------------------


def _own_orders(evidence: Evidence) -> Finding | None:
    """Replicas that walk the same items, each in an order of its own."""
    if evidence.kind == "indexed" or apart.space(str(evidence.about.get("ids", ""))) == "dataset":
        return None  # indices are dealt out; an epoch that holds parts of two orders repeats samples, too
    known = apart.of_workers(evidence)
    items = known.items("worker")
    if not known.by or items.empty:
        return None
    if evidence.baseline.first is None and not _comes_once(evidence, known, items):
        return None
    has = evidence.baseline.size("id" if known.by == "id" else "digest")
    count, beyond = (has, _FAR_BEYOND) if has else (items["item"].nunique(), _SURELY_BEYOND)
    workers = replicas.walkers(items, count, beyond)
    if len(workers) < 2 and _comes_once(evidence, known, items):
        equal = [pair for pair in replicas.compare(items) if pair.alike >= _ALMOST_ALL]
        workers = sorted({who for pair in equal if min(pair.sizes) >= MANY_ENOUGH for who in pair.who})
    if len(workers) < 2 or replicas.doubled(items, max(1, count // replicas.at_a_time(items))) < _DOUBLED:
        return None
    example = replicas.example(items, workers)
    if example is None:
        return None
    row, epoch, both = example
    repeated = replicas.doubled(items, len(items))
    return _replicas(
        evidence,
        workers,
        f"each walk all samples in an order of their own: {repeated:.0%} of an epoch's samples repeat",
        {
            "first_example": (
                f"{' and '.join(f'worker {worker}' for worker in both)} both emitted sample "
                f"{known.named(row, 'worker')} in epoch {epoch}"
            ),
            "samples_of_the_source": int(has) or None,
            "different_samples_by_worker": [
                int(items["item"][items["who"] == worker].nunique()) for worker in workers[:64]
            ],
            "sample_coverage_by_epoch": [
                None if np.isnan(value) else round(float(value), 3)
                for value in evidence.epochs["sample_coverage"]
            ],
        },
    )


def _comes_once(evidence: Evidence, known: Apart, items: pd.DataFrame) -> bool:
    """Whether an item that comes again is a defect: not where one walk alone repeats its contents."""
    if known.by == "id":
        return True
    serial = evidence.serial_walk
    if serial is not None and serial.known:
        first = next(iter(serial.orders.values()))
        # Two passes may make one epoch; contents that come again and again are no items.
        return len(codes.distinct(first)) >= 0.5 * len(first)
    figures = replicas.spread(items)
    return int(figures["within"].sum()) <= _FEW * int(figures["total"].sum())
