"""Loaders whose random state starts over each epoch, readable or not, each with its healthy twin."""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.placed import placed
from batchaudit.diagnosis import rng_epoch_reset
from tests.analysis.build import Batch, evidence, table

CAUSE = "rng-epoch-reset"
N, SIZE = 32, 4
STORED = np.arange(N * 3, dtype=np.float32).reshape(N, 3)


def verdict(report, cause=CAUSE):
    [run] = report.runs
    return next(one for one in run.verdicts if one.cause == cause)


def found(report):
    [run] = report.runs
    return {finding.cause for finding in run.findings if finding.severity != "info"}


# -- hand-made tables ---------------------------------------------------------------------------------


def orders(content):
    """Three epochs of two workers that are made anew: an order, its reverse, the order again."""
    return table(
        [
            Batch(10 * epoch + place % 2, content(epoch, item, place // 2), epoch, index=item)
            for epoch in range(3)
            for place, item in enumerate(range(8) if epoch != 1 else range(7, -1, -1))
        ]
    )


SAMPLES = [Batch(1 + epoch, 100 * epoch + step, epoch) for epoch in range(2) for step in range(4)]


def by_probe(content):
    return rng_epoch_reset.judge(evidence(SAMPLES, probes={"orders": orders(content)}))


def test_hidden_draws_that_belong_to_the_place():
    judgement = by_probe(lambda epoch, item, turn: 100 * item + turn)
    assert judgement.finding is not None
    assert "in epoch 0 and in epoch 2" in judgement.finding.evidence["first_example"]


def test_draws_that_go_on_start_nothing_over():
    assert by_probe(lambda epoch, item, turn: 1000 * epoch + 100 * item + turn).finding is None


def test_draws_that_belong_to_the_item_start_nothing_over():
    assert by_probe(lambda epoch, item, turn: item).finding is None


def test_draws_of_few_values_may_be_equal_by_chance():
    coins = np.random.default_rng(3).integers(2, size=(3, 8, 4))
    for _ in range(3):
        assert by_probe(lambda epoch, item, turn: 100 * item + int(coins[epoch, item, turn])).finding is None


def test_items_that_drift_with_each_access_are_another_cause():
    probes = {"orders": orders(lambda epoch, item, turn: 100 * item + turn)}
    judgement = rng_epoch_reset.judge(evidence(SAMPLES, probes=probes), {"inplace-mutation"})
    assert judgement.finding is None


def test_places_are_compared_in_the_run_itself():
    run = placed(orders(lambda epoch, item, turn: 100 * item + turn))
    assert run is not None
    assert (run.placed, run.same, run.starts_over) == (8, 1.0, True)


def test_a_validation_may_start_over():
    states = [
        Batch(1, step, epoch, states={"numpy": (1 + step, 2 + step)})
        for epoch in range(3)
        for step in range(4)
    ]
    assert rng_epoch_reset.judge(evidence(states)).verdict == "found"
    assert rng_epoch_reset.judge(evidence(states, about={"split": "validation"})).verdict == "ruled out"


def test_an_order_that_repeats_with_its_draws_is_left_to_stale_epoch():
    order = [3, 1, 2, 0]
    states = [
        Batch(
            1,
            step,
            epoch,
            samples=(order[step],),
            ids=(order[step],),
            states={"private": (1 + step, 2 + step)},
        )
        for epoch in range(3)
        for step in range(4)
    ]
    assert rng_epoch_reset.judge(evidence(states)).verdict == "not observable"


# -- torch --------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, IterableDataset  # noqa: E402

LIBC = ctypes.CDLL(None)


class Hashed(torch.utils.data.Dataset):
    """Its random stream is a chain of hashes: nothing that reads states knows it for one."""

    def __init__(self):
        self.state = bytearray(32)

    def __len__(self):
        return N

    def __getitem__(self, index):
        self.state[:] = hashlib.sha256(self.state).digest()
        return STORED[index] + np.float32(int.from_bytes(self.state[:2], "big") / 65536)


class FromC(torch.utils.data.Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return STORED[index] + np.float32(LIBC.rand() / 2**31)


def seed_c(worker_id):
    LIBC.srand(torch.initial_seed() % 2**32)


def report_of(dataset, **settings):
    settings = {"num_workers": 2} | settings
    return ba.audit(lambda: DataLoader(dataset(), SIZE, **settings), ["as-is"], epochs=3)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dataset", [Hashed, FromC])
def test_hidden_states_that_are_copied_anew_each_epoch(dataset, shuffle):
    assert found(report_of(dataset, shuffle=shuffle)) == {CAUSE, "rng-clone"}


def test_hidden_states_of_workers_that_live_on():
    report = report_of(Hashed, shuffle=True, persistent_workers=True)
    assert found(report) == {"rng-clone"}
    assert verdict(report).verdict == "ruled out"


def test_hidden_states_that_are_seeded_for_each_epoch_and_worker():
    assert found(report_of(FromC, shuffle=True, worker_init_fn=seed_c)) == set()


def test_without_workers_a_hidden_state_goes_on():
    assert found(report_of(Hashed, num_workers=0)) == set()


class Stream(IterableDataset):
    """Seeds a generator of its own where each pass begins."""

    def __iter__(self):
        rng = np.random.default_rng(0)
        for index in range(N):
            yield STORED[index] + rng.normal()


class StreamThatGoesOn(IterableDataset):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        for index in range(N):
            yield STORED[index] + self.rng.normal()


def test_a_stream_that_seeds_where_its_pass_begins():
    assert found(report_of(Stream, num_workers=0)) == {CAUSE}
    assert found(report_of(StreamThatGoesOn, num_workers=0)) == set()


def endless(seed):
    def batches():
        while True:
            if seed is not None:
                np.random.seed(seed)
            for index in range(0, N, SIZE):
                yield STORED[index : index + SIZE] + np.random.normal()

    return batches


def test_a_generator_that_seeds_the_global_stream_for_each_pass():
    def report(seed):
        return ba.audit(endless(seed), ["serial"], epochs=3, steps_per_epoch=N // SIZE)

    assert found(report(0)) == {CAUSE}
    assert found(report(None)) == set()


def test_one_seed_for_every_run_is_no_reset():
    def seeded_once():
        rng = np.random.default_rng(1)
        while True:
            yield STORED[:SIZE] + rng.normal(size=(SIZE, 3))

    assert found(ba.audit(seeded_once, ["serial"], epochs=3, steps_per_epoch=8)) == set()


# -- Keras --------------------------------------------------------------------------------------------


def test_a_hidden_state_in_a_pool_that_is_forked_for_each_epoch():
    keras = pytest.importorskip("keras")

    class Pictures(keras.utils.PyDataset):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.state = bytearray(32)
            self.both = multiprocessing.Barrier(2, timeout=60)

        def __len__(self):
            return 16

        def __getitem__(self, index):
            if multiprocessing.parent_process() is not None:
                self.both.wait()  # a pool gives the work to whoever is free: neither process may be ahead
            self.state[:] = hashlib.sha256(self.state).digest()
            return STORED[:SIZE] + 1000 * index + int.from_bytes(self.state[:4], "big") / 2**32

    report = ba.audit(Pictures, ["keras-processes:2"], epochs=3)
    assert {CAUSE, "rng-clone"} <= found(report)


# -- tf.data ------------------------------------------------------------------------------------------


def seeded(tf, shuffled=False, cached=False, seed=3):
    data = tf.data.Dataset.from_tensor_slices(STORED)
    data = data.shuffle(N) if shuffled else data
    data = data.map(lambda row: row + tf.random.normal([], seed=seed))
    return (data.cache() if cached else data).batch(SIZE)


def test_a_seeded_operation_starts_over_with_each_iterator():
    tf = pytest.importorskip("tensorflow")

    def report(**settings):
        return ba.audit(lambda: seeded(tf, **settings), ["as-is"], epochs=3)

    assert found(report()) == {CAUSE}
    assert found(report(cached=True)) == {"frozen-augmentation"}
    assert found(report(shuffled=True)) == set()  # the draws meet other samples each time
    assert found(report(seed=None)) == set()


def test_one_iterator_for_all_epochs_goes_on():
    tf = pytest.importorskip("tensorflow")
    report = ba.audit(
        lambda: seeded(tf).repeat(), ["as-is"], epochs=3, steps_per_epoch=N // SIZE
    )  # batches of one pass after the other
    assert found(report) == set()
