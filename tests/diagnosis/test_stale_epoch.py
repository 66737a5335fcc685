"""Real loaders whose epoch does not arrive, each with its healthy twin."""

from __future__ import annotations

import numpy as np
import pytest

import batchaudit as ba

torch = pytest.importorskip("torch")

N, EPOCHS = 24, 3


class Numbered(torch.utils.data.Dataset):
    """Its content depends on the epoch that its own copy believes in."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return N

    def __getitem__(self, index):
        return np.array([index, self.epoch])


class Plain(torch.utils.data.Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return np.array([index])


def report_of(folder, loader, begin=lambda loader, epoch: None):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(loader, name="train")
        for epoch in range(EPOCHS):
            begin(watched, epoch)
            for _ in watched:
                pass
    return audit.report()


def verdict(report):
    [run] = report.runs
    return next(one for one in run.verdicts if one.cause == "stale-epoch")


def set_on_dataset(loader, epoch):
    loader.dataset.set_epoch(epoch)


def set_on_sampler(loader, epoch):
    loader.sampler.set_epoch(epoch)


def shared(rank=1, shuffle=True):
    return torch.utils.data.distributed.DistributedSampler(
        Plain(), num_replicas=2, rank=rank, shuffle=shuffle, seed=5
    )


def test_workers_that_live_on_do_not_hear_of_the_epoch(tmp_path):
    loader = torch.utils.data.DataLoader(Numbered(), 4, num_workers=2, persistent_workers=True)
    report = report_of(tmp_path, loader, set_on_dataset)
    [finding] = report.findings
    assert (finding.cause, finding.severity, finding.scope) == ("stale-epoch", "error", "worker")
    assert finding.evidence["set_by_the_program"] == [0, 1, 2]
    assert finding.evidence["believed_by_workers"] == [0, 0, 0]
    assert finding.evidence["stale_epochs"] == [1, 2]
    assert "persistent_workers=False" in finding.fix


@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 0}])
def test_workers_made_anew_each_epoch_have_it(tmp_path, settings):
    loader = torch.utils.data.DataLoader(Numbered(), 4, **settings)
    report = report_of(tmp_path, loader, set_on_dataset)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_workers_that_live_on_and_share_the_number_have_it(tmp_path):
    class Sharing(Numbered):
        def __init__(self):
            self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

        def set_epoch(self, epoch):
            self.epoch.fill_(epoch)

        def __getitem__(self, index):
            return np.array([index, int(self.epoch)])

    loader = torch.utils.data.DataLoader(Sharing(), 4, num_workers=2, persistent_workers=True)
    report = report_of(tmp_path, loader, set_on_dataset)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_a_sampler_that_is_never_told(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, sampler=shared()))
    [finding] = report.findings
    assert finding.cause == "stale-epoch" and "set_epoch was not called" in finding.summary
    assert "sampler.set_epoch(epoch)" in finding.fix


def test_a_sampler_that_is_told(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, sampler=shared()), set_on_sampler)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_a_sampler_that_shuffles_nothing_has_nothing_to_be_told(tmp_path):
    loader = torch.utils.data.DataLoader(Plain(), 4, sampler=shared(shuffle=False))
    report = report_of(tmp_path, loader)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_one_epoch_shows_nothing(tmp_path):
    with ba.Audit(tmp_path) as audit:
        list(audit.wrap(torch.utils.data.DataLoader(Plain(), 4, sampler=shared())))
    assert verdict(audit.report()).verdict == "not observable"


def test_shuffled_anew_each_epoch(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, shuffle=True, num_workers=2))
    assert not report.findings and verdict(report).verdict == "ruled out"


@pytest.mark.parametrize(("shuffle", "found"), [(True, ["stale-epoch"]), (False, [])])
def test_the_ranks_of_one_training_are_looked_at_each_for_itself(tmp_path, monkeypatch, shuffle, found):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        loader = torch.utils.data.DataLoader(Plain(), 4, sampler=shared(rank, shuffle))
        report = report_of(tmp_path, loader)
    assert report.ranks == (0, 1)
    assert [finding.cause for finding in report.findings] == found
