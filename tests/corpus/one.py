"""One case in a process of its own: `python -m tests.corpus.one ID` prints what came of it as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from tests.corpus import cases
from tests.corpus.case import Case

if TYPE_CHECKING:
    from batchaudit import Report
    from batchaudit.diagnosis.finding import Finding

BAD = ("error", "warning")
"""Severities that a healthy loader must not have."""


@dataclass
class Seen:
    """What one audit said.

    Attributes:
        findings: the worst severity of each cause that was found, "info" too.
        scopes: the scopes of each cause.
        verdicts: of each cause, the strongest of the verdicts of all runs.
        summaries: one sentence each finding.
        trouble: what kept the audit from being one: an exception, a strategy that was skipped, an incomplete
            log.
        ended: why runs ended early: what the loader itself raised.
    """

    findings: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, list[str]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    summaries: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def bad(self) -> set[str]:
        """The causes that were found with more than "info"."""
        return {cause for cause, severity in self.findings.items() if severity in BAD}

    @property
    def clean(self) -> bool:
        """Whether the audit was one, and nothing was found that is more than "info"."""
        return not (self.bad or self.trouble or self.ended)


@dataclass
class Outcome:
    """What came of a case or of a healthy loader.

    Attributes:
        id: which.
        framework: whose loader it is.
        what: the bug, or why the healthy loader looks suspicious.
        expected: the causes that must be found; None for a healthy loader.
        allowed: the causes that may be.
        sick: what was seen of the sick loader; None for a healthy one.
        healthy: what was seen of the twin, or of the healthy loader.
        proof: what the framework alone showed; None where the proof did not hold, or there is none.
        reasons: why it is not right.
        seconds: how long it took.
    """

    id: str
    framework: str
    what: str
    expected: list[str] | None = None
    allowed: list[str] = field(default_factory=list)
    sick: Seen | None = None
    healthy: Seen = field(default_factory=Seen)
    proof: str | None = None
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether all of it is as it must be."""
        return not self.reasons

    @property
    def named(self) -> bool:
        """Whether the sick loader's causes were found, and no other."""
        if self.sick is None or self.sick.trouble:
            return False
        expected = set(self.expected or ())
        return expected <= self.sick.findings.keys() and self.sick.bad <= expected | set(self.allowed)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Outcome:
        """The outcome that `to_dict` made these values of."""
        sick = Seen(**values["sick"]) if values["sick"] else None
        return Outcome(**{**values, "sick": sick, "healthy": Seen(**values["healthy"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def seen_of(audit: Callable[[], Report]) -> Seen:
    """Runs one audit and keeps what it said.

    Args:
        audit: the audit; what it raises is kept, too.
    """
    try:
        report = audit()
    except Exception as error:
        return Seen(trouble=[_in_words(error)])
    seen = Seen()
    for finding in report.findings:
        _note(seen, finding)
    strongest = ("found", "not observable", "ruled out")
    for verdict in (*(v for run in report.runs for v in run.verdicts), *report.across_verdicts):
        both = (verdict.verdict, seen.verdicts.get(verdict.cause, "ruled out"))
        seen.verdicts[verdict.cause] = min(both, key=strongest.index)
    seen.trouble += [f"{run.strategy} was skipped: {run.skipped}" for run in report.runs if run.skipped]
    seen.trouble += [] if report.runs else ["nothing was audited"]
    seen.trouble += [] if report.complete else [f"the log is incomplete: {'; '.join(report.notes)}"]
    seen.ended = [_last_line(run.error) for run in report.runs if run.error]
    return seen


def _note(seen: Seen, finding: Finding) -> None:
    worst = seen.findings.get(finding.cause, "info")
    ranking = (*BAD, "info")
    seen.findings[finding.cause] = min(worst, finding.severity, key=ranking.index)
    scopes = seen.scopes.setdefault(finding.cause, [])
    if finding.scope not in scopes:
        scopes.append(finding.scope)
    seen.summaries.append(f"{finding.cause} ({finding.scope}, {finding.severity}): {finding.summary}")


def outcome_of(identity: str) -> Outcome:
    """Runs a case: the sick loader, its twin, the proof; or a healthy loader.

    Args:
        identity: its id.

    Raises:
        KeyError: there is no such case.
    """
    began = time.monotonic()
    entry = cases.find(identity)
    outcome = Outcome(entry.id, entry.framework, entry.what)
    if isinstance(entry, Case):
        outcome.expected, outcome.allowed = sorted(entry.expected), sorted(entry.allowed)
        outcome.sick = seen_of(entry.sick)
        outcome.healthy = seen_of(entry.twin)
        outcome.reasons += _wrong_of_sick(entry, outcome.sick) + _wrong_of_healthy("twin", outcome.healthy)
        try:
            outcome.proof = str(entry.proof())
        except Exception as error:
            outcome.reasons.append(f"the proof does not hold: {_in_words(error)}")
    else:
        outcome.healthy = seen_of(entry.audit)
        outcome.reasons += _wrong_of_healthy("healthy loader", outcome.healthy)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _wrong_of_sick(case: Case, seen: Seen) -> list[str]:
    missed = sorted(case.expected - seen.findings.keys())
    more = sorted(seen.bad - case.expected - case.allowed)
    reasons = [f"sick loader: {reason}" for reason in seen.trouble]
    reasons += [f"not found: {_listed(missed)}"] if missed else []
    reasons += [f"found, and must not be: {_listed(more)}"] if more else []
    return reasons


def _wrong_of_healthy(who: str, seen: Seen) -> list[str]:
    reasons = [f"{who}: {reason}" for reason in (*seen.trouble, *seen.ended)]
    return reasons + ([f"{who}: found {_listed(sorted(seen.bad))}"] if seen.bad else [])


def _listed(causes: Iterable[str]) -> str:
    return ", ".join(causes)


def _in_words(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(last.filename)}:{last.lineno}"
    return f"{type(error).__name__}: {_last_line(str(error) or last.line or '')} ({place})"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def main(arguments: list[str]) -> int:
    """Runs one case and prints its outcome.

    Args:
        arguments: the id.
    """
    if len(arguments) != 1:
        print("usage: python -m tests.corpus.one ID", file=sys.stderr)
        return 2
    line = os.dup(1)
    os.dup2(2, 1)  # what loaders and frameworks print is not our line
    try:
        outcome = outcome_of(arguments[0])
    except KeyError:
        print(f"no case has the id {arguments[0]}", file=sys.stderr)
        return 2
    os.write(line, (json.dumps(outcome.to_dict()) + "\n").encode())
    return 0 if outcome.right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
