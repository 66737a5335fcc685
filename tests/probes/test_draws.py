"""What the probe `draws` sees of the items of a source, and that it leaves everything as it was."""

from __future__ import annotations

import random
from random import Random, seed

import numpy as np
import pytest
from numpy.random import default_rng

import batchaudit as ba
from batchaudit.capture.rng import StreamReader
from batchaudit.journal.reader import load
from batchaudit.probes import draws, seeding

N = 6


def events(folder):
    found = load(folder).events
    return found[found["strategy"].astype(str) == "probe draws, serial"]


def probe(folder, make, **settings):
    ba.audit(make, ["serial"], epochs=1, probes=["draws"], out=folder, **settings)
    return events(folder)


def called(rows, epoch=draws.FIRST):
    texts = rows["text"][(rows["stage"] == "hook") & (rows["epoch"] == epoch)].astype(str)
    return {text.removeprefix(draws.CALLED) for text in texts if text.startswith(draws.CALLED)}


def contents(rows, epoch):
    its = rows[(rows["stage"] == "delivered") & (rows["epoch"] == epoch)].sort_values("step")
    return list(its["digest_lo"])


class Items:
    """Batches that can be asked for by index."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        if index >= N:
            raise IndexError(index)
        return np.full((2, 3), index + self.noise(index))

    def noise(self, index):
        return 0.0


class ByName(Items):
    """Calls what it imported by name."""

    def noise(self, index):
        seed(index)
        return default_rng(index).random() + Random(index).random() + random.random()


class ByModule(Items):
    def noise(self, index):
        np.random.seed(index)
        return (
            np.random.rand()
            + np.random.RandomState(index).rand()
            + np.random.Generator(np.random.PCG64(index)).random()
        )


class Held(Items):
    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.stored = {}

    def noise(self, index):
        return self.stored.setdefault(index, self.rng.random())


def test_the_passes(tmp_path):
    rows = probe(tmp_path, ByName)
    first = contents(rows, draws.FIRST)
    assert len(first) == draws.BATCHES
    for epoch in (draws.AGAIN, draws.NEXT, draws.OTHER):
        assert contents(rows, epoch) == first
    assert not set(contents(rows, draws.SEEDED)) & set(first)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (ByName, {"random.seed", "numpy.random.default_rng", "random.Random"}),
        (ByModule, {"numpy.random.seed", "numpy.random.RandomState", "numpy.random.PCG64"}),
        (Items, set()),
    ],
)
def test_what_was_called(tmp_path, source, names):
    assert called(probe(tmp_path, source)) == names


def test_what_draws_nothing_is_the_same_seeded_otherwise(tmp_path):
    rows = probe(tmp_path, Items)
    assert contents(rows, draws.SEEDED) == contents(rows, draws.FIRST)


def test_a_stream_that_the_source_holds_is_moved_on(tmp_path):
    rows = probe(tmp_path, Held)
    assert contents(rows, draws.AGAIN) == contents(rows, draws.FIRST)
    assert not set(contents(rows, draws.SEEDED)) & set(contents(rows, draws.FIRST))


def test_an_iterator_has_one_pass(tmp_path):
    def batches():
        for index in range(N):
            yield np.full((2, 3), index + np.random.default_rng(index).random())

    rows = probe(tmp_path, batches)
    assert contents(rows, draws.AGAIN) == contents(rows, draws.NEXT) == []
    assert contents(rows, draws.OTHER) == contents(rows, draws.FIRST)
    assert called(rows) == {"numpy.random.default_rng"}


def names():
    return (np.random.default_rng, np.random.seed, np.random.RandomState, random.Random, seed, default_rng)


def test_everything_is_put_back(tmp_path):
    known, before = names(), StreamReader().read()
    probe(tmp_path, ByName)
    assert StreamReader().read() == before
    assert names() == known


def test_what_the_source_holds_is_put_back():
    kept = Held()
    state = kept.rng.bit_generator.state
    with seeding.moved_on(kept):
        assert kept.rng.bit_generator.state != state
    assert kept.rng.bit_generator.state == state


def test_it_is_not_made_where_it_is_not_asked_for(tmp_path):
    ba.audit(ByName, ["serial"], epochs=1, probes=False, out=tmp_path)
    assert events(tmp_path).empty


def test_torch_s_samples_and_the_next_epoch(tmp_path):
    torch = pytest.importorskip("torch")

    class Samples(torch.utils.data.Dataset):
        def __init__(self):
            self.epoch = 0

        def __len__(self):
            return 40

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __getitem__(self, index):
            generator = torch.Generator().manual_seed(100 * self.epoch + index)
            return torch.rand(3, generator=generator)

    loader = torch.utils.data.DataLoader
    rows = probe(tmp_path, lambda: loader(Samples(), 8, shuffle=True, num_workers=2))
    first = contents(rows, draws.FIRST)
    assert len(first) == draws.SAMPLES
    assert contents(rows, draws.AGAIN) == first
    for epoch in (draws.NEXT, draws.SEEDED):
        assert not set(contents(rows, epoch)) & set(first)
    assert called(rows) == {"torch.Generator"}


def test_what_is_made_of_a_wrapped_class_is_of_the_class():
    noted = []
    with seeding.wrapped(noted.append):
        made = np.random.RandomState(1)
        assert isinstance(made, np.random.RandomState)
    assert isinstance(made, np.random.RandomState)
    assert noted == ["numpy.random.RandomState"]
    assert made.rand() == np.random.RandomState(1).rand()


def test_a_failure_puts_everything_back():
    before = np.random.default_rng
    with pytest.raises(ZeroDivisionError), seeding.wrapped(lambda name: None):
        assert np.random.default_rng is not before
        raise ZeroDivisionError
    assert np.random.default_rng is before


@pytest.mark.parametrize("given", [0, 7, np.int64(7), [1, 2], np.arange(3), np.random.SeedSequence(5), None])
def test_another_seed_draws_otherwise(given):
    def draw():
        return np.random.default_rng(given).random()

    usual = draw()
    with seeding.wrapped(lambda name: None, otherwise=True):
        assert draw() != usual
    if given is not None:
        assert draw() == usual
