"""The report as Markdown that fits a comment on a pull request, as GitHub and GitLab read it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from batchaudit.report.incomplete import WORD
from batchaudit.report.view import FindingView, RunView, view

if TYPE_CHECKING:
    from batchaudit.report.advice_view import AdviceView
    from batchaudit.report.epoch_table import Table
    from batchaudit.report.model import Report

MOST_CHARACTERS = 60_000
"""GitHub takes 65,536 characters in a comment."""
_FOR_THE_END = 200
"""Kept free to say what is left out."""
_MOST_EVIDENCE = 8
_MARKUP = re.compile(r"([\\`*\[\]<>|~#&$]|(?<!\w)_|_(?!\w))")
_AT_THE_START = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$)))?([-+.)])(?=\s|$|-)")
"""A line that begins so is a list or a rule."""
_LINKED = re.compile(r"[@#!%~&](?=\w)|:(?=//)|:(?=[a-z_+-][\w+-]*:)|\bGH-(?=\d)|\bwww\.(?=\w)", re.IGNORECASE)
"""GitHub and GitLab look for people, issues, addresses and emojis in the text once Markdown has been read."""
_SIGNS = {
    "error": "❌",
    "failed": "❌",
    "warning": "⚠️",
    "unexplained": "⚠️",
    "incomplete": "⚠️",
    "info": "ℹ️",
    "ok": "✅",
    "skipped": "➖",
}


def as_markdown(report: Report) -> str:
    """Writes a report as Markdown: the verdict, a line a run, each finding with its fix.

    Args:
        report: the report.

    Returns:
        Text of at most `MOST_CHARACTERS`; what there is no room for is left out, and the end says so. Nothing
        that comes from a log is taken for markup or for a mention.
    """
    shown = view(report)
    title = f"### {_SIGNS[shown.status]} batchaudit: {_text(shown.headline)}"
    head = [title, _text(shown.counts)]
    if shown.incomplete:
        head = [f"### ⚠️ {WORD}", f"**{WORD}**: {_text(shown.incomplete)}", *head]
    head += [f"Note: {_text(note)}" for note in shown.notes]
    if shown.runs:
        head.append(_overview(shown.runs))
    parts = [part for run in shown.runs for part in _run(run)]
    parts += [_advice(advice) for advice in shown.advice]
    return _fitting(head, parts)


def _fitting(head: list[str], parts: list[str]) -> str:
    said, left, room = "\n\n".join(head), len(parts), MOST_CHARACTERS - _FOR_THE_END
    if len(said) > room:
        # No line is cut where that can be helped: half of one may be markup.
        kept = said[:room].rpartition("\n")[0] or said[:room]
        said, left = kept, left + said.count("\n", len(kept))
    for part in parts:
        if len(said) + len(part) <= room:
            said, left = f"{said}\n\n{part}", left - 1
    if left:
        said += (
            f"\n\n*{left} more parts of the report have no room here: `batchaudit report` shows all of it.*"
        )
    return said + "\n"


def _overview(runs: tuple[RunView, ...]) -> str:
    lines = ["| | run | what it gave |", "| --- | --- | --- |"]
    lines += [f"| {_SIGNS[run.status]} | {_text(run.title)} | {_text(run.sentence)} |" for run in runs]
    return "\n".join(lines)


def _run(run: RunView) -> list[str]:
    parts = [_finding(run, finding) for finding in run.findings]
    if run.error is not None:
        parts.append(f"**{_text(run.title)} ended early**\n\n{_code(run.error)}")
    if run.table is not None and (run.findings or run.error is not None):
        parts.append(_folded(f"{run.title}: its epochs", _table(run.table)))
    return parts


def _finding(run: RunView, finding: FindingView) -> str:
    sign = _SIGNS.get(finding.severity, "❌")
    head = f"#### {sign} {_text(finding.cause)} ({_text(finding.scope)}), {_text(run.title)}"
    lines = [head, _text(finding.summary)]
    evidence = [f"- {_text(name)}: {_text(value)}" for name, value in finding.evidence[:_MOST_EVIDENCE]]
    if evidence:
        lines.append("\n".join(evidence))
    if finding.fix:
        lines.append(f"What to change:\n\n{_code(finding.fix, 'python')}")
    return "\n\n".join(lines)


def _advice(advice: AdviceView) -> str:
    head = f"**{_text(advice.title)}**: {_text(advice.summary)}"
    return head if advice.table is None else f"{head}\n\n{_folded('what was measured', _table(advice.table))}"


def _table(table: Table) -> str:
    lines = [_row(list(map(_text, table.headings))), _row(["---:"] * len(table.headings))]
    lines += [_row(list(map(_text, row))) for row in table.rows]
    notes = [f"\n{_text(note)}" for note in table.notes]
    return "\n".join(lines + notes)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(head: str, body: str) -> str:
    # Within the summary there is no Markdown.
    return f"<details><summary>{html.escape(_unmentioned(head))}</summary>\n\n{body}\n\n</details>"


def _code(text: str, language: str = "") -> str:
    """A block of code that nothing in it can end."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _text(text: str) -> str:
    """Text that is nothing but text: no markup, no HTML, no mention of anybody."""
    line = _MARKUP.sub(r"\\\1", " ".join(text.split("\n")).strip())
    return _unmentioned(_AT_THE_START.sub(r"\1\\\2", line))


def _unmentioned(text: str) -> str:
    return _LINKED.sub("\\g<0>\u200b", text)
