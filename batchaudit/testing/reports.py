"""Assertions about a report."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from batchaudit.errors import UsageError, WrongTypeError
from batchaudit.testing.failing import check_seen, fail, named

if TYPE_CHECKING:
    from batchaudit.diagnosis.finding import Finding
    from batchaudit.report.model import Report, Run

_WORSE = {"error": ("error",), "warning": ("error", "warning"), "info": ("error", "warning", "info")}
_ANY = 1e-9
"""Ratios are quotients of whole numbers: this much is rounding."""


def assert_no_findings(report: Report, *, fail_on: str = "warning", ignore: Collection[str] = ()) -> None:
    """Fails where the diagnosis found a cause, or could not look.

    Args:
        report: the report.
        fail_on: the least severity that fails: "error", "warning" or "info".
        ignore: causes that may be there, such as `["intrinsic-duplicate"]`.

    Raises:
        AssertionError: there is a finding, a log is incomplete, a run was skipped or ended early, batches
            could not be hashed, or nothing was audited.
        UsageError: a severity or a cause that there is none of.
        WrongTypeError: a `TypeError`: what was given is no report.
    """
    __tracebackhide__ = True
    if fail_on not in _WORSE:
        raise UsageError(f"fail_on={fail_on!r}: expected one of {', '.join(_WORSE)}.")
    _check_causes(ignore)
    check_seen(report)

    def counts(finding: Finding) -> bool:
        return finding.severity in _WORSE[fail_on] and finding.cause not in ignore

    for run in report.runs:
        for finding in filter(counts, run.findings):
            fail(f"{named(run)}: {finding.cause} was found", report, run, finding)
    for finding in filter(counts, report.across):
        fail(f"{finding.cause} was found between ranks, attempts or sources", report, None, finding)
    for run, epoch in _epochs(report):
        if _unknown(epoch["unique"]):
            fail(f"{named(run)}: whether its batches are different is not known", report, run)


def assert_unique_batches(report: Report, *, min_ratio: float = 1.0) -> None:
    """Fails where too many batches of an epoch are copies of others.

    Args:
        report: the report.
        min_ratio: different batches over delivered ones, at least, in each epoch of each run.

    Raises:
        AssertionError: an epoch has fewer, or it is not known how many it has.
        WrongTypeError: a `TypeError`: what was given is no report.
    """
    __tracebackhide__ = True
    _check_share("min_ratio", min_ratio)
    check_seen(report)
    for run, epoch in _epochs(report):
        many = f"{_count(epoch['unique'])} different batches of {_count(epoch['delivered'])}"
        _at_least(report, run, epoch, "effective_ratio", min_ratio, many, "min_ratio")


def assert_sample_coverage(report: Report, *, min_coverage: float = 1.0) -> None:
    """Fails where an epoch leaves out samples that the source has.

    Args:
        report: the report.
        min_coverage: different samples of an epoch over those that the serial pass of it has, at least.

    Raises:
        AssertionError: an epoch has fewer, or it is not known how many there are.
        WrongTypeError: a `TypeError`: what was given is no report.
    """
    __tracebackhide__ = True
    _check_share("min_coverage", min_coverage)
    check_seen(report)
    for run, epoch in _epochs(report):
        many = f"{_count(epoch['unique_samples'])} different samples"
        _at_least(report, run, epoch, "sample_coverage", min_coverage, many, "min_coverage")


def assert_seeds_diverge(report: Report, *, min_divergence: float = 1.0) -> None:
    """Fails where workers, or epochs, draw from equal random states.

    Args:
        report: the report, with a run of two workers or more.
        min_divergence: the least seed divergence of an epoch, and the least share of its draws that no
            earlier epoch made (`seed_divergence` and `epoch_divergence` of `Report.epochs`).

    Raises:
        AssertionError: an epoch has less, or no epoch of any run shows how much it has.
        WrongTypeError: a `TypeError`: what was given is no report.
    """
    __tracebackhide__ = True
    _check_share("min_divergence", min_divergence)
    check_seen(report)
    notes: dict[str, None] = {}
    observed = False
    for run, epoch in _epochs(report):
        for figure, whose in (("seed_divergence", "workers"), ("epoch_divergence", "epochs")):
            if _unknown(epoch[figure]):
                continue
            observed = observed or figure == "seed_divergence"
            equal = f"{whose} drew from equal random states"
            _at_least(report, run, epoch, figure, min_divergence, equal, "min_divergence")
        notes[f"{named(run)}: {epoch['seed_divergence_note']}"] = None
    if not observed:
        why = "; ".join(notes) or "no epoch was delivered"
        fail(f"whether the workers' random states diverge could not be seen: {why}", report)


def _epochs(report: Report) -> Iterable[tuple[Run, dict[str, Any]]]:
    for run in report.runs:
        for epoch in report.epochs_of(run).to_dict("records"):
            yield run, {str(name): value for name, value in epoch.items()}


def _at_least(
    report: Report, run: Run, epoch: dict[str, Any], figure: str, least: float, many: str, option: str
) -> None:
    __tracebackhide__ = True
    value = epoch[figure]
    where = f"{named(run)}, epoch {epoch['epoch']}"
    if _unknown(value):
        fail(f"{where}: the {figure} is not known, so {option} cannot be checked", report, run)
    if value < least - _ANY:
        asked = f"{option} asks for {least:g}"
        fail(f"{where}: {many}: {figure} {_told_from(least, value)}, and {asked}", report, run)


def _told_from(other: float, value: float) -> str:
    """A number with three digits, or as many as show that it is another one."""
    for digits in range(3, 17):
        text = f"{value:.{digits}g}"
        if float(text) != other:
            break
    return text


def _check_share(name: str, value: float) -> None:
    if not isinstance(value, numbers.Real):
        raise WrongTypeError(f"{name}={value!r}: expected a number from 0 to 1.")
    if not 0 <= value <= 1:
        raise UsageError(f"{name}={value!r}: expected a share from 0 to 1.")


def _check_causes(causes: Collection[str]) -> None:
    from batchaudit.diagnosis.pages import CAUSES

    unknown = [cause for cause in causes if cause not in CAUSES]
    if isinstance(causes, str) or unknown:
        raise UsageError(f"ignore={causes!r}: expected a list of causes out of {', '.join(CAUSES)}.")


def _count(value: Any) -> str:
    return "?" if _unknown(value) else f"{int(value):,}"


def _unknown(value: Any) -> bool:
    return value is None or value != value  # NaN is no equal of its own
