"""The state of all random streams, before and after a batch, against the libraries' public calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import torch

from batchaudit.capture.rng import StreamReader
from benchmarks.lines import Line, Target, compared
from benchmarks.measure import Effort, in_turns

_WARM = 300  # the searches for private streams are rare by then
_TARGET = Target(5, "ours")


class _Source:
    """A source with streams of its own."""

    def __init__(self) -> None:
        self.numpy = np.random.default_rng(1)
        self.python = random.Random(2)
        self.torch = torch.Generator().manual_seed(3)


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    np.random.rand(), random.random(), torch.rand(1)
    tf.random.set_seed(1)
    loaded = "NumPy, random, torch and TensorFlow loaded"
    yield _both(f"{loaded}, before and after", StreamReader(), _global_states, effort)
    source = _Source()
    yield _both(
        f"{loaded}, and three private streams, before and after",
        StreamReader(source),
        lambda: (_global_states(), _private_states(source)),
        effort,
    )
    tf.random.set_global_generator(tf.random.Generator.from_seed(1))
    yield _both(
        f"{loaded}, with a tf.random.Generator as the global one, before and after",
        StreamReader(),
        lambda: (_global_states(), tf.random.get_global_generator().state.numpy()),
        effort,
    )


def _both(what: str, reader: StreamReader, public: Any, effort: Effort) -> Line:
    for _ in range(_WARM):
        reader.read()
        reader.read_again()

    def read() -> None:
        reader.read()
        reader.read_again()

    def by_public_calls() -> None:
        public()
        public()

    ours, baseline = in_turns(read, by_public_calls, rounds=effort.rounds(41), repeats=300)
    return compared(what, ours, baseline, unit="µs", against="the public calls", target=_TARGET)


def _global_states() -> tuple[Any, ...]:
    return np.random.get_state(), random.getstate(), torch.get_rng_state()


def _private_states(source: _Source) -> tuple[Any, ...]:
    return source.numpy.bit_generator.state, source.python.getstate(), source.torch.get_state()
