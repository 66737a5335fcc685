"""`inplace-mutation`: making an item writes into the stored data, so that it drifts with every access.

It needs an experiment in `ba.audit` (`probes/stored.py`): what is written by making an item is put back, and
the item is made again from the same state of everything else. Nothing less tells a drift from its neighbours:
a random augmentation, an epoch's number, a counter of visits and a schedule give another content at each
access as well, and a cache, a buffer and a running figure are written at each. Where nothing changes from
pass to pass, nothing drifts.

Workers that end with the epoch take their changes with them: the drift is hidden then, and still there.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.items import Contents, contents, drift
from batchaudit.analysis.tables import Tables
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out, short

CAUSE = "inplace-mutation"
_PROBE, _ACCESSES = "stored", "accesses"
_MOSTLY = 0.5


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the source writes into what it has stored.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    told = evidence.told(_PROBE)
    if told is None:
        return _unprobed(evidence)
    if told["outcome"] == "drifts":
        return found(_finding(evidence, told))
    if told["outcome"] == "unclear":
        return not_observable(
            f"{_where(told)} is written at each access, but no two accesses from one state agree: draw from "
            "a seeded stream and audit again"
        )
    if told["outcome"] != "untouched":
        return ruled_out("what is written at each access is no stored item: none drifts by it")
    if _own_accesses(evidence.probes.get(_ACCESSES)):
        return not_observable(
            "an item changes with each access to it, but nothing that the probe can reach is written: if no "
            "counter of visits does it, copy the item before it is changed and audit again"
        )
    if not told["whole"]:
        return not_observable(
            f"the source holds more than the probe looks at; none of the {told['looked_at']} arrays, lists "
            "and dicts that it looked at is written"
        )
    return ruled_out(f"none of the {told['looked_at']} arrays, lists and dicts of the source is written")


def _unprobed(evidence: Evidence) -> Judgement:
    if evidence.live:
        return not_observable(
            "a training shows no difference between stored data that drifts and an augmentation: audit the "
            "source before the training with ba.audit"
        )
    if evidence.baseline.first is None:
        return not_observable("there was no serial pass: give a callable that returns a new source")
    if _repeats(evidence):
        return ruled_out("the serial passes gave the same samples in every epoch")
    if _equal_accesses(evidence.probes.get(_ACCESSES)):
        return ruled_out("an item is the same at each access")
    why = evidence.unprobed.get(_PROBE)
    return not_observable(
        f"the stored data was not looked at: {why}"
        if why
        else "the probe 'stored' was not made: allow probes="
    )


def _repeats(evidence: Evidence) -> bool:
    """Whether all epochs of all serial passes gave the same samples, and there were several."""
    baseline = evidence.baseline
    first = baseline.first
    if first is None or not baseline.fixed_samples:
        return False
    epochs = first.delivered["epoch"]
    if epochs.nunique() < 2:
        return False
    by_event = epochs.reindex(first.samples["event"])
    sets = [set(rows) for _, rows in first.samples["digest"].groupby(by_event.to_numpy())]
    return all(one == sets[0] for one in sets)


# -- the probe of accesses --------------------------------------------------------------------------


def _read(probed: Tables | None) -> tuple[list[int], bool] | None:
    """The contents of the item that was made several times, and whether the other one stayed the same."""
    if probed is None:
        return None
    rows = contents(probed).rows
    alone = rows[rows["epoch"] == rows["epoch"].min()] if len(rows) else rows
    later = rows[~rows["event"].isin(alone["event"])]
    if len(alone) != 1 or len(later) != 4:
        return None
    other = alone["item"].iloc[0]
    again = later[later["item"] == other]["content"]
    several = later[later["item"] != other]["content"]
    if len(again) != 1:
        return None
    return [int(content) for content in several], bool(again.iloc[0] == alone["content"].iloc[0])


def _own_accesses(probed: Tables | None) -> bool:
    """Whether an item changes with the accesses to it, and with no others."""
    read = _read(probed)
    return read is not None and len(set(read[0])) > 1 and read[1]


def _equal_accesses(probed: Tables | None) -> bool:
    read = _read(probed)
    return read is not None and len(set(read[0])) == 1 and read[1]


# -- the finding ------------------------------------------------------------------------------------


def _finding(evidence: Evidence, told: dict[str, Any]) -> Finding:
    seen = contents(evidence.tables)
    drifted = drift(seen.rows)
    hidden = _is_hidden(evidence, seen)
    where = _where(told)
    if hidden:
        summary = (
            f"making an item writes into {where}: the next access finds it changed. Here the workers end "
            "with the epoch and take their changes with them; without workers, or with ones that are kept, "
            "it drifts."
        )
    else:
        several = int((drifted["contents"] > 1).sum())
        count = f"{several} of {len(drifted)} {seen.unit} contents" if len(drifted) else "the content"
        summary = (
            f"making an item writes into {where}: the next access finds it changed; {count} became another "
            "from epoch to epoch."
        )
    return Finding(
        CAUSE,
        "warning" if hidden else "error",
        "pipeline",
        summary,
        {
            "written": told["where"],
            "first_place": told["place"],
            "places_by_one_item": told["places"],
            "hidden_by_workers_that_end": hidden,
            "items_seen_again": len(drifted),
            "items_that_changed": int((drifted["contents"] > 1).sum()),
            "fresh_sources_agree": evidence.baseline.repeatable,
            "first_example": _example(told, seen, drifted.iloc[:0] if hidden else drifted),
        },
        fixes.of(CAUSE, evidence),
    )


def _where(told: dict[str, Any]) -> str:
    return f"{told.get('where') or 'what is stored'} {told.get('place', '')}".strip()


def _is_hidden(evidence: Evidence, seen: Contents) -> bool:
    """Whether the epochs of this run do not show it: each was made from a copy of the data as it was."""
    drifted = drift(seen.rows)
    if len(drifted) and not evidence.streams:
        return bool((drifted["contents"] == 1).mean() > _MOSTLY)
    made = evidence.used
    if made["epoch"].nunique() < 2:
        return not made["pid"].isin(evidence.tables.delivered["pid"]).any()
    return bool((made.groupby("pid")["epoch"].nunique() == 1).all())


def _example(told: dict[str, Any], seen: Contents, drifted: Any) -> str:
    said = f"made again, an item found {_where(told)} as it had left it"
    changed = drifted[drifted["contents"] > 1]
    if changed.empty:
        return said
    item = changed.index[0]
    rows = seen.rows[(seen.rows["item"] == item) & (seen.rows["epoch"] >= 0)].sort_values("epoch")
    first = rows.iloc[0]
    other = rows[rows["content"] != first["content"]].iloc[0]
    return (
        f"{said}; {seen.unit} {item} was {short(first['content'])} in epoch {int(first['epoch'])} "
        f"and {short(other['content'])} in epoch {int(other['epoch'])}"
    )
