"""What every face says of a report whose log is incomplete: the word, and what is known to be missing."""

from __future__ import annotations

from batchaudit.health import Health
from batchaudit.report.model import Report
from batchaudit.report.notes import note
from batchaudit.untrusted import shown_line

WORD = "INCOMPLETE"
_SOMETHING = "part of the log is missing or damaged"
_SO = "what is missing may hold duplicates"


def missing(report: Report) -> str:
    """What is known to be missing in the log, and what that means; "" where it is complete.

    Args:
        report: the report.

    Returns:
        One line, safe to print and not escaped for any medium.
    """
    return "" if report.complete else f"{lost(report.log)}; {_SO}"


def lost(log: Health) -> str:
    """What is known to be missing in a log that is not complete; one line, safe to print."""
    return shown_line(log.lost) or _SOMETHING


def other_notes(report: Report) -> tuple[str, ...]:
    """A report's notes, but for the one that says the same as `missing`."""
    said = note("incomplete-log", lost=report.log.lost)
    return tuple(one for one in report.notes if one != said)
