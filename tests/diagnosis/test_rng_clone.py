"""Loaders whose workers or ranks share a random state, readable or not, each with its healthy twin."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

import batchaudit as ba
from batchaudit import auditing
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.same_index import same_index
from batchaudit.analysis.tables import tables
from batchaudit.diagnosis import rng_clone
from tests.analysis.build import Batch, evidence, frames, table

CAUSE = "rng-clone"
N, SIZE = 32, 4
STORED = np.arange(N * 3, dtype=np.float32).reshape(N, 3)


def verdict(report, cause=CAUSE):
    [run] = report.runs
    return next(one for one in run.verdicts if one.cause == cause)


def found(report):
    [run] = report.runs
    return {finding.cause for finding in run.findings if finding.severity != "info"}


# -- the probe of one item ----------------------------------------------------------------------------


def item(content, workers=4, steps=4):
    """Workers that each made item 0 again and again."""
    return table([Batch(2 + w, content(w, step), index=0) for step in range(steps) for w in range(workers)])


def judged(content, earlier=(), **shape):
    batches = [Batch(2 + n % 2, n) for n in range(8)]
    return rng_clone.judge(evidence(batches, probes={"same-index": item(content, **shape)}), earlier)


def test_hidden_clones():
    finding = judged(lambda worker, step: step + 1).finding
    assert finding is not None
    assert finding.evidence["workers"] == [0, 1, 2, 3]
    assert finding.evidence["first_example"].startswith("worker 0 step 0 and worker 1 step 0 made the same")


def test_two_of_four_may_be_clones():
    finding = judged(lambda worker, step: 10 * max(1, worker) + step, steps=6).finding
    assert finding is not None
    assert finding.evidence["workers"] == [0, 1]


def test_workers_that_draw_for_themselves():
    judgement = judged(lambda worker, step: 10 * worker + step)
    assert (judgement.verdict, "for themselves" in judgement.reason) == ("ruled out", True)


def test_an_item_that_is_always_the_same_is_no_clone():
    judgement = judged(lambda worker, step: 5)
    assert (judgement.verdict, "whichever worker" in judgement.reason) == ("ruled out", True)


def test_an_item_that_each_worker_keeps_is_no_clone():
    assert judged(lambda worker, step: worker).finding is None


def test_draws_of_few_values_are_equal_by_chance():
    coins = np.random.default_rng(0).integers(4, size=(200, 4, 4))
    hits = sum(judged(lambda w, step, coin=coin: int(coin[w, step])).finding is not None for coin in coins)
    assert hits <= 2


@pytest.mark.parametrize("cause", ["unsharded-replica", "inplace-mutation"])
def test_what_explains_equal_items_otherwise(cause):
    assert judged(lambda worker, step: step + 1, {cause}).finding is None


def test_one_busy_worker_shows_no_clone():
    seen = same_index(item(lambda worker, step: step, workers=1))
    assert seen is not None
    assert not seen.enough
    assert not seen.cloned


# -- torch --------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402


class Noisy(torch.utils.data.Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return STORED[index] + np.float32(self.noise())

    def noise(self):
        return torch.rand(1).item()


class Hashed(Noisy):
    """Its random stream is a chain of hashes: nothing that reads states knows it for one."""

    def __init__(self):
        self.state = bytearray(32)

    def noise(self):
        self.state[:] = hashlib.sha256(self.state).digest()
        return int.from_bytes(self.state[:4], "big") / 2**32


class HashedByWorker(Hashed):
    seeded = False

    def noise(self):
        info = torch.utils.data.get_worker_info()
        if info is not None and not self.seeded:
            self.state[:8], self.seeded = info.seed.to_bytes(8, "big"), True
        return super().noise()


class NothingStored(Hashed):
    """All that it holds is drawn: equal draws are equal batches of different items."""

    def __getitem__(self, index):
        return np.float32(self.noise())


class Drifting(Noisy):
    """No draw at all: each access adds to what is stored."""

    def __init__(self):
        self.stored = STORED.copy()

    def __getitem__(self, index):
        self.stored[index] += 1
        return self.stored[index].copy()


def report_of(dataset, **settings):
    settings = {"num_workers": 2, "shuffle": True} | settings
    return ba.audit(lambda: DataLoader(dataset(), SIZE, **settings), ["as-is"], epochs=2)


def live_report(folder, dataset):
    with ba.Audit(folder) as audit:
        for _batch in audit.wrap(DataLoader(dataset(), SIZE, num_workers=2), name="train"):
            pass
    return audit.report()


def test_a_hidden_state_in_each_worker():
    report = report_of(Hashed, persistent_workers=True)
    assert found(report) == {CAUSE}
    [finding] = [one for run in report.runs for one in run.findings if one.cause == CAUSE]
    assert "and at step 1 both another" in finding.evidence["first_example"]
    assert finding.evidence["alike_under_the_other_start_method"]


def test_a_hidden_state_that_each_worker_seeds():
    report = report_of(HashedByWorker)
    assert found(report) == set()
    assert verdict(report).verdict == "ruled out"


def test_the_workers_of_torch_draw_for_themselves():
    assert found(report_of(Noisy)) == set()


def test_items_that_drift_are_no_clones():
    assert CAUSE not in found(report_of(Drifting))


def test_in_a_live_training_equal_batches_of_different_items(tmp_path):
    assert CAUSE in found(live_report(tmp_path / "sick", NothingStored))
    assert found(live_report(tmp_path / "healthy", Noisy)) == set()


def test_equal_batches_of_different_items():
    batches = [
        Batch(2 + w, step, samples=(10 * step,), ids=(2 * step + w,)) for step in range(4) for w in range(2)
    ]
    finding = rng_clone.judge(evidence(batches)).finding
    assert finding is not None
    assert "of different samples" in finding.evidence["first_example"]
    same_items = [
        Batch(2 + w, step, samples=(10 * step,), ids=(step,)) for step in range(4) for w in range(2)
    ]
    assert rng_clone.judge(evidence(same_items)).finding is None


def test_constant_items_are_no_equal_draws():
    batches = [Batch(2 + w, 5, samples=(5,), ids=(2 * step + w,)) for step in range(4) for w in range(2)]
    assert rng_clone.judge(evidence(batches)).finding is None


# -- Keras --------------------------------------------------------------------------------------------


def test_a_hidden_state_in_a_pool_that_deals_work_out_as_it_is_asked_for():
    keras = pytest.importorskip("keras")

    class Pictures(keras.utils.PyDataset):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.state = bytearray(32)

        def __len__(self):
            return 16

        def __getitem__(self, index):
            return STORED[:SIZE] + 1000 * index + self.noise(index)

        def noise(self, index):
            self.state[:] = hashlib.sha256(self.state).digest()
            return int.from_bytes(self.state[:4], "big") / 2**32

    class ByItem(Pictures):
        epoch = 0

        def on_epoch_end(self):
            self.epoch += 1

        def noise(self, index):
            return np.random.default_rng([3, self.epoch, index]).random()

    assert CAUSE in found(ba.audit(Pictures, ["keras-processes:2"], epochs=2))
    healthy = ba.audit(ByItem, ["keras-processes:2"], epochs=2)
    assert found(healthy) == set()
    assert verdict(healthy).verdict == "ruled out"


# -- ranks --------------------------------------------------------------------------------------------


def ranks(state, content=lambda rank, worker, step: 1000 * rank + 100 * worker + step):
    """Two ranks with two workers each."""
    batches, of = [], []
    for rank in range(2):
        its = [
            Batch(
                10 * rank + worker,
                content(rank, worker, step),
                samples=(content(rank, worker, step),),
                states={"numpy": (state(rank, worker, step), state(rank, worker, step + 1))},
            )
            for step in range(4)
            for worker in (1, 2)
        ]
        of.append(evidence(its))
        batches += its
    events, samples = frames(batches)
    events["rank"] = np.repeat([0, 1], len(events) // 2)
    return Ranks("train", "live", dict(enumerate(of)), tables(events, samples))


def test_seeds_that_are_a_sum_meet_off_the_diagonal():
    finding = rng_clone.judge_ranks(
        ranks(lambda rank, worker, step: 100 * (rank + worker) + step + 1)
    ).finding
    assert finding is not None
    assert (finding.scope, finding.severity) == ("rank", "warning")
    assert finding.evidence["draws_alike"] == 8
    assert finding.evidence["first_example"].startswith("rank 0 step 0 and rank 1 step 0 began")


def test_seeds_that_mix_rank_and_worker():
    judgement = rng_clone.judge_ranks(ranks(lambda rank, worker, step: 100 * (2 * rank + worker) + step + 1))
    assert judgement.verdict == "ruled out"


def test_equal_batches_of_equal_draws_are_worse():
    alike = ranks(
        lambda rank, worker, step: 100 * worker + step + 1, lambda rank, worker, step: 10 * worker + step
    )
    finding = rng_clone.judge_ranks(alike).finding
    assert finding is not None
    assert finding.severity == "error"
    assert rng_clone.judge_ranks(alike, {"unsharded-replica"}).finding is None


def test_one_seed_for_each_batch_is_no_clone():
    # np.random.seed(0) before each batch: one state, again and again.
    assert rng_clone.judge_ranks(ranks(lambda rank, worker, step: 1 if not step else 2)).finding is None


def train(folder, rank, per_rank, augmented):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    torch.manual_seed(rank if per_rank else 0)
    dataset = torch.utils.data.Subset(Noisy() if augmented else Still(), range(rank, N, 2))
    with ba.Audit(folder) as audit:
        for _batch in audit.wrap(DataLoader(dataset, 2, num_workers=2), name="train"):
            pass


class Still(Noisy):
    def noise(self):
        return 0


@pytest.mark.parametrize(
    ("per_rank", "augmented", "severities"),
    [(False, True, ["warning"]), (True, True, []), (False, False, [])],
)
def test_one_seed_in_all_ranks(tmp_path: Path, per_rank, augmented, severities):
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=train, args=(str(tmp_path), rank, per_rank, augmented)) for rank in range(2)
    ]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join(240)
        assert [process.exitcode for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.join()
    across = auditing.report(tmp_path).across
    assert [one.severity for one in across if one.cause == CAUSE] == severities
    assert {one.cause for one in across} <= {CAUSE}
