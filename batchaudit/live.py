"""`Audit`: watches sources inside a program of the user's own, which drives them as it always did."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from batchaudit import sources
from batchaudit.capture.provenance import place
from batchaudit.capture.recorder import Key, Recorder
from batchaudit.errors import UsageError
from batchaudit.journal.manifest import Asked, Manifest, next_attempt
from batchaudit.journal.writer import JournalWriter

if TYPE_CHECKING:
    from batchaudit.report.model import Report

S = TypeVar("S")

LIVE = "live"


class Audit:
    """Logs what watched sources produce, wherever they produce it, into one run's folder.

    Example::

        with ba.Audit("runs/today") as audit:
            for batch in audit.wrap(train):
                step(batch)
        print(audit.report())

    What a consumer was handed is not seen here, only what was produced: the report counts that, and says so.

    Args:
        folder: the run's folder; made if it is not there. A folder that holds a run gets its next attempt.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._attempt = next_attempt(self._folder)
        except OSError as error:
            raise UsageError(
                f"the folder {self._folder} cannot be written: {error.strerror or error}."
            ) from None
        self._journals: dict[str, JournalWriter] = {}

    def wrap(self, source: S, *, name: str | None = None, key: Key | None = None) -> S:
        """Makes a watched source of the user's: the same type, length, attributes, hooks and picklability.

        Args:
            source: a generator, iterator, iterable, `PyDataset`, `Sequence` or `tf.data.Dataset`.
            name: what to call it in the report; by default the name of its type.
            key: given a batch, returns one id a sample: which stored item it came from.

        Returns:
            The watched source, to be used in place of `source`.

        Raises:
            UsageError: it is no source of batches, or another source has that name.
        """
        sources.kind_of(source)  # says what it is not, before anything is made for it
        name = name or type(source).__name__
        if name in self._journals:
            raise UsageError(f"a source named {name!r} is being watched already: give this one a name=.")
        where = place()
        journal = JournalWriter(
            self._folder,
            source=name,
            strategy=LIVE,
            run=self._folder.name,
            attempt=self._attempt,
            rank=where.rank,
            world=where.world,
        )
        if not self._journals:
            asked = Asked(LIVE, finished=True)
            with suppress(OSError):  # a log that cannot be written must not stop a training
                Manifest(self._attempt, name, strategies=(asked,)).write(self._folder)
        self._journals[name] = journal
        watched: S = sources.watch(source, Recorder(journal, key))
        return watched

    def report(self) -> Report:
        """Reads what has been logged so far and diagnoses it.

        Returns:
            The report.

        Raises:
            JournalError: nothing has been logged.
        """
        from batchaudit.reporting import build

        return build(self._folder, self._attempt)

    def close(self) -> None:
        """Ends this process' log files."""
        for journal in self._journals.values():
            journal.close()

    def __enter__(self) -> Audit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
