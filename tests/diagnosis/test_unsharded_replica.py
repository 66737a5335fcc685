"""Replicas that each walk the whole stream: workers, ranks, readers within a pipeline; and healthy twins."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import unsharded_replica
from tests.analysis.build import Batch, evidence, table
from tests.diagnosis.in_ranks import across, the, trained

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, RandomSampler, WeightedRandomSampler, get_worker_info  # noqa: E402

from tests.diagnosis.shares import (  # noqa: E402
    ROWS,
    SIZE,
    Orders,
    Stored,
    Stream,
    number_of,
    of_worker,
    sampled,
    streamed,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def causes(report, rank=0):
    [run] = [run for run in report.runs if run.rank == rank]
    return {finding.cause for finding in run.findings if finding.severity != "info"}


def finding_of(report, rank=0):
    [run] = [run for run in report.runs if run.rank == rank]
    [finding] = [finding for finding in run.findings if finding.cause == "unsharded-replica"]
    return finding


def live(folder, loader, key=None, epochs=2, steps=None):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(loader, name="train", key=key)
        for _ in range(epochs):
            for step, _batch in enumerate(watched, 1):
                if step == steps:
                    break
    return audit.report()


# -- workers --------------------------------------------------------------------------------------


def test_live_without_ids(tmp_path):
    report = live(tmp_path / "sick", streamed(Orders(64).everything))
    finding = finding_of(report)
    assert (finding.severity, finding.scope) == ("error", "worker")
    assert finding.evidence["copies"] == {2: 8}
    assert finding.evidence["first_example"].startswith("worker 0 step 0 and worker 1 step 0 emitted batch")
    assert "get_worker_info" in finding.fix
    assert causes(live(tmp_path / "twin", streamed(Orders(64).shared))) == set()


@pytest.mark.parametrize("key", [None, number_of])
def test_live_in_orders_of_their_own(tmp_path, key):
    report = live(tmp_path / "sick", streamed(Orders(64).shuffled), key)
    assert causes(report) == {"unsharded-replica"}
    assert "in an order of their own: 100% of an epoch's samples repeat" in finding_of(report).summary
    assert causes(live(tmp_path / "twin", streamed(Orders(64).shared_then_shuffled), key)) == set()


def test_live_shuffled_and_augmented(tmp_path):
    report = live(tmp_path / "sick", streamed(Orders(64).shuffled, noisy=True), number_of)
    assert causes(report) == {"unsharded-replica"}
    twin = streamed(Orders(64).shared_then_shuffled, noisy=True)
    assert causes(live(tmp_path / "twin", twin, number_of)) == set()


def endless(order):
    def again_and_again():
        while True:
            yield from order()

    return again_and_again


@pytest.mark.parametrize("steps", [16, 24])
def test_endless_streams_that_are_cut_into_epochs(tmp_path, steps):
    sick = streamed(endless(Orders(64).shuffled))
    assert causes(live(tmp_path / "sick", sick, number_of, 3, steps)) == {"unsharded-replica"}
    twin = streamed(endless(Orders(64).shared_then_shuffled))
    assert "unsharded-replica" not in causes(live(tmp_path / "twin", twin, number_of, 3, steps))


class Tiny(Stream):
    """Rows of one small integer, which repeat as they like."""

    def __iter__(self):
        for number in self.order():
            yield np.array([number % 10])


@pytest.mark.parametrize("order", [Orders(240).shared, endless(Orders(240).shared)])
@pytest.mark.parametrize("workers", [2, 3])
def test_tiny_rows_that_repeat(order, workers):
    report = ba.audit(
        lambda: DataLoader(Tiny(order), SIZE, num_workers=workers), ["as-is"], epochs=2, steps_per_epoch=30,
        probes=False,
    )  # fmt: skip
    assert "unsharded-replica" not in causes(report)


class Constant(Stream):
    def __iter__(self):
        for _ in of_worker(range(64)):
            yield np.zeros(4)


def test_constant_data_live(tmp_path):
    assert causes(live(tmp_path, DataLoader(Constant(None), SIZE, num_workers=2))) == set()


@pytest.mark.parametrize(
    "sampler", [None, RandomSampler(range(64)), WeightedRandomSampler(torch.ones(64), 64)]
)
def test_indices_that_are_dealt_out(tmp_path, sampler):
    loader = DataLoader(Stored(64), SIZE, sampler=sampler, num_workers=2)
    assert causes(live(tmp_path, loader)) == set()


# -- within a pipeline ----------------------------------------------------------------------------


def in_one_worker(order):
    """Batches of a tf.data pipeline, seen at its end."""
    return evidence([Batch(2, content) for content in order], kind="dataset", workers_configured=0)


TWICE_AT_ONCE = [content for content in range(8) for _ in range(2)]


def test_readers_side_by_side():
    finding = unsharded_replica.judge(in_one_worker(TWICE_AT_ONCE)).finding
    assert finding is not None
    assert finding.scope == "pipeline"
    assert finding.evidence["copies_of_each"] == 2
    assert finding.evidence["first_example"] == "epoch 0 had batch 00000000 in steps 0 and 1"


@pytest.mark.parametrize(
    "order",
    [
        [*range(8), *range(8)],  # repeat(2)
        list(range(16)),
        [0] * 16,
        [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 8, 9, 10],  # the data's own duplicates
    ],
)
def test_what_else_repeats(order):
    assert unsharded_replica.judge(in_one_worker(order)).finding is None


def test_repeats_of_what_is_no_pipeline_are_the_samplers():
    first = table([Batch(1, content) for content in TWICE_AT_ONCE])
    run = evidence([Batch(2, content) for content in TWICE_AT_ONCE], Baseline(first, first, first))
    assert unsharded_replica.judge(run).finding is None


# -- ranks ----------------------------------------------------------------------------------------


def of_rank(rank, world):
    order = Orders(128)
    return streamed(lambda: order.everything()[rank::world], 0)


@pytest.mark.parametrize(
    ("sick", "twin", "key"),
    [
        (lambda rank, world: streamed(Orders(128).everything, 0), of_rank, None),
        (lambda rank, world: DataLoader(Stored(), SIZE), lambda *it: sampled(Stored(), *it), None),
        (lambda rank, world: DataLoader(Stored(), SIZE, shuffle=True), lambda *it: sampled(Stored(), *it), None),
        (
            lambda rank, world: DataLoader(Stored(noisy=True), SIZE, shuffle=True),
            lambda *it: sampled(Stored(noisy=True), *it),
            number_of,
        ),
    ],
)  # fmt: skip
def test_ranks_that_were_given_everything(tmp_path, monkeypatch, sick, twin, key):
    report = trained(tmp_path / "sick", monkeypatch, sick, key=key)
    assert across(report)[0] == {"unsharded-replica"}
    finding = the(report, "unsharded-replica")
    assert (finding.severity, finding.scope) == ("error", "rank")
    assert finding.evidence["groups"] == [[0, 1]]
    assert finding.evidence["copies"] == 2
    assert "rank 0" in finding.evidence["first_example"] and "rank 1" in finding.evidence["first_example"]
    assert "model-parallel" in finding.summary
    # What is indexed is shared out by a sampler, what is iterated by itself.
    assert ("DistributedSampler" in finding.fix) == isinstance(sick(0, 2).dataset, Stored)
    found, verdicts = across(trained(tmp_path / "twin", monkeypatch, twin, key=key))
    assert found == set()
    assert verdicts["unsharded-replica"].verdict == "ruled out"


def test_groups_of_equal_ranks(tmp_path, monkeypatch):
    # The number of a process within its machine, taken for its rank.
    report = trained(tmp_path, monkeypatch, lambda rank, world: sampled(Stored(), rank % 2, 2), 4)
    assert the(report, "unsharded-replica").evidence["groups"] == [[0, 2], [1, 3]]


def test_shared_by_rank_and_not_by_worker(tmp_path, monkeypatch):
    def make(rank, world):
        return streamed(lambda: list(range(rank, 96, world)), 2)

    report = trained(tmp_path, monkeypatch, make, key=number_of, epochs=2)
    assert across(report)[0] == set()
    assert finding_of(report, 0).scope == finding_of(report, 1).scope == "worker"


def test_parts_that_each_numbers_for_itself(tmp_path, monkeypatch):
    def make(noisy):
        return lambda rank, world: DataLoader(
            Stored(numbers=range(rank, 256, world), noisy=noisy), SIZE, shuffle=True
        )

    fixed, verdicts = across(trained(tmp_path / "fixed", monkeypatch, make(False)))
    assert fixed == set() and verdicts["unsharded-replica"].verdict == "ruled out"
    drawn, verdicts = across(trained(tmp_path / "drawn", monkeypatch, make(True)))
    assert drawn == set() and verdicts["unsharded-replica"].verdict == "not observable"
    assert "key=" in verdicts["unsharded-replica"].reason


def test_every_rank_may_validate_on_everything(tmp_path, monkeypatch):
    report = trained(tmp_path, monkeypatch, lambda *it: DataLoader(Stored(), SIZE), name="val")
    assert across(report)[0] == set()


class Simulated(Stream):
    """Stores nothing: all is drawn from NumPy's global stream."""

    def __iter__(self):
        for _ in range(64):
            yield np.random.normal(size=16)


