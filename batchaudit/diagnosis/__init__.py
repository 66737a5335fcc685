"""Names causes: evidence in, findings out, one small rule each cause.

To add a cause, add its file here, a page in `docs/causes/` and a case with its healthy twin to the corpus.
"""

from __future__ import annotations

from typing import Any

from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis import rng_clone, rng_epoch_reset, shared_state_race, stale_epoch, unsharded_replica
from batchaudit.diagnosis.finding import RULED_OUT, SEVERITIES, Finding, Verdict
from batchaudit.diagnosis.judgement import Judgement, not_observable

RULES = (shared_state_race, unsharded_replica, rng_clone, rng_epoch_reset, stale_epoch)

CAUSES = tuple(rule.CAUSE for rule in RULES)


def _judged(rule: Any, evidence: Evidence) -> Judgement:
    judgement: Judgement = rule.judge(evidence)
    if judgement.verdict == RULED_OUT and evidence.ended_early:
        return not_observable(f"the run ended early; until then {judgement.reason}")
    return judgement


def diagnose(evidence: Evidence) -> tuple[tuple[Finding, ...], tuple[Verdict, ...]]:
    """Weighs the evidence of one run, cause by cause.

    Args:
        evidence: the run.

    Returns:
        The findings, most severe first, and a verdict for every cause.
    """
    judged = [(rule.CAUSE, _judged(rule, evidence)) for rule in RULES]
    findings = [judgement.finding for _, judgement in judged if judgement.finding is not None]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return tuple(findings), tuple(Verdict(cause, j.verdict, j.reason) for cause, j in judged)
