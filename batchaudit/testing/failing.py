"""How an assertion fails: with what the report says, and wherever something could not be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from batchaudit.errors import WrongTypeError

if TYPE_CHECKING:
    from batchaudit.diagnosis.finding import Finding
    from batchaudit.report.model import Report, Run

_LIVE = "live"


def check_seen(report: Report) -> None:
    """Fails where something was not seen, so that nothing can be said to be absent."""
    __tracebackhide__ = True
    check_report(report)
    if not report.complete:
        from batchaudit.report import incomplete

        fail(f"the log is {incomplete.WORD}: {incomplete.missing(report)}", report)
    if report.missing_ranks:
        fail(f"the logs of ranks {', '.join(map(str, report.missing_ranks))} are missing", report)
    if not report.runs:
        fail("nothing was audited", report)
    for run in report.runs:
        if run.skipped is not None:
            fail(f"{named(run)} was not audited: {run.skipped}", report, run)
        if run.error is not None:
            fail(f"{named(run)} ended early", report, run)
        if report.epochs_of(run).empty:
            fail(f"{named(run)} delivered no batch", report, run)


def fail(failed: str, report: Report, run: Run | None = None, finding: Finding | None = None) -> NoReturn:
    """Raises the `AssertionError`.

    Args:
        failed: what was asked for and is not so, in a sentence.
        report: the report.
        run: which run shows it; None for what lies between runs.
        finding: its likely cause; by default the run's most severe one.
    """
    __tracebackhide__ = True
    from batchaudit.report.brief import brief

    raise AssertionError(brief(failed, report, run, finding))


def named(run: Run) -> str:
    """What a message calls a run."""
    rank = f", rank {run.rank}" if run.rank else ""
    # A training drives its own source, in the one way that it does.
    return f"{run.source}{rank}" if run.strategy == _LIVE else f"{run.source} under {run.strategy}{rank}"


def is_report(given: Any) -> bool:
    """Whether something is a report."""
    from batchaudit.report.model import Report

    return isinstance(given, Report)


def check_report(report: Any) -> None:
    """Refuses what is no report.

    Raises:
        WrongTypeError: it is none.
    """
    if not is_report(report):
        raise WrongTypeError(
            f"report is of type {type(report).__name__}: expected what batchaudit.audit(), Audit.report() or "
            "Report.load() returns."
        )