def seeded(seed):
    np.random.seed(seed)
    return DataLoader(Simulated(None), SIZE)


def test_equal_draws_of_no_data_are_no_replicas(tmp_path, monkeypatch):
    report = trained(tmp_path, monkeypatch, lambda rank, world: seeded(3), epochs=2)
    found, verdicts = across(report)
    assert "unsharded-replica" not in found
    assert verdicts["unsharded-replica"].verdict == "not observable"
    found, _ = across(trained(tmp_path / "twin", monkeypatch, lambda rank, world: seeded(rank), epochs=2))
    assert found == set()


def test_ranks_that_draw_from_a_few_samples(tmp_path, monkeypatch):
    def make(rank, world):
        torch.manual_seed(rank)
        return DataLoader(Stored(16), SIZE, sampler=WeightedRandomSampler(torch.ones(16), 256))

    assert "unsharded-replica" not in across(trained(tmp_path, monkeypatch, make))[0]


# -- Keras, Hugging Face --------------------------------------------------------------------------


def test_forked_generators_of_keras():
    pytest.importorskip("tf_keras")
    both = multiprocessing.get_context("fork").Barrier(2)

    def batches():
        while True:
            for start in range(0, 256, SIZE):
                if multiprocessing.parent_process() is not None:
                    both.wait()  # a pool gives the work to whoever is free: neither process may be ahead
                yield ROWS[start : start + SIZE], np.arange(start, start + SIZE)

    report = ba.audit(batches, ["tf_keras-processes:2", "tf_keras-threads:1"], epochs=2, steps_per_epoch=32)
    sick, twin = report.runs
    assert "unsharded-replica" in {finding.cause for finding in sick.findings}
    assert {finding.cause for finding in twin.findings if finding.severity != "info"} == set()


