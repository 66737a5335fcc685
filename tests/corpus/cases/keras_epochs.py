"""Keras and tf_keras from epoch to epoch: hooks that are not called, epochs that are cut, resuming."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    ALL,
    ALL_LABELS,
    BATCH,
    BATCHES,
    COUNT,
    Batch,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import in_attempts, trained

Train = Callable[[Any], bare.Epochs]


def live(make: Callable[[], Any], train: Train) -> ba.Report:
    """A live audit of a training with one source."""
    return trained(lambda audit: _discard(train(audit.wrap(make(), name="train"))))


def _discard(_: object) -> None: ...


def fit_keras(source: Any) -> bare.Epochs:
    return bare.fit(keras, source)


# -- K06, K07, K08: hooks that nobody calls ---------------------------------------------------------


class Reshuffling(tf_keras.utils.Sequence):
    """Its order is made anew in `on_epoch_end`."""

    def __init__(self, first: int = 0) -> None:
        self.rng, self.first, self.order = np.random.default_rng(3), first, np.arange(COUNT)
        self.on_epoch_end()

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        rows = self.first + self.order[index * BATCH : (index + 1) * BATCH]
        return ALL[rows], ALL_LABELS[rows].astype(np.float32)

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)


def own_loop(sequence: Any, hook: bool, epochs: int = 3) -> bare.Epochs:
    """A training loop of one's own over a Sequence, which calls its hook, or does not."""
    given: bare.Epochs = []
    for _ in range(epochs):
        given.append([])
        for index in range(len(sequence)):
            images, _ = sequence[index]
            given[-1].append(images)
        if hook:
            sequence.on_epoch_end()
    return given


def loop_and_validation(training: Any, validation: Any, hook: bool) -> bare.Epochs:
    """The loop calls the hook of what it trains on, and that of the validation or not.

    Returns:
        The images of each validation pass.
    """
    validated: bare.Epochs = []
    for _ in range(3):
        own_loop(training, hook=True, epochs=1)
        validated += own_loop(validation, hook, epochs=1)
    return validated


def validated_live(hook: bool) -> ba.Report:
    def train(audit: ba.Audit) -> None:
        training = audit.wrap(Reshuffling(), name="train")
        loop_and_validation(training, audit.wrap(Reshuffling(COUNT), name="val"), hook)

    return trained(train)


def generator_of(sequence: Any, hook: bool) -> tf.data.Dataset:
    """tf.data around a Sequence: it iterates, and knows nothing of hooks."""

    def batches() -> Iterator[Batch]:
        yield from (sequence[index] for index in range(len(sequence)))
        if hook:
            sequence.on_epoch_end()

    signature = (tf.TensorSpec([None, 8, 8], tf.float32), tf.TensorSpec([None], tf.float32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def fit_dataset(sequence: Any, hook: bool) -> bare.Epochs:
    return bare.fit(keras, generator_of(sequence, hook))


def one_order(sick: Callable[[], bare.Epochs], healthy: Callable[[], bare.Epochs]) -> str:
    """All epochs in one order, each complete; repaired, each in its own."""
    orders = [numbers_of(epoch) for epoch in sick()]
    repaired = [numbers_of(epoch) for epoch in healthy()]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])
    assert len({tuple(order) for order in repaired}) == 3
    assert all(sorted(order) == sorted(orders[0]) for order in repaired)
    return "3 epochs in one shuffled order; repaired: 3 orders"


# -- K10: the hook comes when the Sequence ends, not when the epoch does ----------------------------


class ShuffledPyDataset(keras.utils.PyDataset):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rng, self.order = np.random.default_rng(3), np.arange(COUNT)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        return pictures(index, self.order)

    def on_epoch_end(self) -> None:
        self.rng.shuffle(self.order)


def steps_proof() -> str:
    given = [len(epoch) for epoch in bare.fit(keras, ShuffledPyDataset(), steps=16)]
    assert given != [16, 16, 16]
    return f"steps_per_epoch=16 of a length of {BATCHES} gives epochs of {given}"


class InOrder(tf_keras.utils.Sequence):
    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        return pictures(index)


def fit_steps(source: Any, steps: int | None) -> bare.Epochs:
    return bare.fit(tf_keras, source, steps=steps, shuffle=False)


