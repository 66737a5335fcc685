"""The pytest plugin: fixture `batch_audit`, marker `batchaudit`, options, a summary, JUnit properties.

It is loaded into every pytest run on a machine that has batchaudit: it imports nothing but pytest.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import TracebackType

    from batchaudit.report.model import Report, Run

_OUT, _STRATEGIES = "--batchaudit-out", "--batchaudit-strategies"
_MARKER = "batchaudit"
_PROPERTY = "batchaudit"
_FOUND = ".found"
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
        help="audit with these strategies, whatever a test asks for; several apart by blanks or commas, as "
        "in 'serial fork:4 torch:4,persistent'",
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

    def __repr__(self) -> str:
        return "batch_audit"

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
            UsageError: what was given cannot be audited, or there is no such argument.
        """
        __tracebackhide__ = True
        import batchaudit

        if strategies is not None:
            options["strategies"] = strategies
        try:
            asked = self._asked(options)
            folder = self._folder()
            if folder is not None:
                asked.setdefault("out", folder / "log")
            report = batchaudit.audit(source, **asked)
            if folder is not None:
                report.save(folder / "report.html")
                report.save(folder / "report.json")
        except batchaudit.BatchauditError as error:
            if error.__cause__ is not None:
                error.__cause__.with_traceback(_theirs(error.__cause__.__traceback__))
            raise error.with_traceback(None)  # noqa: B904 - what happened inside of batchaudit is no help
        self.reports.append(report)
        self._request.node.user_properties.extend(_properties(report))
        return report

    def _asked(self, options: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the audit: what is nearer to the call goes first, and the command line before all.

        Raises:
            UsageError: there is no such argument.
        """
        asked: dict[str, Any] = {"advise": False}
        for marker in reversed(list(self._request.node.iter_markers(_MARKER))):
            asked |= _of_marker(marker)
        _check(options, "batch_audit")
        asked |= options
        texts = self._request.config.getoption(_STRATEGIES)
        asked["strategies"] = " ".join(texts).strip(", ") or asked.get("strategies")
        return asked

    def _folder(self) -> Path | None:
        """Where this audit's log and report are kept; None where nobody wants them.

        Raises:
            UsageError: it cannot be made.
        """
        from batchaudit.errors import UsageError

        out = self._request.config.getoption(_OUT)
        if out is None:
            return None
        self._number += 1
        here = self._request.config.invocation_params.dir
        folder = Path(here, Path(out).expanduser(), f"{_file_name(self._request.node.nodeid)}-{self._number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{_OUT}: {folder} cannot be made: {error.strerror or error}.") from None
        return folder


def _of_marker(marker: pytest.Mark) -> dict[str, Any]:
    """The arguments that a marker names.

    Raises:
        UsageError: there is no such argument.
    """
    from batchaudit.errors import UsageError

    named = dict(marker.kwargs)
    if marker.args:
        if len(marker.args) > 1 or "strategies" in named:
            raise UsageError(
                f"@pytest.mark.{_MARKER}{marker.args!r}: only the strategies stand without a name; write "
                "epochs=2 and so on."
            )
        named["strategies"] = marker.args[0]
    _check(named, f"@pytest.mark.{_MARKER}")
    return named


def _check(named: dict[str, Any], where: str) -> None:
    import inspect

    import batchaudit
    from batchaudit.errors import UsageError

    known = [name for name in inspect.signature(batchaudit.audit).parameters if name != "source"]
    unknown = [name for name in named if name not in known]
    if unknown:
        raise UsageError(f"{where} has no argument {', '.join(unknown)}: it has {', '.join(known)}.")


def _file_name(nodeid: str) -> str:
    """A test's name as that of a folder; no two tests have the same."""
    name = re.sub(r"::|/", "-", nodeid)
    safe = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._-")[:_MOST_NAME]
    if safe == name and "-" not in nodeid:
        return safe
    return f"{safe}-{hashlib.sha256(nodeid.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from where it leaves this package for the first time, and for good."""
    here, last = f"{Path(__file__).parent}{os.sep}", trace
    first = trace
    while last is not None:
        if last.tb_frame.f_code.co_filename.startswith(here):
            first = last.tb_next
        last = last.tb_next
    return first if first is not None else trace


@pytest.fixture
def batch_audit(request: pytest.FixtureRequest) -> BatchAudit:
    """Calls `batchaudit.audit` for a test; see `BatchAudit`."""
    return BatchAudit(request)


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """What of a report stands in the JUnit file, and in the summary at the end."""
    from batchaudit.untrusted import shown_line

    for run in report.runs:
        name = shown_line(f"{_PROPERTY}.{run.source}.{run.strategy}")
        epochs = report.epochs_of(run)
        if len(epochs) and epochs["unique"].notna().all():
            yield f"{name}.unique", f"{int(epochs['unique'].sum())} of {int(epochs['delivered'].sum())}"
        yield f"{name}{_FOUND}", shown_line(_said(report, run))


def _said(report: Report, run: Run) -> str:
    if run.skipped is not None:
        return f"skipped: {run.skipped}"
    said = list(dict.fromkeys(f"{one.cause} ({one.severity})" for one in run.findings))
    if run.error is not None:
        said.append("ended early")
    if not report.complete:
        from batchaudit.report import incomplete

        said.insert(0, f"{incomplete.WORD}: {incomplete.missing(report)}")
    return ", ".join(said) or _NOTHING


_NOTHING = "nothing"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says what the audits of this run found, a line each; under xdist those of all its processes."""
    of_tests: dict[str, list[tuple[str, str]]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            its = [
                (str(name)[len(_PROPERTY) + 1 : -len(_FOUND)], str(value))
                for name, value in getattr(report, "user_properties", ())
                if str(name).startswith(f"{_PROPERTY}.") and str(name).endswith(_FOUND)
            ]
            # A test has a report of its set-up, its call and its end; each holds what was known by then.
            if len(its) > len(of_tests.get(getattr(report, "nodeid", ""), [])):
                of_tests[report.nodeid] = its
    runs = [(nodeid, *one) for nodeid, its in of_tests.items() for one in its]
    if not runs:
        return
    told = [one for one in runs if one[2] != _NOTHING]
    terminalreporter.section("batchaudit")
    for nodeid, run, value in dict.fromkeys(told):
        terminalreporter.line(f"{nodeid}: {run}: {value}")
    many = f"{len(runs)} run{'' if len(runs) == 1 else 's'} audited"
    terminalreporter.line(f"{many}, {len(told)} with something found or skipped")
