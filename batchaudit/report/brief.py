"""What is wrong with a run in a few lines: the message of a failed test."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import pandas as pd

from batchaudit.diagnosis.finding import Finding
from batchaudit.report import cells
from batchaudit.report.model import Report, Run

MOST_LINES, _WIDTH = 25, 100
_MOST_EPOCHS, _MOST_WORKERS, _MOST_OTHERS = 4, 8, 3


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
    lines = _wrapped(cells.clean_line(failed), "")
    if run is not None:
        finding = finding or next(iter(run.findings), None)
        lines += [line for one in _figures(report, run) for line in _wrapped(one, "  ")]
    if finding is not None:
        said = f"likely cause: {finding.cause} ({finding.severity}, {finding.scope}): {finding.summary}"
        lines += _wrapped(cells.clean_line(said), "  ")
        example = finding.evidence.get("first_example")
        lines += _wrapped(cells.clean_line(f"first example: {example}"), "  ") if example else []
    elif run is not None:
        lines += _wrapped(f"likely cause: {_unseen(run)}", "  ")
    lines += [line for note in report.notes for line in _wrapped(f"note: {cells.clean_line(note)}", "  ")]
    tail = f"  to see all of it: print(report), or batchaudit explain {finding.cause}" if finding else ""
    return "\n".join(_cut(lines, _fix(finding), [tail] if tail else []))


def _cut(lines: list[str], fix: list[str], tail: list[str]) -> list[str]:
    """Leaves out of the fix what there is no room for, then of the rest."""
    lines = lines[: MOST_LINES - len(tail)]
    room = MOST_LINES - len(lines) - len(tail)
    if len(fix) > room:
        fix = [*fix[: room - 1], "    …"] if room > 2 else []
    return [*lines, *fix, *tail]


def _fix(finding: Finding | None) -> list[str]:
    code = cells.clean(finding.fix).strip("\n").splitlines() if finding is not None else []
    code = [line for line in code if line.strip()]
    return ["  what to change:", *(f"    {line}".rstrip()[:_WIDTH] for line in code)] if code else []


def _figures(report: Report, run: Run) -> Iterable[str]:
    epochs = report.epochs_of(run)
    if len(epochs):
        yield f"different batches: {_by_epoch(epochs)}"
    if len(epochs) and not epochs["seed_divergence"].isna().all():
        told = ", ".join(cells.ratio(value) for value in epochs["seed_divergence"][:_MOST_EPOCHS])
        yield f"seed divergence by epoch: {told}{' …' * (len(epochs) > _MOST_EPOCHS)}"
    pair = first_pair(report, run)
    if pair:
        yield f"first equal batches: {pair}"
    workers = report.workers_of(run)
    if len(workers) and workers["worker"].nunique() > 1:
        first = workers[workers["epoch"] == workers["epoch"].min()]
        shares = [f"worker {row.worker} {cells.count(row.delivered)}" for row in first.itertuples()]
        more = f" and {len(shares) - _MOST_WORKERS} more" if len(shares) > _MOST_WORKERS else ""
        yield f"who made them in epoch {first['epoch'].iloc[0]}: {', '.join(shares[:_MOST_WORKERS])}{more}"
    if run.error is not None:
        yield f"ended early: {cells.clean(run.error).strip().splitlines()[-1].strip()}"


def _by_epoch(epochs: pd.DataFrame) -> str:
    said = [
        f"{cells.count(row.unique)} of {cells.count(row.delivered)} in epoch {row.epoch}"
        for row in epochs[:_MOST_EPOCHS].itertuples()
    ]
    more = len(epochs) - _MOST_EPOCHS
    return ", ".join(said) + (f" and {more} more epochs" if more > 0 else "")


def first_pair(report: Report, run: Run) -> str:
    """The first batch that was delivered again within its epoch, and where; "" where there is none."""
    batches = report.batches_of(run)
    if not len(batches):
        return ""
    again = batches[batches["copies"] > 1].sort_values(["epoch", "step"])
    if not len(again):
        return ""
    first = again.iloc[0]
    same = again[(again["epoch"] == first["epoch"]) & (again["digest"] == first["digest"])]
    second = same.iloc[1]
    digest = str(first["digest"])[:8]
    return f"epoch {first['epoch']}: {_place(first)} and {_place(second)} (batch {digest})"


def _place(row: pd.Series) -> str:
    maker = "" if cells.is_unknown(row["worker"]) else f" of worker {row['worker']}"
    return f"step {row['step']}{maker}"


def _unseen(run: Run) -> str:
    """What the diagnosis says where it found nothing."""
    unseen = [one.cause for one in run.verdicts if one.verdict == "not observable"]
    listed = ", ".join(unseen[:_MOST_OTHERS]) + (" …" if len(unseen) > _MOST_OTHERS else "")
    return f"none was found{f'; not observable: {listed}' if unseen else ''}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ") or [indent]
