"""What the arithmetic says for W = 2, 4, 8, of real loaders: replicas, orders of their own, what is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import batchaudit as ba
from batchaudit.analysis import divergence, replicas
from tests.diagnosis.in_ranks import the, trained

torch = pytest.importorskip("torch")

from tests.diagnosis.shares import Orders, Stored, number_of, sampled, streamed  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

N = 1024


def live(folder, loader):
    with ba.Audit(folder) as audit:
        for _batch in audit.wrap(loader, name="train", key=number_of):
            pass
    return audit.report()


def finding_of(report, cause):
    [run] = report.runs
    [finding] = [finding for finding in run.findings if finding.cause == cause]
    return finding


@pytest.mark.parametrize("workers", [2, 4, 8])
@pytest.mark.parametrize("order", [Orders(256).everything, Orders(256).shuffled])
def test_replicas_have_one_of_w(tmp_path, workers, order):
    report = live(tmp_path, streamed(order, workers))
    assert finding_of(report, "unsharded-replica").evidence["delivered_by_epoch"] == [32 * workers]
    [epoch] = report.to_dict()["runs"][0]["epochs"]
    assert epoch["samples"] == 256 * workers
    assert epoch["unique_samples"] * workers == epoch["samples"]


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_workers_with_orders_of_their_own(tmp_path, workers):
    report = live(tmp_path, streamed(Orders(N).shuffled_then_shared, workers))
    check(finding_of(report, "order-divergence").evidence, workers)


@pytest.mark.parametrize("world", [2, 4, 8])
def test_ranks_with_orders_of_their_own(tmp_path, monkeypatch, world):
    report = trained(tmp_path, monkeypatch, lambda *it: sampled(Stored(N), *it, seed=it[0]), world, epochs=1)
    check(the(report, "order-divergence").evidence, world)


def check(numbers, count):
    expected = 1 - (1 - 1 / count) ** count
    assert numbers["share_expected"] == pytest.approx(expected, abs=1e-4)
    assert abs(numbers["share_seen"] - expected) < 4 * numbers["standard_deviation"]
    assert numbers["standard_deviation"] < 0.02
    assert numbers["doubled_by_epoch"] == numbers["missing_by_epoch"]
    assert numbers["delivered"] == numbers["items"] == N


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_error_is_no_greater_than_it_is_said_to_be(count):
    """The share of 400 simulated epochs lies as close to the expected one as the deviation says."""
    rng = np.random.default_rng(count)
    shares = []
    for _ in range(400):
        taken = [rng.permutation(N)[who::count] for who in range(count)]
        shares.append(len(np.unique(np.concatenate(taken))) / N)
    expected = replicas.expected_share([N // count] * count, N)
    assert np.mean(shares) == pytest.approx(expected, abs=0.003)
    assert np.std(shares) <= replicas.deviation(expected, N)


def simulated(parts):
    """A frame of items, of one epoch, as the replicas' parts."""
    who = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return pd.DataFrame({"epoch": 0, "who": who, "item": np.concatenate(parts)})


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("known", [True, False])
def test_the_test_tells_divergence_from_its_neighbours(count, known):
    """Of a hundred epochs of each kind it finds all that diverge, and none of the others."""
    rng = np.random.default_rng(5 * count)
    n = N if known else None
    for _ in range(100):
        own = [rng.permutation(N)[who::count] for who in range(count)]
        assert divergence.diverged(simulated(own), n, 8)
        one = rng.permutation(N)
        shared = [one[who::count] for who in range(count)]
        assert not divergence.diverged(simulated(shared), n, 8)
        padded = [np.append(part, one[who]) for who, part in enumerate(shared)]
        assert not divergence.diverged(simulated(padded), n, 8)
        drawn = [rng.integers(N, size=N // count) for _ in range(count)]
        assert not divergence.diverged(simulated(drawn), n, 8)
        everything = [rng.permutation(N) for _ in range(count)]
        assert not divergence.diverged(simulated(everything), n, 8)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_shards_are_dealt_out_as_one(count):
    """Shards of 64 in orders of their own: the error is that of 128 shards, not of 8,192 samples."""
    rng = np.random.default_rng(count)
    shards = np.arange(128 * 64).reshape(128, 64)
    own = simulated([shards[rng.permutation(128)[who::count]].ravel() for who in range(count)])
    assert 16 < replicas.units(own) < 512
    by_sample = simulated([rng.permutation(8192)[who::count] for who in range(count)])
    assert replicas.units(by_sample) == 8192


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_million_samples_are_compared_in_seconds(count):
    rng = np.random.default_rng(count)
    own = simulated([rng.permutation(1_000_000)[who::count] for who in range(count)])
    [one] = divergence.diverged(own, 1_000_000, 8)
    assert abs(one.share - one.expected) < 4 * one.deviation
