from __future__ import annotations

import threading

import pytest

from batchaudit.capture.recorder import Recorder
from batchaudit.journal.layout import Event, Stage


class Events(list[Event]):
    """A journal that keeps its events in memory: the streams of one process, read at once."""

    closed = off = False

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def append(self, event: Event) -> int:
        with self._lock:
            super().append(event)
            return len(self)

    def of(self, stage: Stage) -> list[Event]:
        return [event for event in self if event.stage == stage]

    @property
    def produced(self) -> list[Event]:
        return self.of(Stage.PRODUCED)

    def __reduce__(self):
        return type(self), ()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def recorder(events: Events) -> Recorder:
    return Recorder(events)
