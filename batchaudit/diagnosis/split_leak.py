"""`split-leak`: samples that are validated on are trained on, too.

It needs a training source and a validation source. Where both say which stored items their samples are, those
are compared, and nothing else. Else contents are: then augmentation hides a leak, and equal items that the
data holds twice look like one. Of several ranks, samples that only another rank trains on show that each rank
splits for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batchaudit.analysis.splits import Overlap, Part, overlaps
from batchaudit.diagnosis import fixes, incomplete, keyed, pages
from batchaudit.diagnosis.finding import NOT_OBSERVABLE, Finding, Verdict
from batchaudit.diagnosis.judgement import Judgement, found, listed, not_observable, ruled_out

CAUSE = "split-leak"
_DRAWN = 0.05  # fewer repeated contents from epoch to epoch than this: they are drawn anew
_FEW = 0.01  # of the validation: as many equal contents as data may hold by itself
_MOST = 64
_GIVE_IDS = "give both sources key=, which says what stored item a sample is"
_NO_TWO = "one audit saw no training and validation source together: wrap both"


def between(parts: Iterable[Part], complete: bool = True) -> list[tuple[Finding | None, Verdict]]:
    """Weighs every training source against every validation source.

    Args:
        parts: the sources of one attempt.
        complete: whether nothing is known to be missing in the log.

    Returns:
        For each two a finding, where something was found, and a verdict; its reason names them. One verdict
        where sources were watched and no two are one of training and one of validation.
    """
    parts = list(parts)
    judged = [(overlap, incomplete.weighed(CAUSE, judge(overlap), complete)) for overlap in overlaps(parts)]
    if parts and not judged:
        return [(None, Verdict(CAUSE, NOT_OBSERVABLE, _NO_TWO))]
    return [
        (judgement.finding, Verdict(CAUSE, judgement.verdict, _named(overlap, judgement.reason)))
        for overlap, judgement in judged
    ]


def _named(overlap: Overlap, reason: str) -> str:
    return f"{overlap.training.name} and {overlap.validation.name}: {reason}"


def judge(overlap: Overlap) -> Judgement:
    """Says whether validation samples are trained on.

    Args:
        overlap: what a training source and a validation source share.

    Returns:
        The judgement.
    """
    if keyed.apart([overlap.training.keys, overlap.validation.keys]):
        return not_observable(keyed.APART)
    if overlap.unlike:
        return not_observable(f"{overlap.unlike}; {_GIVE_IDS}")
    if overlap.shared:
        return found(_finding(overlap))
    if overlap.by == "id":
        return ruled_out("no id is in both")
    if not overlap.validation_samples:
        return not_observable(f"the contents of one of them are nearly all the same; {_GIVE_IDS}")
    if overlap.repeated is None:
        return not_observable(
            "one epoch of training does not show whether contents are drawn anew, which would hide a leak: "
            f"train for 2 epochs, or {_GIVE_IDS}"
        )
    for part, repeated in (
        (overlap.training, overlap.repeated),
        (overlap.validation, overlap.validation_repeated),
    ):
        if repeated is not None and repeated < _DRAWN:
            return not_observable(
                f"the contents of {part.name} are new in every epoch, so that equal items do not look equal: "
                f"{_GIVE_IDS}"
            )
    return ruled_out("no sample of equal content is in both")


def _finding(overlap: Overlap) -> Finding:
    share = overlap.shared / max(overlap.validation_samples, 1)
    few = overlap.by == "digest" and share <= _FEW
    return Finding(
        CAUSE,
        "warning" if few else "error",
        "rank" if overlap.only_across_ranks else "split",
        _summary(overlap, share, few),
        {
            "training": overlap.training.name,
            "validation": overlap.validation.name,
            "compared_by": "id" if overlap.by == "id" else "equal content",
            "shared_samples": overlap.shared,
            "share_of_validation": round(share, 4),
            "growth": _growth(overlap),
            "first_example": _example(overlap.example, overlap.by),
            "shared_by_ranks": [[*ranks, count] for ranks, count in overlap.ranks.items()][:_MOST],
            "shared_by_epoch": _listed(overlap.epochs["shared"]),
            "trained_on_up_to_epoch": _listed(overlap.epochs["trained_on"]),
            "shared_with_the_epochs_own_pass": _listed(overlap.epochs["shared_with_pass"]),
            "trained_on_of_the_epochs_own_pass": _listed(overlap.epochs["pass_trained_on"]),
            "validation_samples": overlap.validation_samples,
            "ignored_contents": overlap.ignored,
        },
        pages.fix(CAUSE, *fixes.places(overlap.training.framework, overlap.training.kind)),
    )


def _summary(overlap: Overlap, share: float, few: bool) -> str:
    what = "" if overlap.by == "id" else ", by equal content"
    head = (
        f"{overlap.shared:,} of the {overlap.validation_samples:,} samples of {overlap.validation.name} "
        f"({share:.1%}) are trained on by {overlap.training.name}{what}"
    )
    if overlap.only_across_ranks:
        ranks = listed(sorted({training for training, _ in overlap.ranks}))
        head += f", but only across ranks: ranks {ranks} train on what others validate on"
    if few:
        return f"{head}: so few may be items that the data holds twice."
    if _growth(overlap) != "growing":
        return f"{head}."
    grew = f"{head}, {int(overlap.epochs['trained_on'].iloc[0]):,} of them in the first epoch"
    changes = overlap.validation_repeated is not None and overlap.validation_repeated < 1
    return f"{grew}: what is validated on changes from pass to pass." if changes else f"{grew}."


def _growth(overlap: Overlap) -> str:
    """Whether what was trained on grew: a fixed overlap is there after the first epoch, or an endless one."""
    if len(overlap.epochs) < 2:
        return "not known: one epoch"
    trained_on = overlap.epochs["trained_on"]
    return "growing" if trained_on.iloc[-1] > trained_on.iloc[0] else "constant"


def _example(example: dict[str, Any], by: str) -> str:
    (epoch, step), (its_epoch, its_step) = example["training"], example["validation"]
    name = f"id {example['sample']}" if by == "id" else f"content {example['sample'][:8]}"
    where = [f"in epoch {epoch} step {step}", f"in epoch {its_epoch} step {its_step}"]
    if "ranks" in example:
        where = [f"by rank {rank} {place}" for rank, place in zip(example["ranks"], where, strict=True)]
    return f"{name}: trained on {where[0]}, validated on {where[1]}"


def _listed(values: Any) -> list[int] | None:
    return None if values.isna().any() else [int(value) for value in values][:_MOST]
