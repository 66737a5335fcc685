"""What an incomplete log may say: what is there, and nothing of what is not."""

from __future__ import annotations

import random

import numpy as np
import pytest

import batchaudit as ba
from batchaudit import auditing
from batchaudit.diagnosis.incomplete import weighed
from batchaudit.diagnosis.judgement import found, not_observable, ruled_out
from batchaudit.journal.layout import SYNC
from tests.diagnosis.in_ranks import trained

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset  # noqa: E402


class Items(Dataset):
    def __init__(self, count=96):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full(3, index, np.float32)


class Augmented(Items):
    def __getitem__(self, index):
        return super().__getitem__(index) + torch.rand(1).numpy()


class Stream(IterableDataset):
    """Every `step`-th of 96 items; each worker takes its share of them."""

    def __init__(self, shared=True):
        self.shared = shared

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker is not None and self.shared else (0, 1)
        return iter(np.arange(96, dtype=np.float32)[first::step])


def live(folder, source, epochs=3):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(source, name="train")
        for _ in range(epochs):
            for _ in watched:
                pass


def causes(report):
    return {finding.cause for finding in report.findings}


def verdict(report, cause):
    several = [one for run in report.runs for one in run.verdicts] + list(report.across_verdicts)
    return [one for one in several if one.cause == cause]


# -- one judgement --------------------------------------------------------------------------------


def test_a_complete_log_changes_nothing():
    for judgement in (ruled_out("why"), not_observable("why")):
        assert weighed("tail-drop", judgement, True) is judgement


def test_what_was_ruled_out_is_not_and_what_was_not_seen_stays_unseen():
    unseen = not_observable("no stream moved")
    assert weighed("rng-clone", unseen, False) is unseen
    judgement = weighed("rng-clone", ruled_out("why"), False)
    assert judgement.verdict == "not observable" and judgement.reason.startswith("the log is incomplete: ")


@pytest.mark.parametrize(
    ("cause", "evidence", "stays"),
    [
        ("unsharded-replica", {}, True),
        ("rng-clone", {}, True),
        ("buffer-alias", {}, True),
        ("split-leak", {}, True),
        ("tail-drop", {}, False),
        ("overshard", {}, False),
        ("order-divergence", {}, False),
        ("padding-duplicate", {}, False),
        ("prefetch-loss", {"batches_lost": [3]}, False),
        ("prefetch-loss", {"replayed": [1]}, True),
        ("stale-epoch", {"hooks_never_called": ["on_epoch_end"]}, False),
        ("stale-epoch", {"sampler_epochs": [0, 0]}, False),
        ("stale-epoch", {"shuffle_asked_for": False}, False),
        ("stale-epoch", {"shuffle_asked_for": True}, True),
        ("stale-epoch", {"batches_before_the_hook": [4]}, True),
        ("shared-state-race", {"in_no_baseline": 4}, False),
        ("shared-state-race", {"threads_refused": 2}, True),
    ],
)
def test_a_finding_stays_where_what_is_there_shows_it(cause, evidence, stays):
    judgement = found(ba.Finding(cause, "error", "worker", "something", evidence))
    left = weighed(cause, judgement, False)
    assert (left is judgement) == stays
    if not stays:
        assert (left.verdict, left.finding) == ("not observable", None)
        assert left.reason.startswith("the log is incomplete: ")


# -- real runs: the same evidence, in a log that is said to lack something --------------------------


def dropped(folder, monkeypatch):
    live(folder, DataLoader(Items(10), batch_size=4, drop_last=True))


def never_told(folder, monkeypatch):
    live(folder, DataLoader(Items(), batch_size=4, sampler=DistributedSampler(Items(), 1, 0)))


def sharded_twice(folder, monkeypatch):
    trained(folder, monkeypatch, lambda rank, world: DataLoader(
        Items(), batch_size=4, sampler=range(96)[rank::world][rank::world]))  # fmt: skip


def padded(folder, monkeypatch):
    trained(folder, monkeypatch, lambda rank, world: DataLoader(
        Items(31), batch_size=4, sampler=DistributedSampler(Items(31), world, rank)))  # fmt: skip


