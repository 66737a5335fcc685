"""Keras datasets that write into what they store, or leave out or repeat the end of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    ALL,
    ALL_LABELS,
    BATCH,
    BATCHES,
    COUNT,
    IMAGES,
    LABELS,
    Batch,
    brighter,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited

# -- P43: augmentation in place ---------------------------------------------------------------------


class NormalisedInPlace(keras.utils.PyDataset):
    """A slice is a view: each access normalises the stored pictures once more."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.images = IMAGES.copy()

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        here = slice(index * BATCH, (index + 1) * BATCH)
        images = self.images[here]
        images -= 0.3
        images /= 0.4
        return images.copy(), LABELS[here]


class NormalisedCopy(NormalisedInPlace):
    def __getitem__(self, index: int) -> Batch:
        here = slice(index * BATCH, (index + 1) * BATCH)
        return (self.images[here] - 0.3) / 0.4, LABELS[here]


class NoiseInPlace(NormalisedInPlace):
    """`+=` on the stored pictures: their noise adds up."""

    def __getitem__(self, index: int) -> Batch:
        here = slice(index * BATCH, (index + 1) * BATCH)
        self.images[here] += np.random.normal(size=(BATCH, 1, 1)).astype(np.float32)
        return self.images[here].copy(), LABELS[here]


class NoiseOnACopy(NormalisedInPlace):
    def __getitem__(self, index: int) -> Batch:
        here = slice(index * BATCH, (index + 1) * BATCH)
        return brighter(self.images[here], np.random.normal(size=BATCH)), LABELS[here]


def drift_proof(sick: Callable[[], Any], healthy: Callable[[], Any]) -> str:
    """The stored pictures change while they are trained on."""
    datasets = [sick(), healthy()]
    for dataset in datasets:
        bare.fit(keras, dataset)
    drift, none = (float(np.abs(dataset.images - IMAGES).max()) for dataset in datasets)
    assert drift > 0.5
    assert none == 0
    return f"after 3 epochs the stored pixels are off by up to {drift:.1f}; repaired: by 0"


# -- tails and padding ------------------------------------------------------------------------------

UNEVEN = COUNT + 5


class Floored(keras.utils.PyDataset):
    """Its length is floored: the last pictures are never asked for."""

    def __len__(self) -> int:
        return UNEVEN // BATCH

    def __getitem__(self, index: int) -> Batch:
        return pictures(index, count=UNEVEN)


class Ceiled(Floored):
    def __len__(self) -> int:
        return -(-UNEVEN // BATCH)


class PaddedFromTheStart(Ceiled):
    """Fills the last batch up with the first pictures."""

    def __getitem__(self, index: int) -> Batch:
        rows = np.arange(index * BATCH, (index + 1) * BATCH) % UNEVEN
        return ALL[rows], ALL_LABELS[rows].astype(np.float32)


def trained_rows(dataset: Any) -> list[int]:
    return numbers_of(bare.fit(keras, dataset, epochs=1, shuffle=False)[0])


def floored_proof() -> str:
    given, repaired = trained_rows(Floored()), trained_rows(Ceiled())
    assert set(range(UNEVEN)) - set(given) == set(range(COUNT, UNEVEN))
    assert sorted(repaired) == list(range(UNEVEN))
    return f"the last {UNEVEN - COUNT} of {UNEVEN} pictures are never trained on"


def padded_proof() -> str:
    given = trained_rows(PaddedFromTheStart())
    extra = -UNEVEN % BATCH
    assert given == [*range(UNEVEN), *range(extra)]
    assert trained_rows(Ceiled()) == list(range(UNEVEN))
    return f"{extra} = (-{UNEVEN}) mod {BATCH} pictures twice, the first ones"


CASES = (
    Case(
        "P43k",
        "keras 3",
        "each access normalises the stored pictures once more",
        frozenset({"inplace-mutation"}),
        lambda: audited(NormalisedInPlace, "keras-threads:1"),
        lambda: audited(NormalisedCopy, "keras-threads:1"),
        lambda: drift_proof(NormalisedInPlace, NormalisedCopy),
    ),
    Case(
        "P43n",
        "keras 3",
        "noise is added to the stored pictures",
        frozenset({"inplace-mutation"}),
        lambda: audited(NoiseInPlace, "serial"),
        lambda: audited(NoiseOnACopy, "serial"),
        lambda: drift_proof(NoiseInPlace, NoiseOnACopy),
    ),
    Case(
        "floored-length",
        "keras 3",
        "a PyDataset whose length is floored",
        frozenset({"tail-drop"}),
        lambda: audited(Floored, "keras-threads:2"),
        lambda: audited(Ceiled, "keras-threads:2"),
        floored_proof,
    ),
    Case(
        "padded-batch",
        "keras 3",
        "the last batch is filled up from the start",
        frozenset({"padding-duplicate"}),
        lambda: audited(PaddedFromTheStart, "keras-threads:2"),
        lambda: audited(Ceiled, "keras-threads:2"),
        padded_proof,
    ),
)
