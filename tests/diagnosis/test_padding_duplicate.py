"""`padding-duplicate`: the arithmetic of every way to fill up, on real samplers and loaders, and what only looks like it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.tables import tables
from batchaudit.diagnosis import padding_duplicate
from tests.analysis.build import Batch, evidence, frames, table

torch = pytest.importorskip("torch")
data = torch.utils.data

DIGEST = 1 << 40  # a content that no id is


def batches(epochs, size, pid=1, ids=True):
    """The batches of one process that delivers these items, epoch by epoch."""
    made = []
    for number, items in enumerate(epochs):
        for at in range(0, len(items), size):
            its = [int(item) for item in items[at : at + size]]
            contents = tuple(item + DIGEST for item in its)
            made.append(Batch(pid, len(made), number, samples=contents, ids=tuple(its) if ids else ()))
    return made


def ranks_of(orders, size=4, ids=True, **known):
    """What several ranks were given, each in order, epoch by epoch."""
    of, events, samples, begin = {}, [], [], 0
    for rank, epochs in enumerate(orders):
        made = batches(epochs, size, ids=ids)
        of[rank] = evidence(made, rank=rank, **known)
        its, theirs = frames(made)
        its["rank"] = rank
        its.index += begin
        theirs["event"] += begin
        begin += len(its)
        events.append(its)
        samples.append(theirs)
    return Ranks("s", "live", of, tables(pd.concat(events), pd.concat(samples)))


def judged(orders, size=4, **known):
    return padding_duplicate.judge_ranks(ranks_of(orders, size, **known))


def one(epochs, size=4, **known):
    """One process that is given these items."""
    return evidence(batches(epochs, size), workers_configured=0, **known)


def sampler_orders(count, world, epochs, **kwargs):
    """What torch's own sampler gives each rank."""
    samplers = [data.DistributedSampler(range(count), world, rank, **kwargs) for rank in range(world)]
    return [[_epoch(sampler, epoch) for epoch in range(epochs)] for sampler in samplers]


def _epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


# -- ranks: (-N) mod world ---------------------------------------------------------------------------


@pytest.mark.parametrize("world", [2, 4, 8])
@pytest.mark.parametrize("count", [9, 61, 64, 127])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_distributed_sampler_gives_n_mod_world_copies(world, count, shuffle):
    judgement = judged(sampler_orders(count, world, 2, shuffle=shuffle))
    extra = -count % world
    if not extra:
        assert (judgement.verdict, judgement.finding) == ("ruled out", None)
        return
    finding = judgement.finding
    assert finding.scope == "rank"
    assert finding.evidence["copies_by_epoch"] == {0: extra, 1: extra}
    assert (finding.evidence["items"], finding.evidence["copies"]) == (count, extra)
    assert finding.evidence["formula"] == f"(-{count}) mod {world} = {extra}, {world} being {world} ranks"
    assert finding.evidence["dealt"] == "one by one"


@pytest.mark.parametrize("world", [2, 4, 8])
@pytest.mark.parametrize("count", [9, 61, 127])
def test_the_same_sampler_that_drops_instead_pads_nothing(world, count):
    assert judged(sampler_orders(count, world, 2, drop_last=True)).verdict == "ruled out"


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("count", [35, 61, 100])
def test_accelerate_fills_up_to_even_batches(world, count):
    shard = pytest.importorskip("accelerate.data_loader").BatchSamplerShard

    def order(rank, even):
        inner = data.BatchSampler(data.RandomSampler(range(count), generator=_seeded()), 8, False)
        return [list(itertools.chain.from_iterable(shard(inner, world, rank, even_batches=even)))]

    judgement = judged([order(rank, True) for rank in range(world)], size=8)
    extra = -count % (8 * world)
    assert judgement.finding.evidence["copies"] == extra
    assert judgement.finding.evidence["dealt"] == "batch by batch"
    assert f"batch size 8 = {extra}" not in judgement.finding.summary
    uneven = [order(rank, False) for rank in range(world)]
    assert judged(uneven, size=8).verdict in ("ruled out", "not observable")


