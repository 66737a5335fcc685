"""`shared-state-race` of threads: they change an attribute of the source, or a generator, at once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from batchaudit.analysis import races
from batchaudit.analysis.contents import hashed_by_sample
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import moved
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.reseeding import reseeding_streams
from batchaudit.diagnosis.torn import CAUSE, example, in_probes, of_item


def judge(evidence: Evidence) -> Judgement:
    """Says whether threads tear what they make, or take turns at a random stream.

    Args:
        evidence: one run, whose workers are threads over one source.

    Returns:
        The judgement.
    """
    made = evidence.made
    against = races.against_serial(evidence.tables, evidence.baseline)
    if evidence.baseline.deterministic is not True and not (against is not None and against.fixed):
        return not_observable(
            "the serial baseline is not deterministic: what a race tears cannot be told from what is drawn"
        )
    if evidence.kind == "indexed":
        return _of_items(evidence, made, against)
    # A thread that waits for the source's lock has begun long before it is its turn: the order in which they
    # ended is that of the turns, but for the one batch that each thread may have in its hands.
    turns = made.sort_values("ended_ns", kind="stable")
    foreign, twice = _foreign(evidence, turns), _twice(evidence, turns)
    if len(foreign) and not len(twice) and _drawn(evidence, foreign):
        return found(_drawn_in_turns(evidence, foreign))
    if len(foreign) or len(twice):
        return found(_torn(evidence, foreign, twice))
    return ruled_out("the threads made just the batches of the serial baseline")


def _of_items(evidence: Evidence, made: pd.DataFrame, against: races.Wrong | None) -> Judgement:
    """Indices are dealt out: none is handed out twice, but what is made for one may be torn."""
    if against is None or not against.fixed:
        # Also beside an epoch in which the threads happened to come in order, as they do without workers.
        compared_rows = () if against is None else against.rows["event"]
        unknown = made[~np.isin(made["digest_lo"].to_numpy(np.uint64), evidence.baseline.sequence())]
        unknown = unknown[~unknown.index.isin(compared_rows)]
        if len(unknown) and _drawn(evidence, unknown):
            return found(_drawn_in_turns(evidence, unknown))
    if against is None:
        return not_observable(
            "no epoch of this run is one of the serial passes: audit more epochs, or the source without what "
            "changes it from epoch to epoch"
        )
    torn = made.loc[made.index.isin(against.wrong["event"])]
    others = in_probes(evidence).values() if against.fixed else ()
    wrong = pd.concat([against.wrong, *(other.wrong for other in others)])
    if wrong.empty:
        return ruled_out("the threads made for each index what is made for it without workers")
    # What is the same in all serial passes is not drawn, unless a stream is seeded for each item.
    may_be_drawn = bool(reseeding_streams(evidence)) if against.fixed else bool(evidence.streams)
    if may_be_drawn and len(torn) and _drawn(evidence, torn):
        return found(_drawn_in_turns(evidence, torn))
    if may_be_drawn and torn.empty:
        return not_observable("the threads draw what they make: whether some of it was torn is not known")
    compared = sum(len(each.rows) for each in (against, *others))
    return found(_torn_items(evidence, wrong, compared))


def _foreign(evidence: Evidence, made: pd.DataFrame) -> pd.DataFrame:
    """Batches, in the order of their turns, that the serial baseline does not have."""
    known = evidence.baseline.sequence()
    # Queues are filled ahead: what lies beyond the baseline's end may be right.
    within = made.iloc[: max(len(known) - made["worker"].nunique(), 0)]
    foreign = within[~np.isin(within["digest_lo"].to_numpy(np.uint64), known)]
    if not evidence.baseline.fixed_samples or not hashed_by_sample(evidence.tables):
        return foreign
    # Threads that share out the samples make up batches of their own: only a sample can be torn.
    torn = races.foreign_samples(evidence.tables, evidence.baseline)
    return foreign[foreign.index.isin(torn["event"])]


def _twice(evidence: Evidence, made: pd.DataFrame) -> pd.DataFrame:
    """Batches, in the order of their turns, that came again sooner than the baseline repeats any."""
    period = _distances(evidence.baseline.sequence())
    shortest = period.min() if len(period) else np.inf
    if shortest <= 2 * made["worker"].nunique():
        return made.iloc[:0]
    order = pd.Series(np.arange(len(made)), index=made.index)
    distance = order.groupby(made["digest_lo"].to_numpy()).diff()
    return made[(distance < shortest / 2).to_numpy()]


def _distances(sequence: np.ndarray) -> np.ndarray:
    positions = pd.Series(np.arange(len(sequence)))
    return np.asarray(positions.groupby(sequence).diff().dropna())


def _drawn(evidence: Evidence, foreign: pd.DataFrame) -> bool:
    """Whether nearly all of these batches drew from a random stream."""
    drew = np.zeros(len(foreign), bool)
    for stream in evidence.streams:
        drew |= moved(foreign, stream).to_numpy()
    return bool(drew.mean() > 0.9)


def _drawn_in_turns(evidence: Evidence, foreign: pd.DataFrame) -> Finding:
    return Finding(
        CAUSE,
        "info",
        "worker",
        f"{len(foreign)} of {len(evidence.made)} batches are in no serial pass: the threads draw from one "
        "random stream in the order in which they come, and no run is like another.",
        {
            "in_no_baseline": len(foreign),
            "produced": len(evidence.made),
            "streams": evidence.streams,
            "first_example": example(foreign, "is in no serial pass"),
        },
        fixes.of("rng-clone", evidence),
    )


def _torn(evidence: Evidence, foreign: pd.DataFrame, twice: pd.DataFrame) -> Finding:
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{len(twice)} batches were handed to two threads and {len(foreign)} are in no serial pass: the "
        "threads change one state without a lock.",
        {
            "made_twice": len(twice),
            "in_no_baseline": len(foreign),
            "produced": len(evidence.made),
            "first_example": example(twice, "was made twice")
            if len(twice)
            else example(foreign, "is in no serial pass"),
        },
        fixes.of(CAUSE, evidence),
    )


def _torn_items(evidence: Evidence, wrong: pd.DataFrame, compared: int) -> Finding:
    row = wrong.iloc[0]
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{len(wrong)} of {compared} batches are not what is made for their index without workers: the "
        "threads change one state without a lock.",
        {
            "in_no_baseline": len(wrong),
            "compared": compared,
            "of_another_index": int(wrong["elsewhere"].sum()),
            "first_example": of_item(row, "batch"),
        },
        fixes.of(CAUSE, evidence),
    )
