"""`shared-state-race` of processes: they read through one file handle, or one connection, of the parent's."""

from __future__ import annotations

import pandas as pd

from batchaudit.analysis import races
from batchaudit.analysis.contents import hashed_by_sample
from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out
from batchaudit.diagnosis.torn import CAUSE, example, in_probes, of_item

_AGAIN, _ALONE = "again", "accesses"
_EQUAL_RUNS = (_AGAIN, "queue", "persistent")
_FEW, _MOST = 2, 0.5


def judge(evidence: Evidence) -> Judgement:
    """Says whether processes spoil for each other what they read.

    Args:
        evidence: one run, whose workers are processes.

    Returns:
        The judgement.
    """
    against = races.against_serial(evidence.tables, evidence.baseline)
    if against is None or not against.fixed:
        if evidence.baseline.fixed_samples and hashed_by_sample(evidence.tables):
            return _of_replicas(evidence)
        return not_observable(
            "what a shared file or connection would spoil cannot be told from what is drawn: audit the "
            "source without its augmentation"
        )
    others = in_probes(evidence)
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
                "first_example": example(rows, "holds a sample that is in no serial pass"),
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
            "first_example": of_item(wrong.iloc[0], unit),
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
