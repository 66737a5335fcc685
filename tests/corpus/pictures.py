"""Real pictures for the loaders, and ways to read off a batch which of them it holds and what was added.

The top left pixel of every picture is 0, so that whatever brightness an augmentation adds can be read there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

BATCH = 8
COUNT = 192
BATCHES = COUNT // BATCH
A_MOMENT = 0.004
"""Seconds of work a batch, so that pools that deal out work as it is asked for spread it."""

ALL, ALL_LABELS = load_digits(return_X_y=True)
ALL = (ALL.reshape(-1, 8, 8) / 16).astype(np.float32)
IMAGES, LABELS = ALL[:COUNT], ALL_LABELS[:COUNT].astype(np.float32)

Batch = tuple[np.ndarray, np.ndarray]


def pictures(index: int, order: Any = None, count: int = COUNT) -> Batch:
    """Batch `index` of the first `count` pictures, in their own order or another; the last may be shorter."""
    rows = np.arange(count) if order is None else np.asarray(order)
    rows = rows[index * BATCH : (index + 1) * BATCH]
    return ALL[rows], ALL_LABELS[rows].astype(np.float32)


def brighter(images: np.ndarray, draws: Any) -> np.ndarray:
    """The pictures, each with its own number added to all pixels.

    Args:
        images: float32, shape (samples, 8, 8).
        draws: shape (samples,).
    """
    return images + np.asarray(draws, np.float32)[:, None, None]


def draws_of(batches: Iterable[Any]) -> list[float]:
    """What was added to each picture of some batches."""
    return [float(corner) for batch in batches for corner in np.asarray(batch)[:, 0, 0]]


def numbers_of(batches: Iterable[Any]) -> list[int]:
    """Which stored picture each picture of some batches is, whatever brightness was added."""
    stored = ALL.reshape(len(ALL), -1)
    found: list[int] = []
    for batch in batches:
        images = np.asarray(batch)
        plain = (images - images[:, :1, :1]).reshape(len(images), -1)
        found += [int(np.abs(stored - image).sum(axis=1).argmin()) for image in plain]
    return found


def different(batches: Iterable[Any]) -> int:
    """How many of some batches are different."""
    return len({np.asarray(batch).tobytes() for batch in batches})


def flat(epochs: Sequence[Sequence[Any]]) -> list[Any]:
    """The batches of all epochs, in one list."""
    return [batch for epoch in epochs for batch in epoch]