def _seeded():
    return torch.Generator().manual_seed(3)


def test_blocks_of_equal_length_end_with_the_head_of_the_first():
    items = np.random.default_rng(0).permutation(45)
    judgement = judged([[np.take(items, range(12 * rank, 12 * rank + 12), mode="wrap")] for rank in range(4)])
    assert judgement.finding.evidence["copies"] == 3
    assert judgement.finding.evidence["filled_with"] == "the head of the epoch's order"


def test_shards_that_end_with_the_head_of_the_next_one():
    begins = [45 * rank // 4 for rank in range(4)]
    judgement = judged([[[item % 45 for item in range(begin, begin + 12)]] for begin in begins])
    assert judgement.finding.evidence["filled_with"] == "the head of the next share"
    assert judgement.finding.evidence["copies"] == 3


def test_shards_that_end_with_their_own_heads():
    shares = [list(range(45))[rank::4] for rank in range(4)]
    judgement = judged([[(share * 2)[:12]] for share in shares])
    assert judgement.finding.evidence["filled_with"] == "the head of the same share"


def test_contents_tell_copies_where_there_are_no_ids():
    orders = sampler_orders(9, 4, 2)
    finding = judged(orders, ids=False).finding
    assert finding.evidence["compared_by"] == "equal content"
    assert "by equal content" in finding.summary
    assert judged(sampler_orders(8, 4, 2), ids=False).verdict == "ruled out"


def test_the_severity_is_that_of_the_share_and_of_the_split():
    def severity(count, split):
        return judged(sampler_orders(count, 2, 1), about={"split": split}).finding.severity

    assert severity(9, "training") == "warning"
    assert severity(401, "training") == "info"
    assert severity(401, "validation") == "warning"
    assert severity(401, "prediction") == "warning"


def test_the_first_example_can_be_checked():
    finding = judged([[[3, 5, 7]], [[4, 6, 3]]], size=2).finding
    assert finding.evidence["first_example"] == (
        "id 3 came in rank 0 epoch 0 step 0 position 0, and again in rank 1 epoch 0 step 1 position 0"
    )
    assert "Subset(dataset, range(rank, len(dataset), world))" not in finding.fix
    torch_s = judged([[[3, 5, 7]], [[4, 6, 3]]], size=2, about={"framework": "torch"}).finding
    assert "Subset(dataset, range(rank, len(dataset), world))" in torch_s.fix


# -- what only looks like it ---------------------------------------------------------------------------


def test_divergent_orders_are_no_padding():
    orders = [sampler_orders(61, 4, 2, seed=rank)[rank] for rank in range(4)]
    judgement = judged(orders)
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)


def test_replicas_are_no_padding():
    judgement = judged([[list(range(16))], [list(range(16))]], size=16)  # 16 copies: (-16) mod 32
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)
    earlier = ("unsharded-replica",)
    ranks = ranks_of(sampler_orders(9, 2, 1))
    assert padding_duplicate.judge_ranks(ranks, earlier).verdict == "not observable"


def test_a_rank_that_is_missing_hides_it():
    ranks = ranks_of(sampler_orders(9, 4, 1))
    fewer = Ranks("s", "live", {rank: ranks.of[rank] for rank in (0, 3)}, ranks.pooled)
    assert padding_duplicate.judge_ranks(fewer).verdict == "not observable"


def test_augmentation_hides_copies_without_ids():
    orders = np.arange(48).reshape(2, 2, 12)  # no content comes twice, in any epoch
    judgement = judged(orders, ids=False)
    assert judgement.verdict == "not observable" and "key=" in judgement.reason
    once = judged(orders[:, :1], ids=False)
    assert once.verdict == "not observable" and "2 epochs" in once.reason


# -- batches: (-N) mod batch ------------------------------------------------------------------------


def wrapped(order, size):
    return [*order, *order[: -len(order) % size]]


