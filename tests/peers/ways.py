"""The ways in which batchaudit watches the sources of one test: with a bare wrapper, or in a live audit.

Requires batchaudit and, in the environment, the way and the folder that `outcomes` writes to.
"""

from __future__ import annotations

import inspect
import itertools
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import doors
import outcomes

from batchaudit import consumers, sources
from batchaudit.capture.recorder import Recorder
from batchaudit.errors import UsageError
from batchaudit.journal.writer import JournalWriter
from batchaudit.sources.proxy import Proxy
from batchaudit.sources.subclass import is_twin
from batchaudit.watching import Watched


class Counts:
    """What was watched, and what is no source of batches, by type."""

    def __init__(self) -> None:
        self.watched: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def note(self, source: Any, watched: Any) -> Any:
        """Counts a source by what became of it; returns that."""
        (self.refused if watched is source else self.watched)[type(source).__name__] += 1
        return watched


class Way(Protocol):
    """Watches what one test does, within the context that it is."""

    def __call__(self, folder: Path, test: str, attempt: int, counts: Counts) -> Any: ...


@contextmanager
def entered(folder: Path, test: str, attempt: int, counts: Counts) -> Iterator[None]:
    """Each source gets a wrapper of its own where it enters the framework, which knows nothing of it."""
    journal = JournalWriter(folder, source=test, strategy="as-is", run="peers", attempt=attempt)
    generators: weakref.WeakSet[Any] = weakref.WeakSet()

    def watch(source: Any) -> Any:
        if _is_watched(source, generators):
            return source
        try:
            watched = counts.note(source, sources.watch(source, Recorder(journal)))
        except UsageError:  # what the test expects the framework itself to refuse
            return counts.note(source, source)
        if inspect.isgenerator(watched):
            generators.add(watched)
        return watched

    try:
        with doors.watched_by(watch, hooked=False):
            yield
    finally:
        journal.close()


@contextmanager
def wrapped(folder: Path, test: str, attempt: int, counts: Counts) -> Iterator[None]:
    """A live audit is open, and each source is wrapped in it: loaders where they are made."""
    watched = Watched(folder, attempt)

    def watch(source: Any) -> Any:
        if _is_watched(source, ()) or sources.recorder_of(source) is not None:
            return source
        try:
            return counts.note(source, watched.wrap(source))
        except UsageError:
            return counts.note(source, source)

    with _open(watched), doors.watched_by(watch, hooked=True):
        yield


@contextmanager
def adopted(folder: Path, test: str, attempt: int, counts: Counts) -> Iterator[None]:
    """A live audit is open that takes whatever comes, as `batchaudit run` does; nothing is wrapped."""
    with _open(_Adopting(folder, attempt, counts)):
        yield


WAYS: dict[str, Way] = {"entered": entered, "wrapped": wrapped, "adopted": adopted}


class _Adopting(Watched):
    def __init__(self, folder: Path, attempt: int, counts: Counts) -> None:
        super().__init__(folder, attempt, everything=True)
        self._counts = counts

    def adopt(self, source: Any, **what: Any) -> Any:
        return self._counts.note(source, super().adopt(source, **what))


@contextmanager
def _open(watched: Watched) -> Iterator[None]:
    with ExitStack() as stack:
        stack.callback(watched.close)
        stack.callback(consumers.end, watched)
        consumers.begin(watched)
        yield


def _is_watched(source: Any, generators: Any) -> bool:
    """Whether a source is watched already, or is data rather than a source."""
    if inspect.isgenerator(source):
        return source in generators
    # A chain is what tf_keras' adapter makes of a batch it peeked at and the source it was given.
    return is_twin(source) or isinstance(source, (Proxy, itertools.chain)) or type(source) in _DATA


_DATA = (list, tuple, dict, str, int, float, type(None))


# -- one test -------------------------------------------------------------------------------------


@contextmanager
def watching(test: str, attempt: int) -> Iterator[None]:
    """Watches one test, or one process that it starts, in the way that the environment says.

    Args:
        test: its name.
        attempt: its number among the file's tests.
    """
    counts = Counts()
    try:
        with WAYS[os.environ[outcomes.WAY]](
            Path(os.environ[outcomes.OUT], outcomes.JOURNAL), test, attempt, counts
        ):
            yield
    finally:
        outcomes.write(outcomes.WATCHED, {"test": test, "watched": counts.watched, "refused": counts.refused})


class InAProcessOfItsOwn:
    """What a process that a test starts afresh is to run: its target, watched there too.

    Args:
        target: what the test wants to be run.
        test: the test.
        attempt: its number.
    """

    def __init__(self, target: Any, test: str, attempt: int) -> None:
        self._target = target
        self._test = test
        self._attempt = attempt

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with watching(self._test, self._attempt):
            return self._target(*args, **kwargs)
