"""The advice in words and one table, for every medium."""

from __future__ import annotations

from dataclasses import dataclass

from batchaudit.advice import Compared, SourceAdvice
from batchaudit.advice.units import digits, percent, seconds, size, times
from batchaudit.report import cells
from batchaudit.report.epoch_table import Table
from batchaudit.untrusted import shown, shown_line

_IN_THE_TABLE = ("measured", "defect")
"""Reasons that the table says already."""


@dataclass(frozen=True)
class AdviceView:
    """The advice for one source.

    Attributes:
        title: whose it is.
        summary: what to do, in a few sentences.
        table: the strategies that were compared; None where there is one alone.
        reasons: the rules that applied, each with its text; what follows a text's first line is code.
    """

    title: str
    summary: str
    table: Table | None
    reasons: tuple[tuple[str, str, str], ...]


def advice_view(advice: SourceAdvice) -> AdviceView:
    """Puts the advice for one source into clean words.

    Args:
        advice: the advice.
    """
    reasons = []
    for reason in advice.reasons:
        if reason.rule not in _IN_THE_TABLE and reason.text != advice.summary:
            text, _, code = reason.text.partition("\n")
            reasons.append((shown_line(reason.rule), shown_line(text), shown(code).strip("\n")))
    return AdviceView(
        f"advice for {shown_line(advice.source)}",
        shown_line(advice.summary),
        _table(advice),
        tuple(reasons),
    )


def _table(advice: SourceAdvice) -> Table | None:
    rows = [_row(one, advice) for one in advice.compared if one.option.timing is not None]
    if len(rows) < 2:
        return None
    empty = {name for name in rows[0] if all(row[name] in (cells.UNKNOWN, "") for row in rows)}
    headings = tuple(name for name in rows[0] if name not in empty)
    return Table(headings, tuple(tuple(row[name] for name in headings) for row in rows))


def _row(one: Compared, advice: SourceAdvice) -> dict[str, str]:
    timing = one.option.timing
    assert timing is not None
    return {
        "strategy": shown_line(one.option.strategy),
        "batches\na second": digits(timing.rate.middle),
        "spread": f"{digits(timing.rate.low)} to {digits(timing.rate.high)}",
        "over\nserial": cells.UNKNOWN if one.speed_up is None else times(one.speed_up.middle),
        "at\nmost": cells.UNKNOWN if one.bound is None else times(one.bound),
        "to\nmake": cells.UNKNOWN if timing.make is None else seconds(timing.make.middle),
        "busy": cells.UNKNOWN if timing.busy is None else seconds(timing.busy.middle),
        "to\nstart": cells.UNKNOWN if timing.start is None else seconds(timing.start),
        "worker's\nmemory": size(timing.memory) if timing.memory else cells.UNKNOWN,
        "stalled": cells.UNKNOWN if one.stalled is None else percent(one.stalled),
        "found": shown_line(", ".join(one.option.causes)) or "nothing",
    }
