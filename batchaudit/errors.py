"""The exceptions that batchaudit raises; all share one base."""

from __future__ import annotations

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


def in_full(error: BaseException) -> str:
    """An exception with its traceback and its causes, as Python prints them."""
    import traceback  # takes a tenth of what `import batchaudit` takes

    return "".join(traceback.format_exception(error)).rstrip()


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
