"""What the probe `stored` takes for stored data that drifts, and what it does not."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from batchaudit.probes import stored
from batchaudit.strategies import Skip, parse
from tests.probes import hooked


def told(make) -> dict:
    [outcome] = hooked.told(stored, make)
    return outcome


class Images(Dataset):
    def __init__(self):
        self.images = np.random.default_rng(0).random((32, 8, 8))
        self.labels = np.eye(10)[np.arange(32) % 10]
        self.records = [{"x": image.copy(), "tokens": list(range(64))} for image in self.images]
        self.rng = np.random.default_rng(1)
        self.visits = np.zeros(32, np.int64)
        self.counts = [0] * 32
        self.kept = np.zeros_like(self.images)
        self.done = [False] * 32
        self.cache = {}
        self.buffer = np.zeros((8, 8))
        self.order = list(range(32))

    def __len__(self):
        return 32


class Adds(Images):
    def __getitem__(self, i):
        image = self.images[i]
        image += 10
        return image.copy()


class AddsNoise(Images):
    def __getitem__(self, i):
        image = self.images[i]
        image += self.rng.random((8, 8))
        return image.copy()


class FlipsSometimes(Images):
    def __getitem__(self, i):
        if self.rng.random() < 0.5:
            self.images[i] = self.images[i][::-1].copy()
        return self.images[i].copy()


class SmoothsLabels(Images):
    def __getitem__(self, i):
        label = self.labels[i]
        label *= 0.9
        return self.images[i].copy(), label.copy()


class ReplacesTheRecord(Images):
    def __getitem__(self, i):
        record = self.records[i]
        record["x"] = record["x"] + self.rng.random()
        return record["x"]


class AppendsTokens(Images):
    def __getitem__(self, i):
        tokens = self.records[i]["tokens"]
        tokens.append(1)
        return torch.tensor(tokens)


class NormalisesATensor(Images):
    def __init__(self):
        self.tensor = torch.rand(32, 8, 8)

    def __getitem__(self, i):
        return self.tensor[i].sub_(0.5).div_(0.3)


class Stream(IterableDataset):
    def __init__(self):
        self.rows = np.random.default_rng(0).random((16, 8))

    def __iter__(self):
        for row in self.rows:
            row += 1
            yield row.copy()


class Views:
    """A Sequence whose batches are views of what is stored."""

    def __init__(self):
        self.x = np.random.default_rng(0).random((64, 4))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        batch = self.x[8 * i : 8 * i + 8]
        batch /= 2
        return batch, batch[:, 0]


SHARED = np.random.default_rng(0).random((32, 8))


def scaled():
    for i in range(0, 32, 8):
        batch = SHARED[i : i + 8]
        batch *= 1.1
        yield batch


def centred():
    own = np.random.default_rng(0).random((32, 8))
    while True:
        for i in range(0, 32, 8):
            batch = own[i : i + 8]
            batch -= batch.mean()
            batch /= 2
            yield batch


def loader(dataset, **options):
    return lambda: DataLoader(dataset(), 8, shuffle=True, **options)


DRIFTING = {
    "adds": (loader(Adds), "images"),
    "noise": (loader(AddsNoise), "images"),
    "flips": (loader(FlipsSometimes), "images"),
    "labels": (loader(SmoothsLabels), "labels"),
    "record": (loader(ReplacesTheRecord), "records[0]"),
    "tokens": (loader(AppendsTokens), "records[0]['tokens']"),
    "tensor": (loader(NormalisesATensor), "tensor"),
    "stream": (lambda: DataLoader(Stream(), 4), "rows"),
    "views": (Views, "x"),
    "generator over shared data": (scaled, "SHARED"),
    "endless generator": (centred, "own"),
}


@pytest.mark.parametrize("name", DRIFTING)
def test_stored_data_that_drifts(name):
    make, where = DRIFTING[name]
    outcome = told(make)
    assert outcome["outcome"] == stored.DRIFTS
    assert outcome["where"] == where


class Copies(Images):
    def __getitem__(self, i):
        image = self.images[i].copy()
        image += self.rng.random((8, 8))
        return image


class CountsVisits(Images):
    def __getitem__(self, i):
        self.visits[i] += 1
        self.counts[i] += 1
        return self.images[i] + np.random.default_rng([i, self.visits[i]]).random((8, 8))


class FillsACache(Images):
    def __getitem__(self, i):
        if i not in self.cache:
            self.cache[i] = self.images[i] * 2
        if not self.done[i]:
            self.kept[i], self.done[i] = self.images[i] / 3, True
        return self.cache[i] + self.kept[i] + self.rng.random()


class KeepsTheLast(Images):
    def __getitem__(self, i):
        self.kept[i] = self.images[i] + self.rng.random((8, 8))
        return self.kept[i].copy()


class FillsABuffer(Images):
    def __getitem__(self, i):
        self.buffer[:] = self.images[i] + self.rng.random()
        return self.buffer.copy()


class RunsAMean(Images):
    def __getitem__(self, i):
        self.buffer *= 0.9
        self.buffer += 0.1 * self.images[i]
        return self.images[i] - self.buffer


def shuffles_what_is_stored():
    rows = np.random.default_rng(0).random((32, 8))
    while True:
        np.random.shuffle(rows)
        for i in range(0, 32, 8):
            yield rows[i : i + 8].copy()


def through_a_list():
    waiting, rng = [], random.Random(0)
    for row in np.random.default_rng(0).random((200, 16)):
        if len(waiting) < 20:
            waiting.append(row)
            continue
        place = rng.randrange(20)
        out, waiting[place] = waiting[place], row
        yield out


def through_an_array():
    waiting, rng = np.zeros((20, 16)), random.Random(0)
    for number, row in enumerate(np.random.default_rng(0).random((300, 16))):
        if number < 20:
            waiting[number] = row
            continue
        place = rng.randrange(20)
        out = waiting[place].copy()
        waiting[place] = row
        yield out


HEALTHY = {
    "copies": (loader(Copies), {stored.UNTOUCHED}),
    "visits": (loader(CountsVisits), {stored.UNTOUCHED, stored.INDEPENDENT}),
    "cache": (loader(FillsACache), {stored.ONCE}),
    "last": (loader(KeepsTheLast), {stored.INDEPENDENT}),
    "buffer": (loader(FillsABuffer), {stored.INDEPENDENT}),
    "mean": (loader(RunsAMean), {stored.INDEPENDENT}),
    "shuffle": (shuffles_what_is_stored, {stored.UNTOUCHED}),
    "shuffle buffer, a list": (through_a_list, {stored.INDEPENDENT, stored.ONCE}),
    "shuffle buffer, an array": (through_an_array, {stored.INDEPENDENT, stored.ONCE}),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_written_and_is_no_stored_data(name):
    make, expected = HEALTHY[name]
    assert told(make)["outcome"] in expected


def test_the_source_is_left_as_it_is():
    before = SHARED.copy()
    told(scaled)
    assert (before == SHARED).all()
    source = Views()
    kept = source.x.copy()
    told(lambda: source)
    assert (source.x == kept).all()


def test_the_streams_are_left_as_they_are():
    state = np.random.get_state()[1].copy()
    told(shuffles_what_is_stored)
    assert (np.random.get_state()[1] == state).all()


def test_a_source_that_hangs_in_a_forked_process_is_given_up():
    class Hangs(Views):
        def __getitem__(self, i):
            import threading

            threading.Event().wait()

    probe = hooked.Probe(Hangs)
    probe.timeout = 1.0
    with pytest.raises(Skip, match="gave nothing"):
        stored.drive(probe, parse("serial"))
