"""What is audited: a callable that makes sources, or one source."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from batchaudit import sources
from batchaudit.errors import UsageError


@dataclass
class Target:
    """The user's object: a callable that makes sources, or one source."""

    make: Callable[[], Any]
    name: str
    renewable: bool
    last: Any = None

    @staticmethod
    def of(source: Any, name: str | None) -> Target:
        """Tells a source from a callable that makes one.

        Args:
            source: what the user gave.
            name: what to call it; None for a name of its own.

        Raises:
            UsageError: it is neither.
        """
        with suppress(UsageError):
            if not isinstance(source, type):
                sources.kind_of(source)
                return Target(lambda: source, name or type(source).__name__, renewable=False)
        if source is None:
            raise UsageError("the source is None: give a source, or a callable that returns one.")
        if not callable(source):
            sources.kind_of(source)  # says what it is not
        return Target(source, str(name or _name_of(source)), renewable=True)

    def check_renewable(self) -> None:
        """Notices a callable that gives one iterator again and again: there is one pass."""
        if self.renewable and self.last is not None:
            before = self.last
            self.renewable = self.new() is not before

    def new(self) -> Any:
        """A source; new at each call where the target is a callable.

        Raises:
            UsageError: the callable raises, or returns no source.
        """
        try:
            self.last = self.make()
        except Exception as error:
            raise UsageError(f"{self.name}() raised {in_words(error)}") from error
        if self.last is None:
            raise UsageError(f"{self.name}() returned None: it must return a source of batches.")
        try:
            sources.kind_of(self.last)
        except UsageError as error:
            raise UsageError(f"{self.name}() returned what cannot be audited: {error}") from None
        return self.last


def _name_of(source: Any) -> str:
    if isinstance(source, functools.partial):
        return _name_of(source.func)
    return str(getattr(source, "__name__", type(source).__name__))


def in_words(error: BaseException) -> str:
    """An exception of the user's code in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    here = os.path.dirname(__file__)
    theirs = [frame for frame in frames if not frame.filename.startswith(here)] or frames
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno}, in {theirs[-1].name})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"
