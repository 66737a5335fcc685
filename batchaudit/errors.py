"""The exceptions that batchaudit raises; all share one base."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class BatchauditError(Exception):
    """Base of every error that batchaudit raises on purpose."""


class UsageError(BatchauditError):
    """What was asked for cannot be done as asked: the message says what to change."""


class WrongTypeError(UsageError, TypeError):
    """An argument is of a type that cannot be what was asked for."""


class UnhashableError(BatchauditError, TypeError):
    """A batch holds an object that has no content that could be hashed by value."""


class JournalError(BatchauditError):
    """A run's log is missing, or cannot be read at all."""


class AnalysisError(BatchauditError):
    """A log can be read, but not analysed: no training can have written it, or batchaudit is wrong."""


class WorkerError(BatchauditError):
    """A worker raised or died; the message carries the worker's own traceback."""


class FindingError(BatchauditError):
    """A training was stopped because of what its batches are: `audit.callback(on_finding="raise")`.

    Args:
        message: what was found, with its numbers and its fix.
        findings: the errors that were found, each with its "source", "cause", "severity" and "text".
    """

    def __init__(self, message: str, findings: tuple[dict[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.findings)


@contextmanager
def analysing(log: str) -> Iterator[None]:
    """Makes one error that can be expected of all that may go wrong with a log from elsewhere.

    Args:
        log: where it lies, for the message.

    Raises:
        AnalysisError: something did that was not raised on purpose; that is its cause.
    """
    try:
        yield
    except BatchauditError:
        raise
    except Exception as error:
        raise AnalysisError(
            f"the log in {log} cannot be analysed ({type(error).__name__}: {str(error)[:200]}). What it says "
            f"fits no training: it may be forged, or damaged before its checksums were made. If it is "
            f"neither, it is a defect of batchaudit: please report it, with what report_of() raises."
        ) from error


def in_full(error: BaseException) -> str:
    """An exception with its traceback and its causes, as Python prints them."""
    import traceback  # takes a tenth of what `import batchaudit` takes

    return "".join(traceback.format_exception(error)).rstrip()


# As text: they are compiled where they are needed, which is hardly ever.
_BEGINS = r"[ |+-]*(?:Original |Exception Group )?Traceback \(most recent call last\):\s*"
_FRAME = r'[ |+-]*File ".*", line \d+(?:, in .*)?'
_JOINS = (
    r"[ |+-]*(?:During handling of the above exception, another exception occurred:|"
    r"The above exception was the direct cause of the following exception:)"
)
_NAMED = r"([ |+-]*[A-Za-z_][\w.]*)(?::.*)?"
_INLINE = (
    r"(\braised [A-Za-z_][\w.]*|\b[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)): "
    r"(?:.*(?P<where> \(\S[^()]*:\d+, in [^()]*\))|.*)"
)


def without_messages(text: str) -> str:
    """A text about an exception without what it says: a message may hold a piece of the data.

    Args:
        text: such as `in_full` gives, and as the errors of this package have; with tracebacks or without.

    Returns:
        The same with the types of the exceptions, and the files and lines of their tracebacks without the
        code that stands there; of what stands before the first of these, its first line.
    """
    lines = text.splitlines()
    first = next((at for at, line in enumerate(lines) if re.fullmatch(_BEGINS, line)), len(lines))
    kept = [_inline(line) for line in lines[:first][:1]]
    inside = False
    for line in lines[first:]:
        if re.fullmatch(_BEGINS, line):
            inside = True
            kept.append(line)
        elif re.fullmatch(_JOINS, line) or (inside and re.fullmatch(_FRAME, line)):
            kept.append(line)
        elif inside and not line.startswith("  "):
            named = re.fullmatch(_NAMED, line)
            kept.append(named[1] if named else "an exception")
            inside = False
    return "\n".join(kept)


def _inline(line: str) -> str:
    return re.sub(_INLINE, lambda found: f"{found[1]}{found['where'] or ''}", line)


WARNINGS = ("audit-closed", "log-full", "log-stopped", "no-figures", "part-unwatched", "record-lost")
"""What `BatchauditWarning.slug` can be, besides a cause; the reference in the documentation explains each."""


class BatchauditWarning(UserWarning):
    """What batchaudit found, or could not do, while it watched; the training itself goes on.

    Args:
        message: what happened, and what to do.
        slug: its name in the documentation: one of `WARNINGS`, which then ends the message, or the cause of
            a finding, which is in the message anyway.
    """

    def __init__(self, message: str = "", slug: str = "") -> None:
        super().__init__(f"{message} ({slug})" if slug in WARNINGS else message)
        self.slug = slug
