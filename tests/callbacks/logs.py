"""Live logs as a training writes them, without a training: two workers whose batches one consumer takes in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from batchaudit.capture.recorder import Recorder
from batchaudit.journal.writer import JournalWriter

STEPS = 8


def _batch(number: int) -> np.ndarray:
    return np.arange(6).reshape(3, 2) + 6 * number


class Training:
    """A source of two workers; replicas each give every batch, so that half of what is delivered repeats."""

    def __init__(
        self, folder: Path, name: str = "train", *, attempt: int = 0, split: str = "training"
    ) -> None:
        about = {"kind": "iterable", "split": split, "workers": 2}
        self.journal = JournalWriter(
            folder, source=name, strategy="live", run=folder.name, attempt=attempt, about=about
        )
        self.recorder = Recorder(self.journal)
        self.epoch = 0

    def run_epoch(self, *, replicas: bool) -> None:
        for step in range(STEPS):
            worker, number = step % 2, step // 2 if replicas else step
            with self.recorder.as_worker(worker):
                batch = self.recorder.produce(_batch, 100 * self.epoch + number)
            ticket = self.recorder.take_ticket()
            self.recorder.deliver(batch, epoch=self.epoch, step=step, ticket=ticket, waited_ns=250_000_000)
        self.epoch += 1
