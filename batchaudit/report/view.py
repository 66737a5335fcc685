"""What is said of a report, in which words and which order; console and HTML only set it.

All text here is clean (no control characters) and still plain: whoever sets it escapes it for its medium.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from batchaudit.diagnosis.finding import NOT_OBSERVABLE, SEVERITIES, Finding, Verdict
from batchaudit.report import cells, incomplete
from batchaudit.report.advice_view import AdviceView, advice_view
from batchaudit.report.epoch_table import Table, epoch_table
from batchaudit.report.model import Report, Run
from batchaudit.report.remarks import LIVE, pooled_remarks, remarks
from batchaudit.untrusted import shown, shown_line

_MOST_RANKS = 8
_OTHERWISE = {
    "failed": "ended early",
    "skipped": "skipped",
    "incomplete": "without a finding in an incomplete log",
    "unexplained": "with repeated batches that no cause explains",
    "ok": "with nothing wrong",
}


@dataclass(frozen=True)
class FindingView:
    """A finding: `evidence` are names with their values, `fix` is code."""

    severity: str
    cause: str
    scope: str
    summary: str
    evidence: tuple[tuple[str, str], ...]
    fix: str


@dataclass(frozen=True)
class RunView:
    """One run.

    Attributes:
        run: the run itself, the first of those that are shown as one; None for what lies between runs.
        title: the strategy, after the source's name where a report has several sources or runs.
        status: what colours it: a severity, "ok", "skipped", "failed" (it ended early) or "incomplete".
        sentence: the run in one sentence.
        repeats: whether a batch was delivered twice within an epoch.
        error: the traceback that ended it early; None where nothing did.
        table: its epochs; None where there is none.
        remarks: what else the figures show, one line each.
        findings: most severe first.
        verdicts: one for each cause.
    """

    run: Run | None
    title: str
    status: str
    sentence: str
    repeats: bool
    error: str | None
    table: Table | None
    remarks: tuple[str, ...]
    findings: tuple[FindingView, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class View:
    """A whole report: `headline` is the verdict, `status` colours it, `counts` is how many runs ended how.

    `incomplete` is what is missing in its log, "" for nothing: every face says it before all else. `advice`
    is what to do about its speed, source by source.
    """

    headline: str
    status: str
    counts: str
    incomplete: str
    notes: tuple[str, ...]
    runs: tuple[RunView, ...]
    advice: tuple[AdviceView, ...] = ()


def view(report: Report) -> View:
    """Puts a report into words.

    Args:
        report: the report.

    Returns:
        Its words, clean and not yet escaped for any medium.
    """
    own = tuple(_run(report, same[0], _title(report, same)) for same in _alike(report.runs))
    runs = (*own, *_across(report))
    headline, status = _headline(report, runs)
    return View(
        headline,
        status,
        _counts(report, own, runs),
        incomplete.missing(report),
        tuple(map(shown_line, _notes(report))),
        runs,
        tuple(map(advice_view, report.advice)),
    )


def _alike(runs: tuple[Run, ...]) -> list[list[Run]]:
    """Runs of several ranks that differ in nothing but the rank and the figures: one of them is shown."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        causes = tuple((finding.cause, finding.severity) for finding in run.findings)
        key = (run.run, run.attempt, run.source, run.strategy, run.skipped, run.error, causes)
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _title(report: Report, same: list[Run]) -> str:
    run = same[0]
    source, strategy = shown_line(run.source), shown_line(run.strategy)
    if strategy == LIVE:  # the only way in which a program drives its own source
        strategy = source
    elif len({other.source for other in report.runs}) > 1:
        strategy = f"{source}, {strategy}"
    if len({other.run for other in report.runs}) > 1:
        strategy = f"{shown_line(run.run)}: {strategy}"
    if len({other.attempt for other in report.runs}) > 1:
        strategy = f"{strategy}, attempt {run.attempt}"
    if len(same) > 1:
        ranks = ", ".join(str(one.rank) for one in same[1:_MOST_RANKS])
        more = len(same) - _MOST_RANKS
        others = f"{ranks} and {more} more" if more > 0 else ranks
        return f"{strategy}, rank {run.rank} (and in the same way rank{'s' * (len(same) > 2)} {others})"
    if len({other.rank for other in report.runs}) > 1:
        strategy = f"{strategy}, rank {run.rank}"
    return strategy


