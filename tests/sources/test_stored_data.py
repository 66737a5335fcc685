from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset

from batchaudit.sources.stored_data import token


class Images:
    def __init__(self, first: int, seed: int = 0, names: bool = False) -> None:
        self.images = np.arange(first, first + 60.0).reshape(20, 3)
        self.rng = np.random.default_rng(seed)
        self.scale = seed
        if names:
            self.paths = [f"{first + number}.png" for number in range(20)]


class Nothing:
    def __init__(self) -> None:
        self.epoch = 3
        self.transform = len


def test_the_same_data_has_the_same_token_whatever_else_differs():
    assert token(Images(0)) == token(Images(0, seed=1)) != ""
    assert token(Images(0)) != token(Images(1))
    assert token(Images(0, names=True)) not in (token(Images(0)), token(Images(1, names=True)))


def test_tensors_and_wrapped_datasets():
    data = TensorDataset(torch.arange(40).reshape(20, 2), torch.arange(20))
    other = TensorDataset(torch.arange(40).reshape(20, 2) + 1, torch.arange(20))
    assert token(data) != token(other)
    assert token(Subset(data, [3, 1])) == token(Subset(data, [3, 1])) != token(Subset(other, [3, 1]))


def test_large_arrays_are_read_at_their_ends():
    large = Images(0)
    large.images = np.zeros((1 << 20, 4))
    before = token(large)
    large.images[-1] = 1
    assert token(large) != before


def test_what_holds_no_data_has_no_token():
    assert token(Nothing()) == token(object()) == token(3) == ""
