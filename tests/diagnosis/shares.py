"""Torch loaders whose workers, or ranks, share their data out well, badly, twice or not at all."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, get_worker_info
from torch.utils.data.distributed import DistributedSampler

ROWS = np.random.default_rng(0).normal(size=(2048, 16)).astype(np.float32)
SIZE = 8


def number_of(batch):
    """The `key=` of what is below: each sample carries its number."""
    return batch[1]


def noise():
    return np.random.default_rng().normal(size=16).astype(np.float32)


# -- by worker ----------------------------------------------------------------------------------------


class Stream(IterableDataset):
    """Samples in the order that a function gives, which is called in the worker."""

    def __init__(self, order, noisy=False):
        self.order, self.noisy = order, noisy

    def __iter__(self):
        for number in self.order():
            yield ROWS[number] + (noise() if self.noisy else 0), number


def of_worker(order):
    info = get_worker_info()
    return order[info.id :: info.num_workers] if info else order


def worker():
    info = get_worker_info()
    return 0 if info is None else info.id


class Orders:
    """Orders of `count` samples; the methods pickle, and forked workers call them."""

    def __init__(self, count=256):
        self.count = count

    def everything(self):
        return list(range(self.count))

    def shuffled(self):
        return torch.randperm(self.count).tolist()  # torch seeds each worker's global stream

    def shared(self):
        return of_worker(self.everything())

    def shared_then_shuffled(self):
        order = self.shared()
        random.Random(torch.initial_seed()).shuffle(order)
        return order

    def shuffled_then_shared(self):
        return of_worker(self.shuffled())

    def shards_shuffled_then_shared(self):
        shards = of_worker(torch.randperm(self.count // 16).tolist())
        return [16 * shard + row for shard in shards for row in range(16)]

    def shared_twice(self):
        return of_worker(self.shared())

    def in_two_shards(self):
        info = get_worker_info()
        half = self.count // 2
        if info is None:
            return self.everything()
        return list(range(half * info.id, half * (info.id + 1))) if info.id < 2 else []

    def with_replacement(self):
        return torch.randint(self.count, (self.count // 4,)).tolist()


def streamed(order, workers=2, *, noisy=False, **settings):
    return DataLoader(Stream(order, noisy), SIZE, num_workers=workers, **settings)


# -- by rank ------------------------------------------------------------------------------------------


class Stored(Dataset):
    """Samples by their numbers."""

    def __init__(self, count=256, *, numbers=None, noisy=False):
        self.numbers = list(range(count)) if numbers is None else list(numbers)
        self.noisy = noisy

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        number = self.numbers[index]
        return ROWS[number] + (noise() if self.noisy else 0), number


def sampled(data, rank, world, **settings):
    """A loader that a DistributedSampler shares out."""
    return DataLoader(data, SIZE, sampler=DistributedSampler(data, world, rank, **settings))


def sliced(data, rank, world):
    return DataLoader(Subset(data, range(rank, len(data), world)), SIZE)
