"""What one rule says of one run, and the words that rules share."""

from __future__ import annotations

from dataclasses import dataclass

from batchaudit.analysis.contents import short as short
from batchaudit.analysis.evidence import Evidence
from batchaudit.diagnosis.finding import FOUND, NOT_OBSERVABLE, RULED_OUT, Finding

MANY_ENOUGH = 3
"""Fewer steps of a worker than this prove nothing: two workers may agree by chance, or by one peek."""


NO_STREAM = "no random stream moved; one that cannot be read (a C++ library's) would not have been seen"
TOO_FEW_STEPS = (
    f"fewer than two workers made {MANY_ENOUGH} batches or more: use a longer epoch or fewer workers"
)


@dataclass(frozen=True)
class Judgement:
    """A rule's verdict.

    Attributes:
        verdict: "found", "ruled out" or "not observable".
        reason: why.
        finding: what was found, where something was.
    """

    verdict: str
    reason: str
    finding: Finding | None = None


def found(finding: Finding) -> Judgement:
    """The cause is there."""
    return Judgement(FOUND, finding.summary, finding)


def ruled_out(reason: str) -> Judgement:
    """The cause would have been seen, and was not."""
    return Judgement(RULED_OUT, reason)


def not_observable(reason: str) -> Judgement:
    """The cause could not have been seen; the reason says what would make it visible."""
    return Judgement(NOT_OBSERVABLE, reason)


def one_worker(evidence: Evidence, why: str) -> Judgement:
    """What to say of workers where batches of only one were seen.

    Args:
        evidence: the run.
        why: why one worker cannot have the cause.
    """
    if evidence.workers_configured > 1:
        return not_observable(
            f"only one of {evidence.workers_configured} workers made batches: use a longer epoch"
        )
    return ruled_out(why)


def listed(numbers: list[int]) -> str:
    """A few numbers in words: "0, 1, 2 and 5 more"."""
    head = ", ".join(str(number) for number in numbers[:4])
    return head if len(numbers) <= 4 else f"{head} and {len(numbers) - 4} more"
