"""The pytest plugin: fixture `batch_audit`, marker `batchaudit`, options, a summary, JUnit properties.

It is loaded into every pytest run on a machine that has batchaudit: it imports nothing but pytest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from batchaudit.report.model import Report

_OUT, _STRATEGIES = "--batchaudit-out", "--batchaudit-strategies"
_PROPERTY = "batchaudit"
_MOST_NAME = 80


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("batchaudit", "audits of data loaders")
    group.addoption(
        _OUT,
        metavar="DIR",
        help="keep the log and the report (HTML, JSON) of every audit of batch_audit under this folder",
    )
    group.addoption(
        _STRATEGIES,
        metavar="STRATEGIES",
        action="append",
        default=[],
        help="audit with these strategies, whatever a test asks for; several apart by blanks, as in "
        "'serial fork:4 torch:4,persistent'",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        "batchaudit(strategies, epochs, ...): what batch_audit is called with in this test, where the call "
        "itself does not say; the arguments are those of batchaudit.audit",
    )


class BatchAudit:
    """Audits sources in a test; what the fixture `batch_audit` gives.

    Attributes:
        reports: the reports of this test so far, in the order of the calls.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._number = 0
        self.reports: list[Report] = []

    def __call__(self, source: Any, strategies: Any = None, **options: Any) -> Report:
        """Audits a source, as `batchaudit.audit` does.

        Args:
            source: a callable that takes nothing and returns a new source (best), or a source.
            strategies: such as `["serial", "fork:4"]`; `--batchaudit-strategies` goes before it.
            options: all other arguments of `batchaudit.audit`. `advise` is False where it is not given: tests
                take no time for timings.

        Returns:
            The report, for the assertions in `batchaudit.testing`.

        Raises:
            UsageError: what was given cannot be audited.
        """
        import batchaudit

        marker = self._request.node.get_closest_marker("batchaudit")
        asked = {"advise": False, **(marker.kwargs if marker else {}), **options}
        if marker and marker.args:
            asked.setdefault("strategies", marker.args[0])
        if strategies is not None:
            asked["strategies"] = strategies
        from_options = [one for text in self._request.config.getoption(_STRATEGIES) for one in text.split()]
        if from_options:
            asked["strategies"] = from_options
        folder = self._folder()
        if folder is not None:
            asked.setdefault("out", folder / "log")
        report = batchaudit.audit(source, **asked)
        self.reports.append(report)
        if folder is not None:
            report.save(folder / "report.html")
            report.save(folder / "report.json")
        for name, value in _properties(report):
            self._request.node.user_properties.append((name, value))
        return report

    def _folder(self) -> Path | None:
        """Where this audit's log and report are kept; None where nobody wants them."""
        out = self._request.config.getoption(_OUT)
        if out is None:
            return None
        self._number += 1
        name = re.sub(r"[^\w.-]+", "_", self._request.node.nodeid)[-_MOST_NAME:].strip("_")
        folder = Path(self._request.config.invocation_params.dir, out, f"{name}-{self._number}")
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@pytest.fixture
def batch_audit(request: pytest.FixtureRequest) -> BatchAudit:
    """Calls `batchaudit.audit` for a test; see `BatchAudit`."""
    return BatchAudit(request)


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """What of a report stands in the JUnit file, and in the summary at the end."""
    for run in report.runs:
        name = f"{_PROPERTY}.{run.source}.{run.strategy}"
        epochs = report.epochs_of(run)
        if len(epochs) and epochs["unique"].notna().all():
            yield f"{name}.unique", f"{int(epochs['unique'].sum())} of {int(epochs['delivered'].sum())}"
        found = ", ".join(dict.fromkeys(f"{one.cause} ({one.severity})" for one in run.findings))
        yield f"{name}.found", f"skipped: {run.skipped}" if run.skipped else found or "nothing"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says what the audits of this run found, a line each; under xdist those of all its processes."""
    seen: dict[tuple[str, str, str], None] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if str(name).startswith(f"{_PROPERTY}.") and str(name).endswith(".found"):
                    seen[report.nodeid, str(name)[len(_PROPERTY) + 1 : -len(".found")], str(value)] = None
    told = [one for one in seen if one[2] != "nothing"]
    if not seen:
        return
    terminalreporter.section("batchaudit")
    for nodeid, run, value in told:
        terminalreporter.line(f"{nodeid}: {run}: {value}")
    terminalreporter.line(f"{len(seen)} runs audited, {len(told)} with something found or skipped")
