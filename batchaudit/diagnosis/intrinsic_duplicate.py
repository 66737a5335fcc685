"""`intrinsic-duplicate`: the data holds duplicates, or is sampled with replacement. Always info.

It needs a serial pass, in which no worker can have made the copies; or ids: equal contents under different
ids are the data's own, and an id that comes twice in an epoch in which one process deals out the indices was
sampled twice. A source that is passed over again within an epoch (`repeat()`) is none: each item comes as
often as the others. Where contents are drawn anew, equal ones are equal draws: they say nothing of the data.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from batchaudit.analysis.contents import fixed_by_id, hashed_by_sample
from batchaudit.analysis.copies import Copies, copies, in_passes, of_several_items
from batchaudit.analysis.ends import repeats_within
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.walk import Walk, by_id
from batchaudit.diagnosis import fixes
from batchaudit.diagnosis.finding import Finding
from batchaudit.diagnosis.judgement import Judgement, found, not_observable, ruled_out, short

CAUSE = "intrinsic-duplicate"
_FEW = 0.001  # of an epoch's samples: so many equal ones nobody needs to know of
_WITHOUT = "audit it before training with ba.audit, which drives it without workers, or give key="
_OF_CONTENT = ("buffer-alias", "inplace-mutation", "shared-state-race", "rng-clone", "frozen-augmentation")
"""What makes the contents of different items equal."""
_OF_ITEMS = ("unsharded-replica", "order-divergence", "shared-state-race", "prefetch-loss")
"""What delivers an item more than once."""


def judge(evidence: Evidence, earlier: Collection[str] = ()) -> Judgement:
    """Says whether the data, or how it is sampled, has copies of its own.

    Args:
        evidence: one run.
        earlier: the causes that have been found in it before this one is judged.

    Returns:
        The judgement.
    """
    if evidence.baseline.first is not None:
        return _serially(evidence, evidence.baseline.first, earlier)
    return _live(evidence, earlier)


def _serially(evidence: Evidence, first: Tables, earlier: Collection[str]) -> Judgement:
    """What a serial pass shows: no worker made its copies."""
    walk = evidence.serial_walk
    if walk is None or walk.by not in ("id", "content"):
        if not hashed_by_sample(first):
            return not_observable("not every sample could be hashed: give key=")
        return not_observable("contents are drawn anew, so that copies do not look equal: give key=")
    if (evidence.told("kept") or {}).get("overwritten"):
        return not_observable("buffer-alias makes the samples of a batch equal: repair that first")
    explained = "padding-duplicate" if "padding-duplicate" in earlier else ""
    sampled = _sampled(evidence, walk, "a serial pass", explained)
    if sampled is not None and sampled.finding is not None:
        spike = sampled.finding.evidence["repeats_by_design"]
        if spike and "unsharded-replica" in earlier:
            return ruled_out("unsharded-replica explains the copies of the serial pass")
        return sampled
    if walk.by == "id" and evidence.baseline.fixed_samples:
        held = _held(evidence, walk, "a serial pass")
        if held is not None:
            return held
    return sampled or ruled_out("no sample comes twice in a serial pass")


def _live(evidence: Evidence, earlier: Collection[str]) -> Judgement:
    """What a run with workers shows by itself."""
    if not evidence.tables.ids_known:
        return not_observable(f"equal contents may be the workers' or the data's: {_WITHOUT}")
    walk = by_id(evidence.tables)
    again = repeats_within(walk)
    said = None
    if again:
        cause = next((cause for cause in (*_OF_ITEMS, "padding-duplicate") if cause in earlier), "")
        if not cause and not _dealt_out_here(evidence):
            return not_observable(f"what comes twice may be the workers' or the sampling's: {_WITHOUT}")
        said = _sampled(evidence, walk, "one process that deals out the indices", cause)
        if said is not None and said.finding is not None:
            return said
    if hashed_by_sample(evidence.tables) and not any(cause in earlier for cause in _OF_CONTENT):
        fixed = fixed_by_id(walk.rows, evidence.tables.digests)
        held = _held(evidence, walk, "this run") if fixed is not False else None
        if held is not None:
            return held
    return said or ruled_out("no sample comes twice in an epoch")


def _dealt_out_here(evidence: Evidence) -> bool:
    """Whether one process chose every index, so that no worker can have given an item twice."""
    workers = int(evidence.tables.produced["worker"].nunique())
    indices = str(evidence.about.get("ids", "")).startswith("dataset-")
    return indices or (workers < 2 and evidence.workers_configured < 2)


def _sampled(evidence: Evidence, walk: Walk, where: str, explained: str) -> Judgement | None:
    """Items that come more than once in an epoch."""
    rows = walk.rows.reset_index(drop=True)
    seen = copies(rows)
    if seen is None:
        return None
    if explained:
        return ruled_out(f"{explained} explains the samples that come twice")
    known, several = walk.by == "id", rows["epoch"].nunique() > 1
    if not seen.spike and (known or several) and in_passes(rows, blurred=known):
        return ruled_out("epochs hold parts of several passes: each item comes as often as the others")
    if walk.by == "content" and seen.share <= _FEW:
        return _too_few(seen)
    return found(_finding(evidence, rows, seen, walk.by, where))


def _held(evidence: Evidence, walk: Walk, where: str) -> Judgement | None:
    """Contents that several items of the data have."""
    rows = of_several_items(walk.rows)
    seen = copies(rows, "digest")
    if seen is None:
        return None
    return _too_few(seen) if seen.share <= _FEW else found(_finding(evidence, rows, seen, "data", where))


def _too_few(seen: Copies) -> Judgement:
    return ruled_out(f"only {seen.samples - seen.different:,} of {seen.samples:,} samples equal another")


_WORDS = {
    "id": "come again: they are sampled with replacement, or oversampled",
    "content": "have the content of another: the data holds it twice, or it is sampled with replacement",
    "data": "have the content of an item with another id: the data holds it twice",
}


def _finding(evidence: Evidence, rows: pd.DataFrame, seen: Copies, by: str, where: str) -> Finding:
    more, spike = seen.samples - seen.different, seen.spike
    said = f"{more:,} of the {seen.samples:,} samples of epoch {seen.epoch} ({seen.share:.1%}) {_WORDS[by]}."
    if spike:
        said = (
            f"each of the {seen.different:,} different samples of epoch {seen.epoch} comes {spike} times in "
            f"{where}: the source repeats them by design."
        )
    return Finding(
        CAUSE,
        "info",
        "pipeline",
        said,
        {
            "samples": seen.samples,
            "different": seen.different,
            "share": round(seen.share, 4),
            "copies": seen.times,
            "repeats_by_design": spike,
            "seen_in": where,
            "compared_by": "id" if by == "id" else "equal content",
            "first_example": _example(rows, seen, by),
        },
        fixes.of(CAUSE, evidence),
    )


def _example(rows: pd.DataFrame, seen: Copies, by: str) -> str:
    def at(row: int) -> dict[str, Any]:
        return {name: int(rows[name].iat[row]) for name in ("epoch", "step", "position", "item", "digest")}

    first, second = (at(row) for row in seen.places)
    places = " and ".join(f"step {one['step']} position {one['position']}" for one in (first, second))
    if by == "data":
        which = f"ids {first['item']} and {second['item']} have content {short(first['digest'])}"
        return f"{which}, in epoch {seen.epoch} {places}"
    name = f"id {first['item']}" if by == "id" else f"content {short(first['item'])}"
    return f"{name} came in epoch {seen.epoch} {places}"
