"""Whether two reports show the same streams, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from batchaudit.testing.failing import check_seen, fail, named

if TYPE_CHECKING:
    from batchaudit.report.model import Report, Run

Place = tuple[int, int, str]
"""Epoch, step and digest of a delivered batch."""


def compare_reports(a: Report, b: Report) -> None:
    """Fails where what was delivered is not the same.

    Runs of equal sources, strategies and ranks are compared; where each report has one run, those two.

    Args:
        a: a report.
        b: another.

    Raises:
        AssertionError: they differ, or it is not known whether they do.
    """
    __tracebackhide__ = True
    check_seen(a)
    check_seen(b)
    for run_a, run_b in _pairs(a, b):
        ours, theirs = _stream(a, run_a), _stream(b, run_b)
        if ours == theirs:
            continue
        both = named(run_a) if _key(run_a) == _key(run_b) else f"{named(run_a)} and {named(run_b)}"
        said = f"{both}: the streams of a and b are not the same: {_difference(ours, theirs)}"
        # What is wrong with one of them is likely why; what is so by design is not.
        sick = [(report, run) for report, run in ((b, run_b), (a, run_a)) if _is_wrong(run)]
        fail(said, *(sick[0] if sick else (a, None)))


def _pairs(a: Report, b: Report) -> Iterator[tuple[Run, Run]]:
    __tracebackhide__ = True
    if len(a.runs) == len(b.runs) == 1:
        yield a.runs[0], b.runs[0]
        return
    ours, theirs = ({_key(run): run for run in report.runs} for report in (a, b))
    for report, name, others in ((a, "b", theirs), (b, "a", ours)):
        for run in report.runs:
            if _key(run) not in others:
                fail(f"{named(run)} is not in {name}, so it cannot be compared", report, run)
    yield from ((run, theirs[key]) for key, run in ours.items())


def _is_wrong(run: Run) -> bool:
    return any(finding.severity != "info" for finding in run.findings)


def _key(run: Run) -> tuple[str, str, int, int]:
    return run.source, run.strategy, run.rank, run.attempt


def _stream(report: Report, run: Run) -> list[Place]:
    __tracebackhide__ = True
    batches = report.batches_of(run).sort_values(["epoch", "step"], kind="stable")
    if report.epochs_of(run)["unique"].isna().any():
        fail(f"{named(run)}: some batches could not be hashed, so they cannot be compared", report, run)
    columns = (batches["epoch"].astype(int), batches["step"].astype(int), batches["digest"].astype(str))
    return list(zip(*columns, strict=True))


def _difference(ours: list[Place], theirs: list[Place]) -> str:
    """The first batch that differs, and how many do."""
    at = next((n for n, (x, y) in enumerate(zip(ours, theirs, strict=False)) if x != y), None)
    if at is None:
        more = "a" if len(ours) > len(theirs) else "b"
        return f"a has {len(ours)} batches, b has {len(theirs)}: {more} goes on where the other ends"
    same = sum(x == y for x, y in zip(ours, theirs, strict=False))
    (epoch, step, digest), other = ours[at], theirs[at]
    elsewhere = next((place for place in theirs if place[2] == digest), None)
    found = "b has it nowhere"
    if elsewhere is not None:
        found = f"b has it in epoch {elsewhere[0]} at step {elsewhere[1]}"
    where = f"in epoch {epoch} at step {step}"
    there = where if other[:2] == (epoch, step) else f"in epoch {other[0]} at step {other[1]}"
    return (
        f"a has batch {digest[:8]} {where}, b has batch {other[2][:8]} {there}; {found}; "
        f"{same} of {max(len(ours), len(theirs))} batches are at the same place"
    )
