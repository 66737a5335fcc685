"""The report in a terminal, and as plain text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from batchaudit.diagnosis.finding import FOUND, NOT_OBSERVABLE, RULED_OUT, Verdict
from batchaudit.report.advice_view import AdviceView
from batchaudit.report.incomplete import WORD
from batchaudit.report.view import FindingView, RunView, view
from batchaudit.untrusted import shown, shown_line

if TYPE_CHECKING:
    from batchaudit.report.epoch_table import Table
    from batchaudit.report.model import Report

_STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "info": "bold blue",
    "ok": "bold green",
    "skipped": "bold",
    "failed": "bold red",
    "incomplete": "bold red",
    "unexplained": "bold yellow",
}
_MOST_EVIDENCE = 8
_ROOMY = 90
# Or the table would not fit into 80 columns.
_SHORT = {"seed divergence": "seed\ndiv."}


def as_text(report: Report, width: int = 100) -> str:
    """Writes a report as plain text.

    Args:
        report: the report.
        width: columns of a line; code and tracebacks keep their own.

    Returns:
        Text without colours or trailing blanks, ending in a line break.
    """
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=False,
        force_jupyter=False,
        color_system=None,
        legacy_windows=False,
    )
    print_report(report, console)
    return "".join(line.rstrip() + "\n" for line in file.getvalue().splitlines())


def print_report(report: Report, console: Console) -> None:
    """Prints a report: the verdict, then each run.

    Args:
        report: the report.
        console: where to. Nothing that comes from the report is taken for markup.
    """
    said = view(report)
    if said.incomplete:
        write_line(console, 0, (WORD, "bold red reverse"), (f": {said.incomplete}", "bold red"))
    write_line(console, 0, (said.headline, _STYLES[said.status]))
    write_line(console, 0, (said.counts, ""))
    for note in said.notes:
        write_line(console, 0, (f"note: {note}", ""))
    for run in said.runs:
        _run(console, run)
    for advice in said.advice:
        _advice(console, advice)


def _advice(console: Console, advice: AdviceView) -> None:
    write_blank(console)
    write_line(console, 0, (advice.title, "bold"), (f": {advice.summary}", ""))
    if advice.table is not None:
        write_table(console, advice.table)
    for rule, text, code in advice.reasons:
        write_line(console, 2, (f"{rule}: {text}", "dim"))
        _verbatim(console, 6, code)


def _run(console: Console, run: RunView) -> None:
    write_blank(console)
    write_line(console, 0, (run.title, _STYLES[run.status]), (f": {run.sentence}", ""))
    if run.table is not None:
        write_table(console, run.table)
    for remark in run.remarks:
        write_line(console, 2, (remark, ""))
    for finding in run.findings:
        _finding(console, finding)
    if run.error is not None:
        write_blank(console)
        write_line(console, 2, ("ended early by", _STYLES["failed"]))
        _verbatim(console, 4, run.error)
    if run.verdicts and (run.findings or run.error is not None):
        write_blank(console)
    _verdicts(console, run.verdicts)


def write_table(console: Console, table: Table) -> None:
    """Prints a table; one that is too wide stays so, for a number cut short is another number."""
    gap = " " * (2 if console.width >= _ROOMY else 1)
    headings = [_SHORT.get(heading, heading) for heading in table.headings]
    lines = _header_lines(headings) + [list(map(shown_line, row)) for row in table.rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = (" " * (width - cell_len(cell)) + cell for cell, width in zip(line, widths, strict=True))
        style = "dim" if number < len(lines) - len(table.rows) else ""
        console.print(Text(("  " + gap.join(padded)).rstrip(), style), soft_wrap=True)
    for note in table.notes:
        write_line(console, 2, (note, "dim"))


def _header_lines(headings: list[str]) -> list[list[str]]:
    """Headings of several lines, set to stand on the same last line."""
    split = [heading.split("\n") for heading in headings]
    deepest = max(map(len, split))
    columns = [[""] * (deepest - len(lines)) + lines for lines in split]
    return [list(line) for line in zip(*columns, strict=True)]


def _finding(console: Console, finding: FindingView) -> None:
    write_blank(console)
    style = _STYLES.get(finding.severity, "bold")
    head = f"{finding.severity.upper()} {finding.cause}"
    write_line(console, 2, (head, style), (f" ({finding.scope}): {finding.summary}", ""))
    if finding.evidence:
        items = [f"{name} = {value}" for name, value in finding.evidence[:_MOST_EVIDENCE]]
        left = len(finding.evidence) - _MOST_EVIDENCE
        items += [f"{left} more in the JSON"] if left > 0 else []
        write_line(console, 4, ("evidence: " + "; ".join(items), ""))
    if finding.fix:
        write_line(console, 4, ("fix:", ""))
        _verbatim(console, 6, finding.fix)


def _verdicts(console: Console, verdicts: tuple[Verdict, ...]) -> None:
    for verdict in (FOUND, RULED_OUT):
        causes = dict.fromkeys(one.cause for one in verdicts if one.verdict == verdict)
        if causes:
            write_line(console, 2, (f"{verdict}: {', '.join(causes)}", "dim"))
    by_reason: dict[str, list[str]] = {}
    for one in verdicts:
        if one.verdict == NOT_OBSERVABLE:
            by_reason.setdefault(one.reason, []).append(one.cause)
    for reason, unseen in by_reason.items():
        write_line(console, 2, (f"{NOT_OBSERVABLE}: {', '.join(unseen)}: {reason}", "dim"))


def write_line(console: Console, indent: int, *parts: tuple[str, str]) -> None:
    """Prints a paragraph, wrapped here so that no line ends in blanks."""
    text = Text.assemble(*((shown_line(part), style) for part, style in parts))
    for line in text.wrap(console, max(console.width - indent, 20)):
        line.rstrip()
        console.print(Text(" " * indent).append_text(line), soft_wrap=True)


def _verbatim(console: Console, indent: int, text: str) -> None:
    """Prints code or a traceback with the line breaks it came with, so that it can be copied."""
    for line in shown(text).splitlines():
        console.print(Text((" " * indent + line).rstrip()), soft_wrap=True)


def write_blank(console: Console) -> None:
    """Prints an empty line."""
    console.print(Text(""))
