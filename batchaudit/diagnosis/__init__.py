"""Names causes: evidence in, findings out, one small rule each cause.

To add a cause, add its file here, its page in `pages/`, and a case with its healthy twin to the corpus.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.diagnosis import (
    buffer_alias,
    frozen_augmentation,
    incomplete,
    inplace_mutation,
    intrinsic_duplicate,
    keyed,
    order_divergence,
    overshard,
    padding_duplicate,
    prefetch_loss,
    resume_replay,
    rng_clone,
    rng_epoch_reset,
    shared_state_race,
    stale_epoch,
    tail_drop,
    unsharded_replica,
)
from batchaudit.diagnosis.finding import RULED_OUT, SEVERITIES, Finding, Verdict
from batchaudit.diagnosis.judgement import Judgement, not_observable

# What is found first may spoil the arithmetic of what comes later: batches that changed on their way, then
# batches that are torn, then who made which, then what was drawn, then what is missing at the ends.
RULES: tuple[Any, ...] = (
    buffer_alias,
    inplace_mutation,
    shared_state_race,
    unsharded_replica,
    order_divergence,
    overshard,
    rng_clone,
    rng_epoch_reset,
    frozen_augmentation,
    stale_epoch,
    padding_duplicate,
    tail_drop,
    prefetch_loss,
    intrinsic_duplicate,
)
"""What can be wrong in one run; each has `judge(evidence, earlier)`."""

BETWEEN_RANKS: tuple[Any, ...] = (
    unsharded_replica,
    order_divergence,
    overshard,
    rng_clone,
    padding_duplicate,
    tail_drop,
)
"""What can be wrong between the training processes; each has `judge_ranks(ranks, earlier)`."""

BETWEEN_ATTEMPTS: tuple[Any, ...] = (resume_replay,)
"""What can be wrong between the starts of a training; each has `judge_attempts(starts)`."""


def _judged(rule: Any, evidence: Evidence, earlier: Collection[str]) -> Judgement:
    judgement: Judgement = rule.judge(evidence, earlier)
    if judgement.verdict == RULED_OUT and evidence.ended_early:
        return not_observable(f"the run ended early; until then {judgement.reason}")
    return judgement


def diagnose(evidence: Evidence, complete: bool = True) -> tuple[tuple[Finding, ...], tuple[Verdict, ...]]:
    """Weighs the evidence of one run, cause by cause.

    Args:
        evidence: the run.
        complete: whether nothing is known to be missing in the log.

    Returns:
        The findings, most severe first, and a verdict for every cause.
    """
    judged: dict[str, Judgement] = {}
    for rule in RULES:
        judged[rule.CAUSE] = _judged(rule, evidence, _found(judged))
    # Only now: a cause that cannot be believed may explain what the rules after it see.
    judged = {cause: incomplete.weighed(cause, it, complete) for cause, it in judged.items()}
    findings = [judgement.finding for judgement in judged.values() if judgement.finding is not None]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return tuple(findings), tuple(Verdict(cause, it.verdict, it.reason) for cause, it in judged.items())


def _found(judged: Mapping[str, Judgement]) -> frozenset[str]:
    return frozenset(cause for cause, judgement in judged.items() if judgement.finding is not None)


def diagnose_ranks(ranks: Ranks, complete: bool = True) -> list[tuple[Finding | None, Verdict]]:
    """Weighs what several training processes were given of one source.

    Args:
        ranks: the processes' evidence.
        complete: whether nothing is known to be missing in the log.

    Returns:
        For each cause a finding, where there is one, and a verdict.
    """
    judged: dict[str, Judgement] = {}
    unlike = keyed.apart(one.keys for one in ranks.of.values())
    for rule in BETWEEN_RANKS:
        judged[rule.CAUSE] = (
            not_observable(keyed.APART) if unlike else rule.judge_ranks(ranks, _found(judged))
        )
    return [
        _between(cause, ranks.source, incomplete.weighed(cause, judgement, complete))
        for cause, judgement in judged.items()
    ]


def diagnose_attempts(
    starts: Sequence[Evidence], complete: bool = True
) -> list[tuple[Finding | None, Verdict]]:
    """Weighs what one training process was given of one source, start after start.

    Args:
        starts: the evidence of each start, in order; of one source and rank.
        complete: whether nothing is known to be missing in the log.

    Returns:
        For each cause a finding, where there is one, and a verdict.
    """
    source = starts[0].source
    return [
        _between(rule.CAUSE, source, incomplete.weighed(rule.CAUSE, rule.judge_attempts(starts), complete))
        for rule in BETWEEN_ATTEMPTS
    ]


def _between(cause: str, source: str, judgement: Judgement) -> tuple[Finding | None, Verdict]:
    return judgement.finding, Verdict(cause, judgement.verdict, f"{source}: {judgement.reason}")
