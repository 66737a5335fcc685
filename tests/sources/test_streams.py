"""The stream with the wrapper is the stream without it, whatever the source draws from."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from batchaudit.sources import kind_of, watch
from batchaudit.sources.kinds import Kind
from tests.loaders import (
    Elsewhere,
    NoisyTable,
    Numbers,
    Passes,
    Table,
    batch,
    content,
    numbers,
    numpy_noise,
    private_noise,
    python_noise,
)


class PrivateTable(Table):
    def __init__(self):
        super().__init__()
        self.rng = np.random.RandomState(3)
        self.order = random.Random(4)

    def __getitem__(self, index):
        x, rows = batch(index)
        return x + self.rng.normal(size=x.shape) + self.order.random(), rows


def mixed():
    """Nested batches that draw from everything at once."""
    own = random.Random(1)
    for number in range(5):
        x, rows = batch(number)
        yield {"x": [x + np.random.rand(), (None, random.random())], "y": rows, "z": own.random()}


def _noise(number):
    return np.random.normal(size=(2, number + 1))


SOURCES = {
    "generator": numbers,
    "generator, numpy": numpy_noise,
    "generator, python": python_noise,
    "generator, private": private_noise,
    "generator, everything": mixed,
    "iterator": Numbers,
    "iterator that hands out another": Elsewhere,
    "map": lambda: map(batch, range(5)),
    "map, numpy": lambda: map(_noise, range(5)),
    "chain": lambda: itertools.chain(numbers(2), numpy_noise(3)),
    "zip": lambda: zip(python_noise(3), numbers(3), strict=True),
    "iterable": Passes,
    "list": lambda: [batch(i) for i in range(5)],
    "tuple": lambda: tuple(batch(i) for i in range(5)),
    "table": Table,
    "table, numpy": NoisyTable,
    "table, private": PrivateTable,
}


def two_passes(source):
    if kind_of(source) is Kind.INDEXED:
        order = [*range(len(source)), *reversed(range(len(source)))]
        return [content(source[index]) for index in order]
    return [content(item) for _ in range(2) for item in source]


def seeded(make):
    np.random.seed(5)
    random.seed(6)
    stream = make()
    return stream, np.random.random(), random.random()


@pytest.mark.parametrize("name", SOURCES)
def test_watched_and_unwatched_are_equal(name, recorder, events):
    make = SOURCES[name]
    plain = seeded(lambda: two_passes(make()))
    watched = seeded(lambda: two_passes(watch(make(), recorder)))
    assert watched == plain
    assert len(events.produced) == len(plain[0]) > 0
    assert all(event.samples is not None or name == "generator, everything" for event in events.produced)


@pytest.mark.parametrize(
    ("name", "stream"),
    [("generator, numpy", 0), ("generator, python", 1), ("generator, private", 4), ("table, private", 4)],
)
def test_the_stream_that_a_source_draws_from_is_seen_to_move(name, stream, recorder, events):
    two_passes(watch(SOURCES[name](), recorder))
    moved = [
        [before != after for before, after in zip(event.streams_before, event.streams_after, strict=True)]
        for event in events.produced[1:]  # a generator function shows its private stream once it has begun
    ]
    assert {tuple(i for i, it in enumerate(streams) if it) for streams in moved} == {(stream,)}
