"""The exceptions that batchaudit raises; all share one base."""

from __future__ import annotations

import traceback


class BatchauditError(Exception):
    """Base of every error that batchaudit raises on purpose."""


class UsageError(BatchauditError):
    """What was asked for cannot be done as asked: the message says what to change."""


class UnhashableError(BatchauditError, TypeError):
    """A batch holds an object that has no content that could be hashed by value."""


class JournalError(BatchauditError):
    """A run's log is missing, or cannot be read at all."""


class WorkerError(BatchauditError):
    """A worker raised or died; the message carries the worker's own traceback."""


def in_full(error: BaseException) -> str:
    """An exception with its traceback and its causes, as Python prints them."""
    return "".join(traceback.format_exception(error)).rstrip()


class BatchauditWarning(UserWarning):
    """What batchaudit could not do while it watched; the training itself goes on."""
