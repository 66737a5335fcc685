"""Data that is shared out twice, or among more replicas than shards; and what leaves something out by design."""

from __future__ import annotations

import numpy as np
import pytest

import batchaudit as ba
from batchaudit import auditing
from batchaudit.analysis import strides
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import overshard
from tests.analysis.build import Batch, evidence, table
from tests.diagnosis.in_ranks import across, the, trained

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, RandomSampler, Subset  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

from tests.diagnosis.shares import (  # noqa: E402
    SIZE,
    Orders,
    Stored,
    number_of,
    sampled,
    streamed,
)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def found(report):
    [run] = report.runs
    return {finding.cause: finding for finding in run.findings if finding.severity != "info"}


# -- strides --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([range(0, 64, 4), range(3, 64, 4)], 2),
        ([range(0, 64, 4), range(1, 64, 4)], 2),
        ([range(0, 64, 2), range(1, 64, 2)], 1),
        ([range(0, 640, 20), range(10, 640, 20)], 1),  # offsets in a file
        ([range(0, 32, 2), range(33, 64, 2)], 2),  # halves, of which each has lost every other one
        ([range(32), range(32, 64)], None),
        ([range(3), range(3, 6)], None),
    ],
)
def test_what_a_stride_leaves_out(parts, left):
    assert strides.left_out([np.array(part) for part in parts]) == left


@pytest.mark.parametrize("world", [2, 3, 4])
def test_sliced_twice(world):
    parts = [np.arange(512)[rank::world][rank::world] for rank in range(world)]
    assert strides.sliced_twice(parts)
    assert strides.left_out(parts) == world
    assert not strides.sliced_twice([np.arange(512)[rank::world] for rank in range(world)])


# -- workers --------------------------------------------------------------------------------------


def test_workers_that_share_twice():
    report = ba.audit(lambda: streamed(Orders().shared_twice, 4), ["as-is"], epochs=2, probes=False)
    finding = found(report)["overshard"]
    assert set(found(report)) <= {"overshard", "tail-drop"}
    assert (finding.severity, finding.scope) == ("error", "worker")
    assert (finding.evidence["k"], finding.evidence["items"]) == (4, 256)
    assert finding.evidence["different_by_epoch"] == [64, 64]
    assert found(ba.audit(lambda: streamed(Orders().shared, 4), ["as-is"], epochs=2, probes=False)) == {}


def test_few_samples_that_are_shared_twice_by_workers_made_anew_each_epoch():
    """Three times two workers drop no more than two do."""
    report = ba.audit(lambda: streamed(Orders(96).shared_twice, 2), ["as-is"], epochs=3, probes=False)
    assert found(report)["overshard"].evidence["k"] == 2


@pytest.mark.parametrize("how", ["audit", "live"])
def test_more_workers_than_shards(tmp_path, how):
    def report(workers):
        make = lambda: streamed(Orders().in_two_shards, workers)  # noqa: E731
        if how == "audit":
            return ba.audit(make, ["as-is"], epochs=2, probes=False)
        with ba.Audit(tmp_path / str(workers)) as audit:
            watched = audit.wrap(make(), name="train")
            for _ in range(2):
                list(watched)
        return audit.report()

    sick = found(report(4))
    assert set(sick) == {"overshard"}
    assert (sick["overshard"].severity, sick["overshard"].scope) == ("warning", "worker")
    assert sick["overshard"].evidence["idle_workers"] == [2, 3]
    assert found(report(2)) == {}


@pytest.mark.parametrize(
    "loader",
    [
        lambda: DataLoader(Stored(16), SIZE, num_workers=4),  # fewer batches than workers
        lambda: streamed(Orders(20).shared, 3),  # short parts
        lambda: streamed(Orders(46).shared, 3),
    ],
)
def test_workers_with_little_to_do(loader):
    assert "overshard" not in found(ba.audit(loader, ["as-is"], epochs=2, probes=False))


def test_drop_last_is_no_sharding():
    report = ba.audit(
        lambda: streamed(Orders(46).shared, 3, drop_last=True), ["as-is"], epochs=2, probes=False
    )
    assert "overshard" not in found(report)


def test_a_pass_that_is_cut_short():
    report = ba.audit(
        lambda: streamed(Orders().shared), ["as-is"], epochs=2, steps_per_epoch=16, probes=False
    )
    assert "overshard" not in found(report)


def sample(content, worker=2):
    return Batch(worker, content, samples=(content,), ids=(content,))


def test_without_a_serial_pass_nothing_is_known():
    batches = [sample(content, 2 + content % 2) for content in range(16)]
    judgement = overshard.judge(evidence(batches))
    assert judgement.verdict == "not observable"
    assert "batchaudit.audit" in judgement.reason


