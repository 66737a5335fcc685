"""What the exit code of a command says; scripts rely on it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchaudit.report.model import Report

FAIL_ON = ("error", "warning", "never")
"""What `--fail-on` takes."""


class ExitCode(IntEnum):
    """The exit codes."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERNAL = 70  # a defect of batchaudit; not Python's own 1, which would say that there are findings
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def of_report(report: Report, fail_on: str) -> ExitCode:
    """The exit code that a report deserves.

    A damaged log comes first: what it lacks may change everything. Findings come before an early end.

    Args:
        report: the report.
        fail_on: one of `FAIL_ON`.

    Returns:
        The code.
    """
    if not report.complete:
        return ExitCode.INCOMPLETE
    if _fails(report.worst(), fail_on):
        return ExitCode.FINDINGS
    if any(run.error is not None for run in report.runs):
        return ExitCode.INCOMPLETE
    return ExitCode.OK


def _fails(worst: str | None, fail_on: str) -> bool:
    from batchaudit.diagnosis.finding import SEVERITIES  # its package brings pandas

    if worst is None or fail_on == "never":
        return False
    return SEVERITIES.index(worst) <= SEVERITIES.index(fail_on)
