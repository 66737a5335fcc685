"""Datasets and samplers for torch; modules of their own, so that workers that are not forked find them."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info


class Map(Dataset):
    def __init__(self, data, total):
        self.data, self.total = data, total

    def __len__(self):
        return self.total

    def __getitem__(self, index):
        return self.data.sample(index)


class Stream(IterableDataset):
    """Sharded between the workers."""

    def __init__(self, data, total):
        self.data, self.total = data, total

    def __iter__(self):
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for number in range(first, self.total, step):
            yield self.data.sample(number)


class Drawn(Sampler):
    """Draws its order from torch's global stream, and a number to say how long it is."""

    def __init__(self, total):
        self.total = total

    def __len__(self):
        return self.total + 0 * int(torch.randint(9, ()))

    def __iter__(self):
        return iter(torch.randperm(self.total).tolist())


def keep(samples):
    """No collation."""
    return samples


def begin(number):
    """Torch seeds its own and Python's stream in a worker, and NumPy's not in every version."""
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
