from __future__ import annotations

import pandas as pd
import pytest

from batchaudit.cli.exit_codes import FAIL_ON, ExitCode, of_report
from batchaudit.diagnosis.finding import Finding
from batchaudit.report.model import Report, Run


def report(severities, *, error=None, complete=True):
    run = Run("run", "source", "fork:4", 4, error=error)
    found = [
        Run("run", "s", "t", findings=(Finding("cause", severity, "worker", "…"),)) for severity in severities
    ]
    empty = pd.DataFrame()
    return Report((run, *found), empty, empty, empty, empty, complete=complete)


@pytest.mark.parametrize(
    ("severities", "codes"),
    [
        ([], (0, 0, 0)),
        (["info"], (0, 0, 0)),
        (["warning"], (0, 1, 0)),
        (["error"], (1, 1, 0)),
        (["info", "error", "warning"], (1, 1, 0)),
    ],
)
def test_findings(severities, codes):
    assert tuple(of_report(report(severities), fail_on) for fail_on in FAIL_ON) == codes


def test_an_early_end_counts_unless_there_are_findings():
    assert of_report(report([], error="x"), "error") == ExitCode.INCOMPLETE
    assert of_report(report(["error"], error="x"), "error") == ExitCode.FINDINGS
    assert of_report(report(["error"], error="x"), "never") == ExitCode.INCOMPLETE


@pytest.mark.parametrize("fail_on", FAIL_ON)
def test_a_damaged_log_comes_before_everything(fail_on):
    assert of_report(report(["error"], error="x", complete=False), fail_on) == ExitCode.INCOMPLETE
