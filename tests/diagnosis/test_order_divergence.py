"""Replicas that slice different permutations, and what only looks like it."""

from __future__ import annotations

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import order_divergence
from tests.analysis.build import Batch, evidence, table
from tests.diagnosis.in_ranks import across, the, trained

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, RandomSampler, Subset, WeightedRandomSampler  # noqa: E402

from tests.diagnosis.shares import (  # noqa: E402
    SIZE,
    Orders,
    Stored,
    number_of,
    sampled,
    sliced,
    streamed,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


# -- workers, by hand -----------------------------------------------------------------------------


def sample(content, worker=2, epoch=0):
    return Batch(worker, 1000 * worker + content, epoch, samples=(content,), ids=(content,))


def judged(workers, serial=range(16), **known):
    """Two workers' samples in turns, beside a serial pass."""
    first = table([sample(content, 1) for content in serial])
    batches = [sample(c, 2 + w) for turn in zip(*workers, strict=True) for w, c in enumerate(turn)]
    return order_divergence.judge(evidence(batches, Baseline(first, first, first), **known))


def test_what_is_doubled_is_missing():
    judgement = judged([[0, 2, 4, 6, 8, 10, 12, 14], [1, 2, 4, 6, 8, 10, 12, 3]])
    assert judgement.finding is not None
    numbers = judgement.finding.evidence
    assert (numbers["doubled_by_epoch"], numbers["missing_by_epoch"]) == ([6], [6])
    assert numbers["first_example"] == "worker 0 and worker 1 both had sample 2 in epoch 0"


@pytest.mark.parametrize(
    "workers",
    [
        [list(range(0, 16, 2)), list(range(1, 16, 2))],
        [list(range(16)), list(range(16))[::-1]],  # each walks everything: nothing is missing
        [[0, 0, 2, 2, 4, 4, 6, 6], [0, 2, 4, 6, 0, 2, 4, 6]],  # drawn with replacement
    ],
)
def test_other_ways_to_share(workers):
    assert judged(workers).verdict == "ruled out"


def test_a_source_that_repeats_without_workers():
    judgement = judged([[0, 2, 4, 6, 8, 10, 12, 14], [1, 2, 4, 6, 8, 10, 12, 3]], [*range(8), *range(8)])
    assert judgement.verdict == "not observable"


def test_one_order_that_all_walk_is_no_divergence():
    judgement = judged([list(range(8)), list(range(8))])
    assert judgement.verdict == "not observable" and "one and the same order" in judgement.reason


def test_dealt_indices_need_a_serial_pass():
    batches = [sample(c, 2 + c % 2) for c in range(8)]
    judgement = order_divergence.judge(evidence(batches, kind="indexed"))
    assert judgement.verdict == "not observable"
    assert "batchaudit.audit" in judgement.reason


def test_what_spoils_the_arithmetic_comes_first():
    run = evidence([sample(c, 2 + c % 2) for c in range(8)])
    assert order_divergence.judge(run, ["unsharded-replica"]).verdict == "ruled out"
    assert order_divergence.judge(run, ["shared-state-race"]).verdict == "not observable"


# -- workers --------------------------------------------------------------------------------------


def causes(report):
    [run] = report.runs
    return {finding.cause for finding in run.findings if finding.severity != "info"}


def live(folder, loader, key=None):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(loader, name="train", key=key)
        for _ in range(2):
            for _batch in watched:
                pass
    return audit.report()


@pytest.mark.parametrize("order", [Orders().shuffled_then_shared, Orders().shards_shuffled_then_shared])
def test_workers_that_shuffle_before_they_share(order):
    report = ba.audit(lambda: streamed(order, 4), ["as-is"], epochs=2, probes=False)
    assert causes(report) == {"order-divergence"}
    [run] = report.runs
    [finding] = [finding for finding in run.findings if finding.cause == "order-divergence"]
    assert (finding.severity, finding.scope) == ("error", "worker")
    numbers = finding.evidence
    assert numbers["doubled_by_epoch"] == numbers["missing_by_epoch"]
    assert abs(numbers["share_expected"] - 0.6836) < 0.001
    assert "get_worker_info" in finding.fix


def test_the_repair(tmp_path):
    assert causes(live(tmp_path, streamed(Orders().shared_then_shuffled))) == set()


def test_live_and_augmented_by_key(tmp_path):
    sick = live(tmp_path / "sick", streamed(Orders().shuffled_then_shared, noisy=True), number_of)
    assert causes(sick) == {"order-divergence"}
    twin = live(tmp_path / "twin", streamed(Orders().shared_then_shuffled, noisy=True), number_of)
    assert causes(twin) == set()


def test_workers_that_draw_with_replacement(tmp_path):
    assert causes(live(tmp_path, streamed(Orders().with_replacement), number_of)) == set()


# -- ranks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("noisy", [False, True])
def test_a_seed_of_the_rank(tmp_path, monkeypatch, world, noisy):
    def sick(rank, world):
        return sampled(Stored(noisy=noisy), rank, world, seed=rank)

    def twin(rank, world):
        return sampled(Stored(noisy=noisy), rank, world)

    report = trained(tmp_path / "sick", monkeypatch, sick, world)
    assert across(report)[0] == {"order-divergence"}
    finding = the(report, "order-divergence")
    assert (finding.severity, finding.scope) == ("error", "rank")
    assert finding.evidence["items"] == 256
    assert "seed" in finding.fix
    found, verdicts = across(trained(tmp_path / "twin", monkeypatch, twin, world))
    assert found == set()
    assert verdicts["order-divergence"].verdict == "ruled out"


def test_listings_in_another_order(tmp_path, monkeypatch):
    def listed(sort):
        def make(rank, world):
            numbers = np.random.default_rng(rank).permutation(128).tolist()
            return sliced(Stored(numbers=sorted(numbers) if sort else numbers), rank, world)

        return make

    report = trained(tmp_path / "sick", monkeypatch, listed(False), key=number_of)
    assert across(report)[0] == {"order-divergence"}
    assert the(report, "order-divergence").evidence["same_in_every_epoch"]
    assert across(trained(tmp_path / "twin", monkeypatch, listed(True), key=number_of))[0] == set()


@pytest.mark.parametrize("make", [sliced, lambda *it: sampled(*it, shuffle=False)])
def test_a_listing_the_other_way_round(tmp_path, monkeypatch, make):
    def reversed_on_rank_1(rank, world):
        return make(Stored(numbers=range(64)[:: -1 if rank else 1]), rank, world)

    report = trained(tmp_path, monkeypatch, reversed_on_rank_1, key=number_of)
    assert across(report)[0] == {"order-divergence"}
    assert the(report, "order-divergence").evidence["one_is_the_other_reversed"] == [0, 1]


@pytest.mark.parametrize(
    ("world", "make"),
    [
        (4, lambda rank, world: sampled(Stored(9), rank, world, shuffle=False)),  # padded
        (2, lambda rank, world: sampled(Stored(61), rank, world)),
        (2, lambda rank, world: sampled(Stored(250), rank, world, drop_last=True)),
    ],
)
def test_lengths_that_do_not_divide(tmp_path, monkeypatch, world, make):
    found, _ = across(trained(tmp_path, monkeypatch, make, world))
    assert found <= {"padding-duplicate", "tail-drop"}


def seeded(rank, sampler):
    torch.manual_seed(rank)
    return DataLoader(Stored(), SIZE, sampler=sampler)


@pytest.mark.parametrize(
    "make",
    [
        lambda rank, world: seeded(rank, WeightedRandomSampler(torch.ones(256), 128)),
        lambda rank, world: seeded(rank, RandomSampler(Stored(), replacement=True, num_samples=128)),
        lambda rank, world: seeded(rank, RandomSampler(Stored(), num_samples=40)),
        # each third sample comes three times, to three ranks: repeated augmentation
        lambda rank, world: DataLoader(Stored(), SIZE, sampler=[i // 3 for i in range(rank, 252, world)]),
    ],
)
def test_ranks_that_draw_what_they_like(tmp_path, monkeypatch, make):
    assert "order-divergence" not in across(trained(tmp_path, monkeypatch, make, 4))[0]


def test_a_split_of_each_ranks_own_training_set(tmp_path, monkeypatch):
    def make(rank, world):
        return sampled(Subset(Stored(), range(rank * 8, 128 + rank * 8)), rank, world)

    # Two windows of the same data: most is in both, and each rank takes a half of its own.
    assert "overshard" not in across(trained(tmp_path, monkeypatch, make))[0]