def test_replicas_that_seed_the_global_stream_for_each_batch():
    def batches():  # as Keras' image flows do
        order, seen = np.arange(256), 0
        while True:
            np.random.seed(1 + seen)
            if seen * SIZE % 256 == 0:
                np.random.shuffle(order)
            rows = order[seen * SIZE % 256 :][:SIZE]
            yield ROWS[rows] + np.random.normal(), rows
            seen += 1

    (sick,) = ba.audit(batches, ["fork:2"], epochs=2, steps_per_epoch=32).runs
    assert {finding.cause for finding in sick.findings if finding.severity == "error"} == {
        "unsharded-replica"
    }


def test_a_stream_of_hugging_face_that_forgets_its_worker(tmp_path):
    datasets = pytest.importorskip("datasets")
    stored = datasets.Dataset.from_dict({"x": ROWS[:64].tolist(), "n": list(range(64))})

    def everything():
        yield from stored.to_iterable_dataset().shuffle(seed=torch.initial_seed() % 1000, buffer_size=64)

    class Forgetful(Stream):
        """Hands on what it reads, and hides from it which worker it is in."""

        def __iter__(self):
            info, torch.utils.data._utils.worker._worker_info = get_worker_info(), None
            try:
                rows = list(everything())
            finally:
                torch.utils.data._utils.worker._worker_info = info
            yield from rows

    sick = live(tmp_path / "sick", DataLoader(Forgetful(None), SIZE, num_workers=2), lambda batch: batch["n"])
    assert causes(sick) == {"unsharded-replica"}
    # datasets itself gives each worker its own shards.
    streaming = stored.to_iterable_dataset(num_shards=2).with_format("torch")
    healthy = live(tmp_path / "twin", DataLoader(streaming, SIZE, num_workers=2), lambda batch: batch["n"])
    assert causes(healthy) == set()