def diverged(folder, monkeypatch):
    def of_its_own(rank, world):
        order = np.random.default_rng(rank).permutation(96).tolist()
        return DataLoader(Items(), batch_size=4, sampler=order[rank::world])

    trained(folder, monkeypatch, of_its_own)


def held_twice(folder, monkeypatch):
    ba.audit(
        lambda: [np.full((4, 3), number // 2, np.float32) for number in range(12)],
        ["serial", "threads:2"], epochs=2, out=folder, probes=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (dropped, "tail-drop"),
        (never_told, "stale-epoch"),
        (sharded_twice, "overshard"),
        (padded, "padding-duplicate"),
        (diverged, "order-divergence"),
        (held_twice, "intrinsic-duplicate"),
    ],
)
def test_what_rests_on_something_missing_is_found_in_a_whole_log_alone(tmp_path, monkeypatch, make, cause):
    make(tmp_path, monkeypatch)
    whole = auditing.report(tmp_path)
    assert cause in causes(whole)
    (tmp_path / "lost.failed").write_text("No space left on device")
    report = auditing.report(tmp_path)
    assert not report.complete and cause not in causes(report)
    assert not [one for one in verdict(report, cause) if one.verdict != "not observable"]
    assert any("the log is incomplete" in one.reason for one in verdict(report, cause))
    assert len(report.epochs) == len(whole.epochs)


def test_copies_that_are_there_are_found_in_any_log(tmp_path, monkeypatch):
    live(tmp_path, DataLoader(Stream(shared=False), batch_size=4, num_workers=2))
    assert "unsharded-replica" in causes(auditing.report(tmp_path))
    (tmp_path / "lost.failed").write_text("No space left on device")
    assert "unsharded-replica" in causes(auditing.report(tmp_path))


# -- healthy runs whose logs are really damaged -----------------------------------------------------


def of_ranks(folder, monkeypatch):
    trained(folder, monkeypatch, lambda rank, world: DataLoader(
        Augmented(), batch_size=4, num_workers=2, sampler=DistributedSampler(Augmented(), world, rank)))  # fmt: skip


def shuffled(folder, monkeypatch):
    live(folder, DataLoader(Augmented(), batch_size=4, shuffle=True, num_workers=2))


def shared(folder, monkeypatch):
    live(folder, DataLoader(Stream(), batch_size=4, num_workers=2))


def audited(folder, monkeypatch):
    ba.audit(
        lambda: DataLoader(Items(), batch_size=4, shuffle=True, num_workers=2), ["serial", "as-is"],
        epochs=2, out=folder,
    )  # fmt: skip


def lose(folder, rng):
    """Makes some records of some files unreadable: one, every tenth, half of them, or a row of them."""
    for path in rng.sample(files := sorted(folder.glob("*.baj")), rng.randint(1, len(files))):
        data = bytearray(path.read_bytes())
        at = [at for at in range(len(data)) if data.startswith(SYNC, at)]
        begin = rng.randrange(len(at))
        some = rng.sample(at, max(1, len(at) // rng.choice([2, 10, len(at)])))
        for place in rng.choice([some, at[begin : begin + len(at) // 3 + 1]]):
            data[place + 5] ^= 0xFF
        path.write_bytes(bytes(data))


@pytest.mark.parametrize("make", [of_ranks, shuffled, shared, audited])
def test_a_hole_in_the_log_of_a_healthy_loader_is_no_finding(tmp_path, monkeypatch, make):
    make(tmp_path, monkeypatch)
    assert auditing.report(tmp_path).findings == ()
    kept = {path: path.read_bytes() for path in tmp_path.glob("*.baj")}
    for seed in range(8):
        for path, data in kept.items():
            path.write_bytes(data)
        lose(tmp_path, random.Random(seed))
        report = auditing.report(tmp_path)
        assert not report.complete
        assert report.findings == (), seed
        verdicts = [one for run in report.runs for one in run.verdicts] + list(report.across_verdicts)
        assert {one.verdict for one in verdicts} == {"not observable"}
