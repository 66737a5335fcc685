"""What is wrong with a run in a few lines: the message of a failed test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import pandas as pd

from batchaudit.diagnosis.finding import Finding
from batchaudit.report import cells
from batchaudit.report.incomplete import other_notes
from batchaudit.report.model import Report, Run
from batchaudit.untrusted import shown, shown_line

MOST_LINES, _WIDTH = 25, 100
_MOST_EPOCHS, _MOST_WORKERS, _MOST_OTHERS, _MOST_NOTES = 4, 8, 3, 2


def brief(failed: str, report: Report, run: Run | None = None, finding: Finding | None = None) -> str:
    """Writes a failure: what was asked for, which epochs and workers, an example, the likely cause, the fix.

    Args:
        failed: what was asked for and is not so, in a sentence.
        report: the report.
        run: which run shows it; None for what lies between runs.
        finding: its likely cause; by default the run's most severe one.

    Returns:
        Text of at most `MOST_LINES` lines, safe to print.
    """
    lines = _wrapped(failed, "", 6)
    if run is not None and run.skipped is None:
        finding = finding or next(iter(run.findings), None)
        lines += [line for one in _figures(report, run) for line in _wrapped(one, "  ", 2)]
    if finding is not None:
        said = f"likely cause: {finding.cause} ({finding.severity}, {finding.scope}): {finding.summary}"
        lines += _wrapped(said, "  ", 5)
        example = finding.evidence.get("first_example")
        lines += _wrapped(f"first example: {example}", "  ", 2) if example else []
    elif run is not None and run.skipped is None:
        lines += _wrapped(f"likely cause: {_unseen(run)}", "  ", 2)
    told = other_notes(report)
    notes = [f"note: {note}" for note in told[:_MOST_NOTES]]
    others = len(told) - _MOST_NOTES
    notes += [f"and {others} more note{'s' * (others > 1)}"] if others > 0 else []
    lines += [line for note in notes for line in _wrapped(note, "  ", 2)]
    cause = shown_line(finding.cause)[:_WIDTH] if finding is not None else ""
    tail = f"  to see all of it: print(report), or batchaudit explain {cause}" if cause else ""
    return "\n".join(_cut(lines, _fix(finding), [tail] if tail else []))


def _cut(lines: list[str], fix: list[str], tail: list[str]) -> list[str]:
    """Leaves out of the fix what there is no room for, then of the rest."""
    lines = lines[: MOST_LINES - len(tail)]
    room = MOST_LINES - len(lines) - len(tail)
    if len(fix) > room:
        fix = [*fix[: room - 1], "    …"] if room > 2 else []
    return [*lines, *fix, *tail]


def _fix(finding: Finding | None) -> list[str]:
    code = shown(finding.fix).strip("\n").splitlines() if finding is not None else []
    code = [line for line in code if line.strip()]
    return ["  what to change:", *(_short(f"    {line}".rstrip()) for line in code)] if code else []


def _short(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 2]} …"


def _figures(report: Report, run: Run) -> Iterable[str]:
    epochs = report.epochs_of(run)
    told, more = _telling(epochs), len(epochs) - _MOST_EPOCHS
    if len(epochs):
        others = f" and {more} more epoch{'s' * (more > 1)}" if more > 0 else ""
        yield f"different batches: {_by_epoch(told)}{others}"
    if len(epochs) and not told["seed_divergence"].isna().all():
        divergence = ", ".join(map(cells.ratio, told["seed_divergence"]))
        yield f"seed divergence{' of these epochs' if more > 0 else ' by epoch'}: {divergence}"
    pair = first_pair(report, run)
    if pair:
        yield f"first equal batches: {pair}"
    workers = report.workers_of(run)
    if len(workers) and workers["worker"].nunique() > 1:
        first = workers[workers["epoch"] == workers["epoch"].min()]
        shares = [f"worker {row.worker} {cells.count(row.delivered)}" for row in first.itertuples()]
        others = f" and {len(shares) - _MOST_WORKERS} more" if len(shares) > _MOST_WORKERS else ""
        yield f"who made them in epoch {first['epoch'].iloc[0]}: {', '.join(shares[:_MOST_WORKERS])}{others}"
    if run.error is not None:
        last = shown(run.error).strip().splitlines()[-1:] or ["no message"]
        yield f"ended early: {last[0].strip()}"


def _telling(epochs: pd.DataFrame) -> pd.DataFrame:
    """The epochs that are told of: of many those with the most copies."""
    if len(epochs) <= _MOST_EPOCHS:
        return epochs
    return epochs.sort_values("effective_ratio", kind="stable")[:_MOST_EPOCHS].sort_values("epoch")


def _by_epoch(epochs: pd.DataFrame) -> str:
    return ", ".join(
        f"{cells.count(row.unique)} of {cells.count(row.delivered)} in epoch {row.epoch}"
        for row in epochs.itertuples()
    )


def first_pair(report: Report, run: Run) -> str:
    """The first batch that was delivered again within its epoch, and where; "" where there is none."""
    batches, epochs = report.batches_of(run), report.epochs_of(run)
    if not len(batches):
        return ""
    known = epochs["epoch"][epochs["unique"].notna()]
    batches = batches[batches["epoch"].isin(known)]  # of the others some could not be hashed
    again = batches[batches["copies"] > 1].sort_values(["epoch", "step"])
    if not len(again):
        return ""
    first = again.iloc[0]
    same = again[(again["epoch"] == first["epoch"]) & (again["digest"] == first["digest"])]
    if len(same) < 2:
        return ""
    second = same.iloc[1]
    digest = shown_line(str(first["digest"]))[:8]
    return f"epoch {first['epoch']}: {_place(first)} and {_place(second)} (batch {digest})"


def _place(row: pd.Series) -> str:
    maker = "" if cells.is_unknown(row["worker"]) else f" of worker {row['worker']}"
    return f"step {row['step']}{maker}"


def _unseen(run: Run) -> str:
    """What the diagnosis says where it found nothing."""
    unseen = [one.cause for one in run.verdicts if one.verdict == "not observable"]
    listed = ", ".join(unseen[:_MOST_OTHERS]) + (" …" if len(unseen) > _MOST_OTHERS else "")
    return f"none was found{f'; not observable: {listed}' if unseen else ''}"


def _wrapped(text: str, indent: str, most: int) -> list[str]:
    """Text in lines that are safe to print, of which no more than `most` are kept."""
    lines = textwrap.wrap(
        shown_line(text), _WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ",
        max_lines=most, placeholder=" …",
    )  # fmt: skip
    return lines or [indent]