@pytest.mark.parametrize("count", [9, 61, 127])
@pytest.mark.parametrize("size", [4, 8])
def test_a_last_batch_that_wraps_around(count, size):
    rng = np.random.default_rng(0)
    finding = padding_duplicate.judge(
        one([wrapped(rng.permutation(count), size) for _ in range(3)], size)
    ).finding
    extra = -count % size
    assert (finding.scope, finding.evidence["copies"]) == ("pipeline", extra)
    assert (
        finding.evidence["formula"] == f"(-{count}) mod {size} = {extra}, {size} being the batch size {size}"
    )


def test_a_last_item_again_and_again():
    finding = padding_duplicate.judge(one([[*range(13), 12, 12, 12]])).finding
    assert finding.evidence["filled_with"] == "the last item of the epoch's order, again"


HEALTHY = {
    "partial last batch": [list(range(13))] * 3,
    "one short epoch": [[0, 1, 2, 0]],
    "sampling with replacement": list(np.random.default_rng(0).integers(0, 61, (3, 64))),
    "a stream that runs through": list((np.arange(3 * 64) % 61).reshape(3, 64)),
    "a shuffled stream": list(
        np.concatenate([np.random.default_rng(seed).permutation(61) for seed in range(4)])[:192].reshape(
            3, 64
        )
    ),
    "oversampling": [[*range(32), *range(5, 13), *range(5, 13)]] * 2,
    "repeated augmentation": [np.repeat(np.arange(16), 3)] * 2,
    "every item twice": [[*range(16), *range(16)]] * 2,
    "more copies than the batch asks for": [[*range(13), *range(7)]] * 2,
    "two batches replayed at the end": [[*range(16), *range(8)]] * 2,
    "constant": [[7] * 16] * 2,
}


@pytest.mark.parametrize("name", [name for name in HEALTHY if name != "one short epoch"])
def test_what_is_no_padding(name):
    judgement = padding_duplicate.judge(one(HEALTHY[name]))
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)


def test_a_last_epoch_that_was_cut_short():
    order = wrapped(list(range(13)), 4)
    assert padding_duplicate.judge(one([order, order, order[:8]])).verdict == "found"


def test_small_contents_in_one_order_may_be_the_data_s_own():
    fixed = table(batches([list(range(29))], 8, ids=False))
    baseline = Baseline(fixed, fixed, fixed)

    def severity(nbytes, epochs):
        made = evidence(batches(epochs, 8, ids=False), baseline, workers_configured=0)
        made.tables.delivered["nbytes"] = made.tables.delivered["samples"] * nbytes
        return padding_duplicate.judge(made).finding.severity

    same = [wrapped(list(range(29)), 8)] * 2
    assert severity(8, same) == "info"
    assert severity(800, same) == "warning"
    assert severity(8, [wrapped(np.random.default_rng(e).permutation(29), 8) for e in range(2)]) == "warning"


def test_workers_that_mix_the_order_leave_what_the_serial_pass_shows():
    order = wrapped(list(range(29)), 8)
    serial = table(batches([order], 8))
    mixed = np.random.default_rng(0).permutation(np.reshape(order, (4, 8))).ravel()
    run = evidence(batches([mixed], 8), Baseline(serial, serial, serial))
    finding = padding_duplicate.judge(run).finding
    assert finding.evidence["seen_in"] == "the serial pass"
    other = evidence(batches([np.arange(32)], 8), Baseline(serial, serial, serial))
    assert padding_duplicate.judge(other).verdict == "ruled out"


# -- real loaders -------------------------------------------------------------------------------------


class Numbers(data.Dataset):
    def __init__(self, count):
        self.rows = np.random.default_rng(0).normal(size=(count, 16))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Filled(data.BatchSampler):
    """Fills the last batch from the head of the order."""

    def __iter__(self):
        order = wrapped(list(self.sampler), self.batch_size)
        for at in range(0, len(order), self.batch_size):
            yield order[at : at + self.batch_size]


