"""torch: a `DataLoader` with two workers, and a training step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.end_to_end import torch_data, trainings
from benchmarks.lines import Line
from benchmarks.measure import Effort


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    batches, epochs = effort.amount(32, 2), effort.amount(2, 1)
    images = torch_data.Images((batches * 32, 3, 96, 96))
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.CrossEntropyLoss()

    def train(loader: Any) -> None:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()

    training = trainings.Training(
        "DataLoader with 2 workers and a training step, 32x3x96x96",
        epochs * batches,
        lambda: torch_data.with_two_workers(images, 32),
        train,
    )
    yield from trainings.lines(training, effort)
