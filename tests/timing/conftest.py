from __future__ import annotations

from types import SimpleNamespace

import pytest

from batchaudit import sources
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter
from batchaudit.strategies import Job
from batchaudit.timing import Stopwatch


@pytest.fixture
def watched(tmp_path):
    """A job that a `Stopwatch` looks at, and `events()`: what it has logged, once it is over."""

    def _watched(make, **options):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        writer = JournalWriter(folder, source="s", strategy="t", run="r")
        stopwatch = Stopwatch(writer)
        job = Job(
            lambda: sources.watch(make(), stopwatch), stopwatch, **{"epochs": 1, "renewable": True, **options}
        )

        def events():
            writer.close()
            return load(folder).events

        return SimpleNamespace(job=job, stopwatch=stopwatch, events=events)

    return _watched
