"""What a diagnosis says: findings, and a verdict for every cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SEVERITIES = ("error", "warning", "info")
"""Most severe first."""

FOUND, RULED_OUT, NOT_OBSERVABLE = "found", "ruled out", "not observable"


@dataclass(frozen=True)
class Finding:
    """A cause that the evidence supports.

    Attributes:
        cause: its slug.
        severity: one of `SEVERITIES`.
        scope: between whom: "worker", "rank", "pipeline", "split" or "attempt".
        summary: what happened, in one sentence with its numbers.
        evidence: the numbers that led to it; plain values.
        fix: what to change, as code for the framework at hand.
    """

    cause: str
    severity: str
    scope: str
    summary: str
    evidence: dict[str, Any] = field(default_factory=dict)
    fix: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about one cause.

    Attributes:
        cause: its slug.
        verdict: "found", "ruled out" or "not observable".
        reason: why; for "not observable", what would make it observable.
    """

    cause: str
    verdict: str
    reason: str
