from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from batchaudit import sources, strategies
from batchaudit.capture.recorder import Recorder
from batchaudit.capture.restore import preserved_streams
from batchaudit.errors import BatchauditError, WorkerError
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter
from batchaudit.strategies import Job
from tests.loaders import content

# Nothing that goes wrong may take longer, on a machine however busy: a hang takes for ever.
BOUND = 240.0


@dataclass
class Collecting(Job):
    """A job that also keeps what it was handed, by value."""

    batches: list[tuple[int, int, Any]] = field(default_factory=list)

    def deliver(self, batch, epoch, step, ticket=0):
        self.batches.append((epoch, step, content(batch)))
        super().deliver(batch, epoch, step, ticket)


@dataclass
class Driven:
    """What one strategy did with one source."""

    delivered: list[tuple[int, int, Any]]
    events: Any
    seconds: float
    error: BatchauditError | None

    def epoch(self, number: int) -> list[Any]:
        return [batch for epoch, _, batch in self.delivered if epoch == number]

    def flagged(self, flag: int) -> Any:
        """The produced batches that carry a flag."""
        produced = self.of("produced")
        return produced[produced["flags"] & int(flag) != 0]

    def of(self, stage: str) -> Any:
        return self.events[self.events.stage == stage]


@pytest.fixture
def drive(tmp_path):
    """Drives sources as `audit` does, and hands out the batches too."""

    def _drive(make, strategy, *, epochs=1, steps=None, timeout=BOUND, renewable=True, fails=False, key=None):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        writer = JournalWriter(folder, source="s", strategy=strategy, run="r")
        recorder = Recorder(writer, key)
        once = None if renewable else make()
        job = Collecting(
            lambda: sources.watch(make() if renewable else once, recorder),
            recorder,
            epochs,
            steps,
            timeout,
            renewable,
        )
        began = time.monotonic()
        with preserved_streams(), _expected(fails) as caught:
            strategies.drive(job, strategies.parse(strategy))
        seconds = time.monotonic() - began
        writer.close()
        events = load(folder).events if any(folder.iterdir()) else None
        driven = Driven(job.batches, events, seconds, caught[0] if caught else None)
        assert fails or every_ticket_is_known(driven)
        return driven

    return _drive


@contextmanager
def _expected(fails):
    caught: list[BatchauditError] = []
    if not fails:
        yield caught
        return
    with pytest.raises(WorkerError if fails is True else fails) as info:
        yield caught
    caught.append(info.value)


def every_ticket_is_known(driven: Driven) -> bool:
    """Whether each delivered batch names the produced one it came from, and no two the same."""
    delivered, produced = driven.of("delivered"), driven.of("produced")
    assert (delivered.ticket != 0).all()
    assert delivered.ticket.is_unique
    joined = delivered.merge(produced, on="ticket", suffixes=("", "_produced"))
    assert len(joined) == len(delivered) == len(driven.delivered)
    return True