def loader(cls, workers):
    rows = Numbers(61)
    sampler = data.RandomSampler(rows, generator=_seeded())
    return data.DataLoader(rows, batch_sampler=cls(sampler, 8, False), num_workers=workers)


def verdict(report, cause="padding-duplicate"):
    ((run),) = report.runs
    findings = [finding for finding in run.findings if finding.cause == cause]
    return next(it.verdict for it in run.verdicts if it.cause == cause), findings


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_sampler_of_torch(workers):
    said, (finding,) = verdict(ba.audit(lambda: loader(Filled, workers), epochs=2))
    assert (said, finding.severity, finding.scope) == ("found", "warning", "pipeline")
    assert (finding.evidence["items"], finding.evidence["copies"]) == (61, 3)
    assert verdict(ba.audit(lambda: loader(data.BatchSampler, workers), epochs=2)) == ("ruled out", [])


class Share(data.IterableDataset):
    """A share for each worker, filled up to equal lengths from the head of all."""

    def __init__(self, fill):
        self.rows, self.fill = Numbers(61).rows, fill

    def __iter__(self):
        info = data.get_worker_info()
        number, workers = (info.id, info.num_workers) if info else (0, 1)
        count = len(self.rows) + (-len(self.rows) % workers if self.fill else 0)
        for row in range(number, count, workers):
            yield self.rows[row % len(self.rows)]


def test_shares_of_workers():
    said, (finding,) = verdict(ba.audit(lambda: data.DataLoader(Share(True), 4, num_workers=2), epochs=2))
    assert (said, finding.scope, finding.evidence["copies"]) == ("found", "worker", 1)
    assert "2 workers" in finding.summary
    healthy = ba.audit(lambda: data.DataLoader(Share(False), 4, num_workers=2), epochs=2)
    assert verdict(healthy) == ("ruled out", [])


@pytest.mark.parametrize("fill", [True, False])
def test_a_py_dataset_that_indexes_around_its_end(fill):
    keras = pytest.importorskip("keras")
    rows = np.random.default_rng(0).normal(size=(61, 16))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            its = np.arange(8 * index, 8 * index + 8)
            return rows[its % 61 if fill else its[its < 61]]

    said, findings = verdict(ba.audit(lambda: Batches(workers=2), strategies=["as-is"], epochs=2))
    assert said == ("found" if fill else "ruled out")
    assert [finding.evidence["copies"] for finding in findings] == ([3] if fill else [])


@pytest.mark.parametrize("fill", [True, False])
def test_a_tf_data_pipeline_that_is_filled_from_its_head(fill):
    tf = pytest.importorskip("tensorflow")
    rows = np.random.default_rng(0).normal(size=(61, 16))

    def pipeline():
        stored = tf.data.Dataset.from_tensor_slices(rows)
        return (stored.concatenate(stored.take(3)) if fill else stored).batch(8)

    said, findings = verdict(ba.audit(pipeline, strategies=["as-is"], epochs=2))
    assert said == ("found" if fill else "ruled out")
    assert [finding.scope for finding in findings] == (["pipeline"] if fill else [])


@pytest.mark.parametrize("drop", [False, True])
def test_ranks_of_a_live_training(tmp_path, monkeypatch, drop):
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        rows = Numbers(61)
        sampler = data.DistributedSampler(rows, 4, rank, drop_last=drop)
        with ba.Audit(tmp_path) as audit:
            watched = audit.wrap(data.DataLoader(rows, 8, sampler=sampler), name="val")
            for epoch in range(2):
                sampler.set_epoch(epoch)
                assert sum(len(batch) for batch in watched) == (15 if drop else 16)
            report = audit.report()
    findings = [finding for finding in report.across if finding.cause == "padding-duplicate"]
    assert [finding.severity for finding in findings] == ([] if drop else ["warning"])
    assert [finding.evidence["copies"] for finding in findings] == ([] if drop else [3])
    assert not any(finding.cause == "padding-duplicate" for run in report.runs for finding in run.findings)
