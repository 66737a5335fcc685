"""What the probe `kept` takes for one buffer that every sample is, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

import batchaudit as ba
from batchaudit.probes import kept
from tests.probes import hooked

ROWS = np.random.default_rng(0).random((64, 8, 8), np.float32)
LABELS = np.arange(64) % 10


class Rows(Dataset):
    def __init__(self):
        self.buffer, self.rows = np.zeros((8, 8), np.float32), ROWS.copy()

    def __len__(self):
        return 64

    def __getitem__(self, index):
        return self.rows[index], LABELS[index]


class Buffered(Rows):
    def __getitem__(self, index):
        self.buffer[:] = ROWS[index]
        return {"image": torch.from_numpy(self.buffer), "label": LABELS[index]}


class AllAtOnce(Buffered):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


class TwoBuffers(Rows):
    def __init__(self):
        super().__init__()
        self.buffers = np.zeros((2, 8, 8), np.float32)

    def __getitem__(self, index):
        self.buffers[index % 2] = ROWS[index]
        return self.buffers[index % 2], LABELS[index]


class Copied(Buffered):
    def __getitem__(self, index):
        made = super().__getitem__(index)
        return {**made, "image": made["image"].clone()}


class InPlace(Rows):
    def __getitem__(self, index):
        row = self.rows[index]
        row -= row.mean()
        return row, LABELS[index]


class OneMean(Rows):
    """Each sample brings along what is the same for all of them."""

    def __getitem__(self, index):
        return self.rows[index], self.rows.mean(axis=0), LABELS[index], f"image {index}", index


class Constant(Rows):
    def __getitem__(self, index):
        self.buffer[:] = 1
        return self.buffer, LABELS[index]


class Streamed(IterableDataset):
    def __init__(self, copied):
        self.copied = copied

    def __iter__(self):
        buffer = np.zeros((8, 8), np.float32)
        for row in ROWS:
            buffer[:] = row
            yield buffer.copy() if self.copied else buffer


def told(dataset, **settings):
    return hooked.told(kept, lambda: DataLoader(dataset, **{"batch_size": 16, **settings}))


@pytest.mark.parametrize(
    ("dataset", "overwritten", "where"),
    [
        (Buffered(), 7, "['image']"),
        (AllAtOnce(), 7, "['image']"),
        (TwoBuffers(), 6, "[0]"),
        (Streamed(copied=False), 7, ""),
    ],
)
def test_samples_that_share_a_buffer(dataset, overwritten, where):
    assert told(dataset) == [{"samples": 8, "overwritten": overwritten, "where": where}]


@pytest.mark.parametrize(
    "dataset", [Rows(), Copied(), InPlace(), OneMean(), Constant(), Streamed(copied=True)]
)
def test_samples_that_do_not(dataset):
    assert told(dataset) == [{"samples": 8, "overwritten": 0, "where": ""}]


def test_a_sample_that_is_drawn_twice_is_no_buffer():
    assert told(InPlace(), sampler=[3, 3, 3, 5, 5, 8] * 8) == [{"samples": 3, "overwritten": 0, "where": ""}]


def test_a_dataset_that_makes_batches_keeps_none_waiting():
    assert told(Buffered(), batch_size=None) == []


def causes(dataset, workers):
    report = ba.audit(lambda: DataLoader(dataset(), batch_size=16, num_workers=workers), ["as-is"], epochs=2)
    return {finding.cause: finding for finding in report.runs[0].findings}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_diagnosis(workers):
    found = causes(Buffered, workers)
    assert set(found) == {"buffer-alias"}
    assert "7 of 8 samples were overwritten" in found["buffer-alias"].summary
    assert "copy()" in found["buffer-alias"].fix
    assert causes(Copied, workers) == {}
