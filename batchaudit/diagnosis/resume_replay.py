"""`resume-replay`: a training that was resumed starts its data over instead of going on.

It needs two starts of three batches each, and ids, or contents that nothing draws. The head of the later
start is looked for in what the earlier ones were given. That every epoch begins alike is what a source does
without a shuffle. That the epoch in which the training stopped, its last batches, or what followed the same
checkpoint come again is what a checkpoint made before that does: info. The head of the whole stream, or of an
epoch that was over, is a start over: error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from batchaudit.analysis.contents import recurring
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.replay import Stream, Window, same_order, streams, windows
from batchaudit.diagnosis import fixes, keyed
from batchaudit.diagnosis.finding import FOUND, NOT_OBSERVABLE, RULED_OUT, SEVERITIES, Finding
from batchaudit.diagnosis.judgement import MANY_ENOUGH, Judgement, found, not_observable, ruled_out, short

CAUSE = "resume-replay"
_GIVE_IDS = "give key=, which says what stored item a sample is"
_MANY = 0.5  # of a start's first epoch in the earlier start: contents are not drawn anew
_ANEW = 0.05  # fewer repeated contents from epoch to epoch than this: they are


@dataclass(frozen=True)
class _Start:
    """One start of a training."""

    attempt: int
    evidence: Evidence
    stream: Stream
    by: str


def judge_attempts(starts: Sequence[Evidence]) -> Judgement:
    """Says whether a later start of a training begins with what an earlier one was given.

    Args:
        starts: the evidence of each start, in order; of one source and rank.

    Returns:
        The judgement.
    """
    if len(starts) < 2:
        return not_observable("one start of this training was seen: resume it into the same folder")
    if keyed.apart(start.keys for start in starts):
        return not_observable(keyed.APART)
    if starts[0].split not in ("", "training"):
        return ruled_out("each pass that is no training begins anew")
    delivered = [(at, start) for at, start in enumerate(starts) if len(start.tables.delivered)]
    if len(delivered) < 2:
        return not_observable("only one start was given a batch: resume it into the same folder")
    by, its = streams([start.tables for _, start in delivered])
    seen = [
        _Start(_attempt(start, at), start, stream, by)
        for (at, start), stream in zip(delivered, its, strict=True)
    ]
    judged = [_against_earlier(seen[:number], seen[number]) for number in range(1, len(seen))]
    return min(judged, key=_rank)


def _rank(judgement: Judgement) -> int:
    """A finding first, then what could not be seen."""
    if judgement.finding is not None:
        return SEVERITIES.index(judgement.finding.severity)
    return len(SEVERITIES) + (FOUND, NOT_OBSERVABLE, RULED_OUT).index(judgement.verdict)


def _attempt(start: Evidence, position: int) -> int:
    delivered = start.tables.delivered
    return int(delivered["attempt"].iloc[0]) if "attempt" in delivered else position


def _against_earlier(earlier: Sequence[_Start], later: _Start) -> Judgement:
    """A start against those before it, the last of them first; the first that it begins like decides."""
    long = [start for start in earlier if start.stream.batches >= MANY_ENOUGH]
    if not long or later.stream.batches < MANY_ENOUGH:
        short_one = later.attempt if long else earlier[-1].attempt
        return not_observable(f"attempt {short_one} was given fewer than {MANY_ENOUGH} batches")
    head, alike = later.stream.head(MANY_ENOUGH), None
    for start in reversed(long):
        places = windows(start.stream, head, later.stream.epochs[0])
        if not places:
            continue
        over = bool(_one_order(start, later)) and _ended(start, later)
        if start is long[0] or places[-1].row or over:
            return _weigh(start, later, places, start is long[-1] or alike is not None)
        # It begins as a resumed start did, which may have gone on or not: what came before that decides.
        alike = alike or (start, places[0])
    if alike is not None:
        said = ": both go on from the same place"
        return found(_finding(alike[0], later, alike[1], "info", said))
    return _no_window(long, later)


def _no_window(long: Sequence[_Start], later: _Start) -> Judgement:
    goes_on = ruled_out(f"attempt {later.attempt} begins with other samples than any that came before")
    if later.by == "id":
        return goes_on
    last = long[-1].stream
    known = float(np.isin(later.stream.epochs[0], last.codes).mean())
    again = recurring(last.rows)
    if known >= _MANY or (again is not None and again >= _ANEW):
        return goes_on
    return not_observable(
        "no content of the later start came before: it goes on, or contents are drawn anew, which hides a "
        f"replay: {_GIVE_IDS}"
    )


def _weigh(before: _Start, later: _Start, places: Sequence[Window], is_last: bool) -> Judgement:
    """What it means that a start begins with a window of an earlier one.

    Args:
        before: the earlier start.
        later: the later one.
        places: where the later one's head stood in the earlier one.
        is_last: whether no start of some length lies between the two.
    """
    if len({place.epoch for place in places}) < len(places):
        return not_observable(f"equal batches come several times in an epoch: {_GIVE_IDS}")
    place, last = places[-1], len(before.stream.epochs) - 1
    ended, order = _ended(before, later), _one_order(before, later)
    if order:
        return _unshuffled(before, later, place, ended or (not is_last and place.offset > 0))
    if not is_last:
        return found(_finding(before, later, place, "error", ""))
    if order is None and ended:
        return not_observable("one epoch does not show whether the source shuffles: run 2 epochs a start")
    began = f", and attempt {before.attempt} stopped in epoch {last} at step {_stopped(before)}"
    if place.epoch == last and place.offset:
        return found(_finding(before, later, place, "info", _again(before, place)))
    if place.epoch == last and not ended and last:
        return found(_finding(before, later, place, "info", ": the epoch in which it stopped is begun again"))
    if place.epoch == last - 1 and place.offset and place.epoch:
        return found(_finding(before, later, place, "info", _again(before, place)))
    return found(_finding(before, later, place, "error", began))


def _unshuffled(before: _Start, later: _Start, place: Window, ended: bool) -> Judgement:
    """A source that has one order in every epoch: only where in it the later start begins says anything."""
    last = len(before.stream.epochs) - 1
    stop = len(before.stream.epochs[last])
    if ended:
        return ruled_out("every epoch has the same order, and none was left that begins again")
    if place.offset >= stop:
        return ruled_out(f"attempt {later.attempt} goes on where attempt {before.attempt} stopped")
    if place.offset:
        return found(_finding(before, later, place, "info", _again(before, place)))
    if last:
        return found(_finding(before, later, place, "info", ": the epoch in which it stopped is begun again"))
    said = f", and attempt {before.attempt} stopped in epoch 0 at step {_stopped(before)}"
    return found(_finding(before, later, place, "error", said))


def _ended(before: _Start, later: _Start) -> bool:
    """Whether a start stopped at the end of an epoch, as far as can be known."""
    stream, about = before.stream, before.evidence.about
    sizes = [len(epoch) for epoch in stream.epochs]
    whole = sizes[1:-1] if before.attempt else sizes[:-1]  # a resumed start may begin within an epoch
    if stream.ended or (whole and sizes[-1] >= max(whole)):
        return True
    items = before.evidence.items if before.by != "batch" else None
    dropped = int(about.get("batch_size") or 1) - 1 if about.get("drop_last") else 0
    if items is not None and sizes[-1] >= items - dropped:
        return True
    theirs = later.stream.epochs
    return len(theirs) > 1 and len(theirs[0]) == sizes[-1]


def _one_order(before: _Start, later: _Start) -> bool | None:
    """Whether every epoch has the same order; None where that is not known."""
    for start in (before, later):
        same = same_order(start.stream.epochs)
        if same is not None:
            return same
    shuffles = before.evidence.about.get("shuffles")
    if shuffles is not None:
        return not shuffles
    items = before.stream.rows["item"].to_numpy()
    return True if before.by == "id" and bool((np.diff(items) > 0).all()) else None


def _stopped(start: _Start) -> int:
    """The last step of a start."""
    return int(start.stream.rows["step"].iloc[-1])


def _again(before: _Start, place: Window) -> str:
    more = sum(len(epoch) for epoch in before.stream.epochs[place.epoch :]) - place.offset
    what = "batches" if before.by == "batch" else "samples"
    return f": the last {more:,} {what} before it stopped come again"


def _finding(before: _Start, later: _Start, place: Window, severity: str, said: str) -> Finding:
    old, new = before.stream.rows, later.stream.rows
    where = old.iloc[place.row]
    length = place.length
    window = new.iloc[:length]
    batches = len(window[["epoch", "step"]].drop_duplicates())
    alike = old["digest"].to_numpy()[place.row : place.row + length] == window["digest"].to_numpy()
    at = f"epoch {int(where['epoch'])} step {int(where['step'])}"
    begins = f"epoch {int(new['epoch'].iat[0])} step {int(new['step'].iat[0])}"
    return Finding(
        CAUSE,
        severity,
        "attempt",
        f"the first {batches:,} batches of attempt {later.attempt} are those of attempt {before.attempt} "
        f"from {at} on{said}.",
        {
            "attempts": [before.attempt, later.attempt],
            "replayed_batches": batches,
            "replayed_items": length,
            "from_epoch": int(where["epoch"]),
            "from_step": int(where["step"]),
            "stopped_in_epoch": int(old["epoch"].iloc[-1]),
            "stopped_at_step": _stopped(before),
            "compared_by": "id" if before.by == "id" else "equal content",
            "share_of_equal_content": round(float(alike.mean()), 4),
            "first_example": (
                f"attempt {later.attempt} {begins} and attempt {before.attempt} {at} "
                f"delivered {_name(before, old, place.row)}"
            ),
            "unless": "the later start is a training of its own: give it a folder of its own",
        },
        fixes.of(CAUSE, later.evidence),
    )


def _name(start: _Start, rows: Any, row: int) -> str:
    item = int(rows["item"].iat[row])
    if start.by == "id":
        return f"id {item}"
    return f"batch {short(item)}" if start.by == "batch" else f"content {short(item)}"
