"""torch: a `DataLoader` with two workers, of which nothing is done but to iterate: the hardest case."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from benchmarks.end_to_end import torch_data, trainings
from benchmarks.lines import Line, Target
from benchmarks.measure import Effort


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    batches = effort.amount(500, 20)
    images = torch_data.Images((batches * 32, 1, 28, 28))
    training = trainings.Training(
        "DataLoader with 2 workers, nothing but iterating, 32x1x28x28",
        batches,
        lambda: torch_data.with_two_workers(images, 32),
        lambda loader: deque(loader, 0),
    )
    yield from trainings.lines(training, effort, target=Target(1.25))
