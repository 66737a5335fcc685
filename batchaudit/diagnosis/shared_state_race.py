"""`shared-state-race`: threads change one state without a lock.

It needs threads over one source. A generator says so itself ("generator already executing"). Otherwise a
deterministic serial baseline is needed: batches that are in no baseline are torn, and batches that come
twice, sooner than the baseline repeats any, were handed to two threads.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import moved
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import (
    Judgement,
    found,
    not_observable,
    one_worker,
    ruled_out,
    short,
)

CAUSE = "shared-state-race"
_SAYS_SO = "already executing|NOT thread-safe"


def judge(evidence: Evidence) -> Judgement:
    """Says whether threads race for the source's state.

    Args:
        evidence: one run.

    Returns:
        The judgement.
    """
    raised = evidence.tables.raised
    refused = raised[raised["text"].str.contains(_SAYS_SO, regex=True)]
    if len(refused):
        return found(_refused(evidence, refused))
    made = evidence.made
    if made["worker"].nunique() < 2 and (evidence.threaded or evidence.workers_configured < 2):
        return one_worker(evidence, "one worker at a time used the source")
    if not evidence.threaded:
        own = "each copy has a source of its own" if evidence.shared_process else "processes share no memory"
        return ruled_out(own)
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are torn is not known")
    if evidence.baseline.deterministic is not True:
        return not_observable(
            "the serial baseline is not deterministic: what a race tears cannot be told from what is drawn"
        )
    foreign = _foreign(evidence, made)
    twice = _twice(evidence, made) if evidence.kind != "indexed" else made.iloc[:0]
    if len(foreign) and not len(twice) and _drawn(evidence, foreign):
        return found(_drawn_in_turns(evidence, foreign))
    if len(foreign) or len(twice):
        return found(_torn(evidence, foreign, twice))
    return ruled_out("the threads made just the batches of the serial baseline")


def _foreign(evidence: Evidence, made: pd.DataFrame) -> pd.DataFrame:
    """Batches that the serial baseline does not have."""
    known = evidence.baseline.sequence()
    if evidence.kind == "indexed":
        within = made[~made["epoch"].isin(_other_epochs(evidence))]
    else:
        # Queues are filled ahead: what lies beyond the baseline's end may be right.
        within = made.iloc[: max(len(known) - made["worker"].nunique(), 0)]
    return within[~np.isin(within["digest_lo"].to_numpy(np.uint64), known)]


def _other_epochs(evidence: Evidence) -> list[int]:
    """Epochs with next to none of the baseline's samples: the content depends on the epoch.

    A framework that calls `on_epoch_end` before the first epoch is an epoch ahead of the baseline. A race
    mixes the samples of batches, but leaves most of them.
    """
    delivered, samples = evidence.tables.delivered, evidence.tables.samples
    known = samples["digest"].isin(evidence.baseline.samples)
    epochs = delivered["epoch"].reindex(samples["event"]).to_numpy()
    shares = known.groupby(epochs).mean()
    return [-1, *(int(epoch) for epoch, share in shares.items() if share < 0.1)]


def _twice(evidence: Evidence, made: pd.DataFrame) -> pd.DataFrame:
    """Batches that came again sooner than the baseline repeats any."""
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
            "first_example": _example(foreign, "is in no serial pass"),
        },
        fixes.seed_per_worker(evidence),
    )


def _example(rows: pd.DataFrame, what: str) -> str:
    row = rows.iloc[0]
    who = f"worker {int(row['worker'])} at its step {int(row['local_step'])}"
    return f"batch {short(int(row['digest_hi']))} of {who} {what}"


def _refused(evidence: Evidence, refused: pd.DataFrame) -> Finding:
    threads = refused["thread"].nunique()
    delivered = len(evidence.tables.delivered)
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{threads} thread{'s' if threads > 1 else ''} entered the generator while another was in it, and "
        f"ended; {delivered} batches were delivered.",
        {
            "threads_refused": int(threads),
            "refusals": len(refused),
            "first_example": str(refused["text"].iloc[0]).splitlines()[0],
            "delivered": delivered,
        },
        fixes.synchronise(evidence),
    )


def _torn(evidence: Evidence, foreign: pd.DataFrame, twice: pd.DataFrame) -> Finding:
    example = _example(twice, "was made twice") if len(twice) else _example(foreign, "is in no serial pass")
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
            "first_example": example,
        },
        fixes.synchronise(evidence),
    )
