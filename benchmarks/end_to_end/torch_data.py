"""Images that a torch dataset holds, each flipped and brightened anew when it is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):  # type: ignore[misc]
    """Stored images, half of them flipped, all of them brighter or darker.

    Args:
        shape: of all of them: (items, channels, height, width).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        draw = torch.Generator().manual_seed(0)
        self.images = torch.rand(shape, generator=draw)
        self.labels = torch.randint(0, 10, shape[:1], generator=draw)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index] * (0.8 + 0.4 * torch.rand(()))
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), int(self.labels[index])


def with_two_workers(dataset: Any, batch: int) -> Any:
    """A loader that shuffles and has two workers, which each pass starts anew.

    Args:
        dataset: the dataset.
        batch: samples of a batch.
    """
    return DataLoader(dataset, batch_size=batch, shuffle=True, num_workers=2)