def prefix_proof() -> str:
    given = set(numbers_of(flat(fit_steps(InOrder(), 16))))
    assert given == set(range(16 * BATCH))
    assert len(set(numbers_of(flat(fit_steps(InOrder(), None))))) == COUNT
    return f"{len(given)} of {COUNT} pictures are ever trained on"


# -- P46 in Keras: resumed with the first epochs' orders --------------------------------------------


class SeededOrder(keras.utils.PyDataset):
    """Epoch e has the order of the seed e: `epoch` is where it starts counting."""

    def __init__(self, epoch: int = 0, **settings: Any) -> None:
        super().__init__(**settings)
        self.epoch = epoch
        self._shuffle()

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Batch:
        return pictures(index, self.order)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng([5, self.epoch]).permutation(COUNT)


def resumed(dataset: Any, begin: int) -> bare.Epochs:
    """Two epochs from `begin` on, as `fit` goes on from a checkpoint."""
    return bare.fit(keras, dataset, epochs=begin + 2, initial_epoch=begin, shuffle=False)


def attempt(begin: int, epoch_of_data: int, audit: ba.Audit) -> None:
    resumed(audit.wrap(SeededOrder(epoch_of_data), name="train"), begin)


def resume_proof() -> str:
    first = [numbers_of(epoch) for epoch in resumed(SeededOrder(), 0)]
    again = [numbers_of(epoch) for epoch in resumed(SeededOrder(), 2)]
    repaired = [numbers_of(epoch) for epoch in resumed(SeededOrder(2), 2)]
    assert first == again
    assert not any(epoch in first for epoch in repaired)
    return "epochs 2 and 3, resumed, are epochs 0 and 1 again; repaired: new ones"


STALE = frozenset({"stale-epoch"})

CASES = (
    Case(
        "K06",
        "tf_keras",
        "a loop of one's own over a Sequence, which never calls on_epoch_end",
        STALE,
        lambda: live(Reshuffling, partial(own_loop, hook=False)),
        lambda: live(Reshuffling, partial(own_loop, hook=True)),
        lambda: one_order(lambda: own_loop(Reshuffling(), False), lambda: own_loop(Reshuffling(), True)),
    ),
    Case(
        "K07",
        "tf_keras",
        "on_epoch_end is called for the training data and not for the validation",
        STALE,
        lambda: validated_live(hook=False),
        lambda: validated_live(hook=True),
        lambda: one_order(
            lambda: loop_and_validation(Reshuffling(), Reshuffling(COUNT), False),
            lambda: loop_and_validation(Reshuffling(), Reshuffling(COUNT), True),
        ),
    ),
    Case(
        "K08",
        "tf.data",
        "from_generator over a Sequence: its on_epoch_end is never called",
        STALE,
        lambda: live(Reshuffling, partial(fit_dataset, hook=False)),
        lambda: live(Reshuffling, partial(fit_dataset, hook=True)),
        lambda: one_order(
            lambda: fit_dataset(Reshuffling(), False), lambda: fit_dataset(Reshuffling(), True)
        ),
    ),
    Case(
        "K10",
        "keras 3",
        "steps_per_epoch below the length: epochs end where the data does not",
        frozenset(),
        lambda: live(ShuffledPyDataset, lambda source: bare.fit(keras, source, steps=16)),
        lambda: live(ShuffledPyDataset, fit_keras),
        steps_proof,
        allowed=frozenset({"stale-epoch", "order-divergence", "tail-drop", "prefetch-loss"}),
    ),
    Case(
        "K10b",
        "tf_keras",
        "steps_per_epoch below the length of an unshuffled Sequence",
        frozenset({"tail-drop"}),
        lambda: live(InOrder, partial(fit_steps, steps=16)),
        lambda: live(InOrder, partial(fit_steps, steps=None)),
        prefix_proof,
        allowed=frozenset({"prefetch-loss"}),
    ),
    Case(
        "P46k",
        "keras 3",
        "resumed with initial_epoch, and the data counts from 0 again",
        frozenset({"resume-replay"}),
        lambda: in_attempts([partial(attempt, 0, 0), partial(attempt, 2, 0)]),
        lambda: in_attempts([partial(attempt, 0, 0), partial(attempt, 2, 2)]),
        resume_proof,
    ),
)