def test_dealt_indices_are_shared_out_once():
    first = table([sample(content, 1) for content in range(64)])
    batches = [sample(content, 2 + content % 2) for content in range(16)]
    run = evidence(batches, Baseline(first, first, first), kind="indexed")
    assert overshard.judge(run).verdict == "ruled out"


# -- ranks ----------------------------------------------------------------------------------------


def part_of(rank, world):
    return Subset(Stored(), range(rank, 256, world))


@pytest.mark.parametrize(
    "sick",
    [
        lambda rank, world: sampled(part_of(rank, world), rank, world, shuffle=False),
        lambda rank, world: sampled(part_of(rank, world), rank, world),
        lambda rank, world: DataLoader(
            Stored(), SIZE, sampler=list(DistributedSampler(Stored(), world, rank))[rank::world]
        ),
        lambda rank, world: streamed(lambda: list(range(256))[rank::world][rank::world], 0),
    ],
    ids=["sliced", "shuffled", "sampled twice", "stream"],
)
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_that_share_twice(tmp_path, monkeypatch, sick, world):
    report = trained(tmp_path, monkeypatch, sick, world, key=number_of, epochs=3)
    assert "overshard" in across(report)[0]
    assert across(report)[0] <= {"overshard", "stale-epoch"}
    finding = the(report, "overshard")
    assert (finding.severity, finding.scope) == ("error", "rank")
    assert finding.evidence["k"] == world
    assert finding.evidence["first_example"].startswith("rank 0 had samples ")


@pytest.mark.parametrize("key", [None, number_of])
@pytest.mark.parametrize(
    "make",
    [
        lambda rank, world: sampled(Stored(), rank, world),
        lambda rank, world: sampled(Stored(), rank, world, shuffle=False),
        lambda rank, world: DataLoader(part_of(rank, world), SIZE, shuffle=True),
        # trains on every second sample, or on the first two of every four
        lambda rank, world: sampled(Subset(Stored(), range(0, 256, 2)), rank, world, shuffle=False),
        lambda rank, world: sampled(Subset(Stored(), range(0, 256, 2)), rank, world),
        lambda rank, world: sampled(
            Subset(Stored(), np.random.default_rng(1).permutation(256)[:128].tolist()), rank, world
        ),
        lambda rank, world: sampled(Stored(250), rank, world, drop_last=True),
    ],
)
def test_ranks_that_share_once(tmp_path, monkeypatch, make, key):
    causes, verdicts = across(trained(tmp_path, monkeypatch, make, key=key))
    assert causes <= {"tail-drop"}
    assert verdicts["overshard"].verdict == "ruled out"


def test_a_subset_of_pairs(tmp_path, monkeypatch):
    pairs = [index for index in range(256) if index % 4 < 2]
    report = trained(tmp_path, monkeypatch, lambda *it: sampled(Subset(Stored(), pairs), *it, shuffle=False))
    assert across(report)[0] == set()


@pytest.mark.parametrize("shuffle", [False, True])
def test_passes_that_are_cut_short(tmp_path, monkeypatch, shuffle):
    report = trained(
        tmp_path, monkeypatch, lambda *it: sampled(Stored(), *it, shuffle=shuffle), steps=8, epochs=3
    )
    assert "overshard" not in across(report)[0]


def test_samplers_that_draw_a_part(tmp_path, monkeypatch):
    def make(rank, world):
        torch.manual_seed(rank)
        return DataLoader(Stored(), SIZE, sampler=RandomSampler(Stored(), num_samples=64))

    assert "overshard" not in across(trained(tmp_path, monkeypatch, make))[0]


def test_a_rank_without_a_log(tmp_path, monkeypatch):
    trained(tmp_path, monkeypatch, lambda *it: sampled(Stored(), *it, shuffle=False), 3)
    for path in tmp_path.iterdir():
        if path.suffix != ".json" and b'"rank": 1' in path.read_bytes().replace(b'":', b'": ').replace(
            b":  ", b": "
        ):
            path.unlink()
    report = auditing.report(tmp_path)
    assert report.ranks == (0, 2) and report.missing_ranks == (1,)
    causes, verdicts = across(report)
    assert causes == set()
    assert verdicts["overshard"].verdict == "not observable"
    assert "rank 1" in verdicts["overshard"].reason


@pytest.mark.parametrize(("times", "verdict"), [(1, "ruled out"), (2, "not observable")])
def test_a_pipeline_that_is_sharded_twice_may_leave_the_rest_to_other_ranks(times, verdict):
    tf = pytest.importorskip("tensorflow")

    def pipeline():
        dataset = tf.data.Dataset.range(64)
        for _ in range(times):
            dataset = dataset.shard(2, 0)
        return dataset.batch(4)

    (run,) = ba.audit(pipeline, ["as-is"], epochs=2).runs
    assert {it.cause: it.verdict for it in run.verdicts}["overshard"] == verdict