def _across(report: Report) -> tuple[RunView, ...]:
    """What lies between ranks, attempts and sources, shown as a run of its own."""
    told = report.across or any(one.verdict != NOT_OBSERVABLE for one in report.across_verdicts)
    if not told and (len(report.ranks) < 2 or not report.across_verdicts):
        return ()
    found = {finding.severity for finding in report.across}
    causes = ", ".join(dict.fromkeys(shown_line(finding.cause) for finding in report.across))
    return (
        RunView(
            run=None,
            title=f"between {_between(report)}",
            status=next((severity for severity in SEVERITIES if severity in found), "ok"),
            sentence=causes or "nothing found",
            repeats=False,
            error=None,
            table=None,
            remarks=pooled_remarks(report),
            findings=_findings(report.across),
            verdicts=tuple(_verdict(verdict) for verdict in report.across_verdicts),
        ),
    )


def _between(report: Report) -> str:
    several = {"ranks": len(report.ranks) > 1, "attempts": len(report.attempts) > 1, "sources": True}
    return ", ".join(name for name, there in several.items() if there)


def _notes(report: Report) -> list[str]:
    missing = report.missing_ranks
    said = [f"rank {rank} is missing: its log is not among those read" for rank in missing[:_MOST_RANKS]]
    if len(missing) > _MOST_RANKS:
        said.append(
            f"{len(missing) - _MOST_RANKS:,} more ranks are missing, the last of them {missing[-1]:,}"
        )
    return [*said, *incomplete.other_notes(report)]


def _headline(report: Report, runs: tuple[RunView, ...]) -> tuple[str, str]:
    for severity in ("error", "warning"):
        for run in runs:
            if run.status == severity:
                return _verdict_line(run), severity
    for run in runs:
        if run.error is not None:
            return _verdict_line(run), "failed"
    if all(run.status == "skipped" for run in runs):
        return "nothing was audited" + (": no strategy could run the source" if runs else ""), "skipped"
    for run in runs:
        if run.status == "unexplained":
            return f"{run.title}: {run.sentence}", "unexplained"
    if not report.complete:
        return "no finding, but the log is incomplete: nothing can be ruled out", "incomplete"
    return "nothing wrong was found", "ok"


def _verdict_line(run: RunView) -> str:
    # Where no batch is repeated, the figures alone would sound like praise.
    silent = run.findings and not run.repeats
    return f"{run.title}: {run.sentence}" + (f": {run.findings[0].summary}" if silent else "")


def _counts(report: Report, own: tuple[RunView, ...], runs: tuple[RunView, ...]) -> str:
    names = list(dict.fromkeys(shown_line(run.source) for run in report.runs))
    many = len(own)
    head = f"{many} run{'' if many == 1 else 's'}" + (f" of {', '.join(names)}" if names else "")
    head += f" in {len(report.ranks)} ranks" if len(report.ranks) > 1 else ""
    found = [finding.severity for run in runs for finding in run.findings]
    parts = [_many(found.count(severity), severity) for severity in SEVERITIES if severity in found]
    for status, words in _OTHERWISE.items():
        many = sum(_group(run) == status for run in own)
        parts += [f"{many} {words}"] if many else []
    return f"{head}: {', '.join(parts)}" if parts else head


def _many(count: int, severity: str) -> str:
    return f"{count} {severity}{'' if count == 1 or severity == 'info' else 's'}"


def _group(run: RunView) -> str:
    return "failed" if run.error is not None else run.status


def _run(report: Report, run: Run, title: str) -> RunView:
    epochs = report.epochs_of(run)
    repeats = len(epochs) > 0 and bool((epochs["unique"] < epochs["delivered"]).any())
    return RunView(
        run=run,
        title=title,
        status=_status(report, run, epochs),
        sentence=_sentence(report, run, epochs, repeats),
        repeats=repeats,
        error=None if run.error is None else shown(run.error).strip("\n"),
        table=epoch_table(epochs) if len(epochs) else None,
        remarks=remarks(report, run, epochs),
        findings=_findings(run.findings),
        verdicts=tuple(_verdict(verdict) for verdict in run.verdicts),
    )


