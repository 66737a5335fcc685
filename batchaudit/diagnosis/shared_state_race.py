"""`shared-state-race`: workers change one state without a lock: threads an attribute, processes a file.

A generator says so itself ("generator already executing"). Otherwise it needs to be known what an item holds
without workers. An item that holds something else, or what another item holds, was torn, if nothing draws its
content, nothing writes into the stored data or into a batch that waits, and its epoch is one that the serial
passes had. A batch that comes again sooner than the serial passes repeat any was handed to two threads.

Threads that draw from one random stream take turns at it: that is told, and does no harm. Processes have
memory of their own; what they share is what the parent had open. There a worker whose copy is merely another
one makes nothing right any more, and two equal runs agree.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from batchaudit.analysis import races
from batchaudit.analysis.contents import hashed_by_sample
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
from batchaudit.diagnosis.reseeding import reseeding_streams

CAUSE = "shared-state-race"
_SAYS_SO = "already executing|NOT thread-safe"
_SPOILS_CONTENT = ("buffer-alias", "inplace-mutation")
_AGAIN, _ALONE = "again", "accesses"
_EQUAL_RUNS = (_AGAIN, "queue", "persistent")
_FEW, _MOST = 2, 0.5


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether workers race for a state that they share.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

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
    spoilt = [cause for cause in _SPOILS_CONTENT if cause in earlier]
    if spoilt:
        return not_observable(
            f"{spoilt[0]} explains contents that no serial pass has: repair it, then audit again"
        )
    if not evidence.hashed:
        return not_observable("the batches hold what cannot be hashed by value: which are torn is not known")
    if not evidence.threaded:
        if evidence.shared_process:
            return ruled_out("each copy has a source of its own")
        return _of_processes(evidence)
    return _of_threads(evidence, made)


# -- threads ----------------------------------------------------------------------------------------


def _of_threads(evidence: Evidence, made: pd.DataFrame) -> Judgement:
    against = races.against_serial(evidence.tables, evidence.baseline)
    if evidence.baseline.deterministic is not True and not (against is not None and against.fixed):
        return not_observable(
            "the serial baseline is not deterministic: what a race tears cannot be told from what is drawn"
        )
    if evidence.kind == "indexed":
        return _of_items(evidence, made, against)
    foreign, twice = _foreign(evidence, made), _twice(evidence, made)
    if len(foreign) and not len(twice) and _drawn(evidence, foreign):
        return found(_drawn_in_turns(evidence, foreign))
    if len(foreign) or len(twice):
        return found(_torn(evidence, foreign, twice))
    return ruled_out("the threads made just the batches of the serial baseline")


def _of_items(evidence: Evidence, made: pd.DataFrame, against: races.Wrong | None) -> Judgement:
    """Indices are dealt out: none is handed out twice, but what is made for one may be torn."""
    if against is None:
        unknown = made[~np.isin(made["digest_lo"].to_numpy(np.uint64), evidence.baseline.sequence())]
        if len(unknown) and _drawn(evidence, unknown):
            return found(_drawn_in_turns(evidence, unknown))
        return not_observable(
            "no epoch of this run is one of the serial passes: audit more epochs, or the source without what "
            "changes it from epoch to epoch"
        )
    torn = made.loc[made.index.isin(against.wrong["event"])]
    others = _of_probes(evidence).values() if against.fixed else ()
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
    """Batches that the serial baseline does not have."""
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
        fixes.of("rng-clone", evidence),
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
        fixes.of(CAUSE, evidence),
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
            "first_example": _of_item(row, "batch"),
        },
        fixes.of(CAUSE, evidence),
    )


def _of_item(row: pd.Series, unit: str) -> str:
    held = "what another one holds" if row["elsewhere"] else "what no serial pass has"
    return (
        f"worker {int(row['worker'])} at its step {int(row['local_step'])} made {unit} {int(row['item'])} "
        f"with content {short(int(row['content']))}, {held}"
    )


# -- processes --------------------------------------------------------------------------------------


def _of_processes(evidence: Evidence) -> Judgement:
    against = races.against_serial(evidence.tables, evidence.baseline)
    if against is None or not against.fixed:
        if evidence.baseline.fixed_samples and hashed_by_sample(evidence.tables):
            return _of_replicas(evidence)
        return not_observable(
            "what a shared file or connection would spoil cannot be told from what is drawn: audit the "
            "source without its augmentation"
        )
    others = _of_probes(evidence)
    wrong = pd.concat([against.wrong, *(other.wrong for other in others.values())])
    if wrong.empty:
        return ruled_out("the workers made for each item what is made for it without them")
    if evidence.streams:
        return not_observable("the workers draw what they make: whether some of it was spoilt is not known")
    again = others.get(_AGAIN)
    alone = _right_alone(evidence)
    spread = any(each.interleaved() for each in (against, *others.values()) if len(each.wrong))
    if alone is False or not (alone or spread) or not _is_erratic(wrong, against, again):
        return not_observable(
            "the workers make something else of an item than is made without them, and the same each time: "
            "it depends on the worker"
        )
    return found(_shared_handle(evidence, wrong, 0 if again is None else races.disagreeing(against, again)))


def _of_probes(evidence: Evidence) -> dict[str, races.Wrong]:
    """What several workers made in probes."""
    several = {
        name: races.against_serial(probed, evidence.baseline)
        for name, probed in evidence.probes.items()
        if probed.produced["worker"].nunique() > 1
    }
    return {name: wrong for name, wrong in several.items() if wrong is not None and wrong.fixed}


def _right_alone(evidence: Evidence) -> bool | None:
    """Whether a process that is alone makes what is made without workers; None where none was tried."""
    probed = evidence.probes.get(_ALONE)
    made = None if probed is None else races.against_serial(probed, evidence.baseline)
    return None if made is None or made.rows.empty else not bool(made.rows["wrong"].any())


def _is_erratic(wrong: pd.DataFrame, against: races.Wrong, again: races.Wrong | None) -> bool:
    """Whether equal runs go wrong at different items; a worker that only differs does so at the same ones."""
    if again is None:
        return bool(wrong["elsewhere"].any())
    if races.disagreeing(against, again):
        return True
    # Rare: the beginning, which was made twice, went well both times.
    return len(against.of_first_epoch().wrong) == 0 and len(again.wrong) == 0


def _of_replicas(evidence: Evidence) -> Judgement:
    """Items have no numbers: what is in no serial pass was torn, if an equal run tears others."""
    torn = races.foreign_samples(evidence.tables, evidence.baseline)
    if torn.empty:
        return ruled_out("the workers made just the samples of the serial passes")
    equal = [evidence.probes[name] for name in _EQUAL_RUNS if name in evidence.probes]
    if not equal:
        return not_observable(
            "samples are in no serial pass, and whether an equal run has the same ones was not tried: allow "
            "probes="
        )
    share = len(torn) / max(
        1, int(evidence.tables.samples["event"].isin(evidence.tables.produced.index).sum())
    )
    others = set(
        pd.concat([races.foreign_samples(probed, evidence.baseline) for probed in equal])["digest"]
    ) - set(torn["digest"])
    if evidence.streams or share > _MOST or len(others) < _FEW:
        return not_observable(
            "the workers make other samples than are made without them, for reasons of their own"
        )
    rows = evidence.tables.produced.loc[torn["event"].drop_duplicates()]
    return found(
        _handle(
            evidence,
            f"{len(torn)} samples that the workers made are in no serial pass, and an equal run made "
            f"{len(others)} others",
            {
                "in_no_baseline": len(torn),
                "others_in_an_equal_run": len(others),
                "first_example": _example(rows, "holds a sample that is in no serial pass"),
            },
        )
    )


def _shared_handle(evidence: Evidence, wrong: pd.DataFrame, differ: int) -> Finding:
    unit = "sample" if evidence.tables.ids_known else "batch"
    elsewhere = int(wrong["elsewhere"].sum())
    return _handle(
        evidence,
        f"{len(wrong)} items do not hold what is stored under their number, {elsewhere} of them what is "
        "stored under another",
        {
            "wrong_items": len(wrong),
            "of_another_item": elsewhere,
            "otherwise_in_an_equal_run": differ,
            "workers": sorted({int(worker) for worker in wrong["worker"]})[:64],
            "first_example": _of_item(wrong.iloc[0], unit),
        },
    )


def _handle(evidence: Evidence, what: str, numbers: dict[str, object]) -> Finding:
    return Finding(
        CAUSE,
        "error",
        "worker",
        f"{what}: the processes move one position in a file, or one connection, that was opened before they "
        "were started.",
        {**numbers, "shared": "a file handle or connection", "produced": len(evidence.made)},
        fixes.of(CAUSE, evidence),
    )