def _verdict(verdict: Verdict) -> Verdict:
    return Verdict(shown_line(verdict.cause), shown_line(verdict.verdict), shown_line(verdict.reason))


def _status(report: Report, run: Run, epochs: pd.DataFrame) -> str:
    found = {finding.severity for finding in run.findings}
    worst = next((severity for severity in SEVERITIES if severity in found), "ok")
    if worst in ("error", "warning"):
        return worst
    if run.error is not None:
        return "failed"
    if run.skipped is not None:
        return "skipped"
    if worst == "ok" and _unexplained(epochs):
        return "unexplained"
    return worst if report.complete else "incomplete"


def _unexplained(epochs: pd.DataFrame) -> bool:
    """Whether batches are repeated within an epoch, and the source is not known to repeat them by itself."""
    if epochs.empty:
        return False
    expected = epochs["expected_unique"].fillna(epochs["delivered"])
    return bool((epochs["unique"] < expected.clip(upper=epochs["delivered"])).any())


def _sentence(report: Report, run: Run, epochs: pd.DataFrame, repeats: bool) -> str:
    if run.skipped is not None:
        return f"skipped: {shown_line(run.skipped)}"
    parts = [_figures(epochs)] if repeats or not run.findings else []
    if run.findings:
        parts.append(", ".join(dict.fromkeys(shown_line(finding.cause) for finding in run.findings)))
    elif run.error is None and _unexplained(epochs):
        parts.append("no cause was found")
    elif run.error is None:
        parts.append("nothing found" if report.complete else "nothing can be ruled out: incomplete log")
    if run.error is not None:
        parts.append("ended early: " + _last_line(run.error))
    return " - ".join(parts)


def _last_line(error: str) -> str:
    lines = shown(error).strip().splitlines()
    return lines[-1].strip() if lines else "no message"


def _figures(epochs: pd.DataFrame) -> str:
    if epochs.empty:
        return "no batch was delivered"
    unique, delivered = epochs["unique"].tolist(), epochs["delivered"].tolist()
    each = " in each epoch" if len(epochs) > 1 else ""
    if any(map(cells.is_unknown, unique)):
        return f"{cells.span(delivered)} batches{each}, how many are different is not known"
    return f"{cells.span(unique)} of {cells.span(delivered)} batches are different{each}"


_EXAMPLE = "first_example"
"""What a reader can look up in the frames: it comes first, and whole."""
_COPIES = "copies"
"""How many batches came how often, where it is that."""


def _times(count: object) -> str:
    return "once" if str(count) == "1" else f"{count} times"


def _evidence(finding: Finding) -> Iterator[tuple[str, str]]:
    example = finding.evidence.get(_EXAMPLE)
    if example:
        yield "first example", shown_line(str(example))
    for name, value in finding.evidence.items():
        if name == _COPIES and isinstance(value, Mapping):
            yield name, shown_line(", ".join(f"{many} came {_times(times)}" for times, many in value.items()))
        elif name != _EXAMPLE:
            yield shown_line(str(name)), cells.evidence(value)


def _findings(findings: Iterable[Finding]) -> tuple[FindingView, ...]:
    """What is shown of a run's findings; code that mends several of them stands once."""
    views: list[FindingView] = []
    mended: dict[str, str] = {}
    for finding in findings:
        view = _finding(finding)
        first = mended.setdefault(view.fix, view.cause)
        again = "\n" in view.fix and first != view.cause
        views.append(replace(view, fix=f"# as for {first}, above") if again else view)
    return tuple(views)


def _finding(finding: Finding) -> FindingView:
    return FindingView(
        severity=shown_line(finding.severity),
        cause=shown_line(finding.cause),
        scope=shown_line(finding.scope),
        summary=shown_line(finding.summary),
        evidence=tuple(_evidence(finding)),
        fix=shown(finding.fix).strip("\n"),
    )
