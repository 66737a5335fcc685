"""What a keyed log still shows: the finding is the same, or not observable with the key as the reason."""

from __future__ import annotations

import os

import numpy as np
import pytest
from click.testing import CliRunner

import batchaudit as ba
from batchaudit import auditing
from batchaudit.cli.main import main
from batchaudit.report.notes import NOTES

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, Dataset, DistributedSampler  # noqa: E402

WORLD, EPOCHS = 2, 3


class Items(Dataset):
    def __init__(self, count=64):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full(3, index, np.float32)


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def key(request, tmp_path):
    return new_key(tmp_path / "key") if request.param else None


def new_key(path):
    path.write_bytes(os.urandom(32))
    return path


def number_of(batch):
    return batch[:, 0].numpy().astype(int)


def trained(folder, monkeypatch, make, keys, ids=None, *, told=True):
    """The report of ranks that each go over a loader of their own, each with its key."""
    for rank in range(WORLD):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(WORLD))
        with ba.Audit(folder, key_file=keys[rank]) as audit:
            loader = audit.wrap(make(rank), name="train", key=ids)
            for epoch in range(EPOCHS):
                if told and hasattr(loader.sampler, "set_epoch"):
                    loader.sampler.set_epoch(epoch)
                for _ in loader:
                    pass
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    return auditing.report(folder)


def live(folder, source, key_file, epochs=EPOCHS):
    with ba.Audit(folder, key_file=key_file) as audit:
        watched = audit.wrap(source, name="train")
        for _ in range(epochs):
            for _ in watched:
                pass


def causes(report):
    return {finding.cause for finding in report.findings}


def verdicts(report):
    several = [one for run in report.runs for one in run.verdicts] + list(report.across_verdicts)
    return {one.cause: one for one in several}


def of_sampler(count=64, **more):
    def make(rank):
        sampler = DistributedSampler(Items(count), WORLD, rank, **more)
        return DataLoader(Items(count), batch_size=4, sampler=sampler)

    return make


# -- between ranks --------------------------------------------------------------------------------


def test_a_sampler_that_is_right_is_not_found_fault_with(tmp_path, monkeypatch, key):
    report = trained(tmp_path / "run", monkeypatch, of_sampler(), [key] * WORLD)
    assert report.findings == ()
    assert verdicts(report)["padding-duplicate"].verdict == "ruled out"
    if key:
        assert "keyed ids have no order" in verdicts(report)["overshard"].reason


def test_a_sampler_that_pads(tmp_path, monkeypatch, key):
    report = trained(tmp_path / "run", monkeypatch, of_sampler(61), [key] * WORLD)
    [finding] = [one for one in report.findings if one.cause == "padding-duplicate"]
    assert (finding.evidence["items"], finding.evidence["copies"]) == (61, 1)
    assert finding.evidence["filled_with"] == "the head of the epoch's order"


def test_a_sampler_that_is_not_told_the_epoch(tmp_path, monkeypatch, key):
    report = trained(tmp_path / "run", monkeypatch, of_sampler(), [key] * WORLD, told=False)
    assert causes(report) == {"stale-epoch"}


def test_ranks_with_orders_of_their_own(tmp_path, monkeypatch, key):
    def make(rank):
        return of_sampler(seed=rank)(rank)

    report = trained(tmp_path / "run", monkeypatch, make, [key] * WORLD)
    assert causes(report) == {"order-divergence"}


def test_ranks_that_were_given_everything(tmp_path, monkeypatch, key):
    report = trained(tmp_path / "run", monkeypatch, lambda rank: DataLoader(Items(), 4), [key] * WORLD)
    assert "unsharded-replica" in causes(report)


@pytest.mark.parametrize("counted", [True, False], ids=["of a count", "of a stride"])
def test_ranks_that_share_twice(tmp_path, monkeypatch, key, counted):
    def make(rank):
        """A sampler over the whole dataset says how many items there are, one over a part of it does not."""
        if counted:
            return DataLoader(Items(), 4, sampler=range(64)[rank::WORLD][rank::WORLD])
        part = torch.utils.data.Subset(Items(), range(rank, 64, WORLD))
        return DataLoader(part, 4, sampler=DistributedSampler(part, WORLD, rank, shuffle=False))

    report = trained(tmp_path / "run", monkeypatch, make, [key] * WORLD, number_of)
    if counted or key is None:
        assert "overshard" in causes(report)
        return
    between = [one for one in report.across_verdicts if one.cause == "overshard"]
    assert [one.verdict for one in between] == ["not observable"]
    assert "keyed ids have no order" in between[0].reason
    assert "overshard" not in causes(report)


def test_ranks_of_different_keys_are_not_compared(tmp_path, monkeypatch):
    keys = [new_key(tmp_path / "one"), new_key(tmp_path / "two")]
    report = trained(tmp_path / "run", monkeypatch, lambda rank: DataLoader(Items(), 4), keys)
    assert report.findings == () and report.pooled.empty
    between = [one for one in report.across_verdicts if one.cause == "unsharded-replica"]
    assert [one.verdict for one in between] == ["not observable"]
    assert "written with different keys" in between[0].reason
    assert NOTES["keys-differ"] in report.notes


# -- within one process -----------------------------------------------------------------------------


def test_a_shuffle_that_was_drawn_once_cannot_be_told_from_the_order_of_the_data(tmp_path, key):
    order = np.random.default_rng(3).permutation(64).tolist()
    live(tmp_path / "run", DataLoader(Items(), 4, sampler=order), key)
    report = auditing.report(tmp_path / "run")
    stale = verdicts(report)["stale-epoch"]
    if key is None:
        assert stale.verdict == "found"
    else:
        assert stale.verdict == "not observable" and "keyed ids have no order" in stale.reason


def test_workers_that_draw_alike_and_the_note_that_the_log_is_keyed(tmp_path, key):
    class Noise(Items):
        def __getitem__(self, index):
            return super().__getitem__(index) + np.float32(np.random.random())

    def alike(worker):
        np.random.seed(7)

    make = lambda: DataLoader(Noise(), 4, num_workers=2, worker_init_fn=alike)  # noqa: E731
    report = ba.audit(make, ["serial", "as-is"], epochs=2, out=tmp_path / "run", key_file=key)
    assert {"rng-clone", "rng-epoch-reset"} <= causes(report)
    assert (NOTES["keyed"] in report.notes) == (key is not None)
    names = {writer.get("key_name") for writer in ba.load(tmp_path / "run").writers}
    assert len(names) == 1 and (None in names) == (key is None)


def test_a_py_dataset_of_keras_with_a_random_state_in_its_copies(tmp_path, key):
    keras = pytest.importorskip("keras")

    class Pictures(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return np.full((4, 3), index, np.float32) + np.random.random((4, 3)).astype(np.float32)

    report = ba.audit(Pictures, ["serial", "keras-processes:2"], epochs=2, out=tmp_path / "run", key_file=key)
    assert "rng-clone" in causes(report)


# -- between attempts, splits and runs ----------------------------------------------------------------


def test_starts_of_different_keys_are_not_compared(tmp_path):
    one, two = new_key(tmp_path / "one"), new_key(tmp_path / "two")
    for name, keys in (("alike", (one, one)), ("unlike", (one, two)), ("half", (None, one))):
        for key_file in keys:
            live(tmp_path / name, DataLoader(Items(), 4), key_file, epochs=1)
        judged = verdicts(auditing.report(tmp_path / name))["resume-replay"]
        assert ("written with different keys" in judged.reason) == (name != "alike")
        assert judged.verdict == "not observable" or name == "alike"


def test_a_leak_shows_under_a_key(tmp_path, key):
    with ba.Audit(tmp_path / "run", key_file=key) as audit:
        loaders = [audit.wrap(DataLoader(Items(), 4), name=name) for name in ("train", "val")]
        for _ in range(2):
            for loader in loaders:
                list(loader)
    assert "split-leak" in causes(audit.report())


def test_streams_are_compared_under_one_key_alone(tmp_path):
    one, two = new_key(tmp_path / "one"), new_key(tmp_path / "two")
    for name, key_file in (("a", one), ("b", one), ("c", two), ("plain", None)):
        live(tmp_path / name, DataLoader(Items(), 4), key_file)
    assert ba.compare(tmp_path / "a", tmp_path / "b").same
    for other, said in (("c", "was written with the key "), ("plain", "was written without a key")):
        with pytest.raises(ba.UsageError, match=rf"B \(.*{other}\) {said}.*cannot be compared"):
            ba.compare(tmp_path / "a", tmp_path / other)
    done = CliRunner().invoke(main, ["diff", str(tmp_path / "a"), str(tmp_path / "c")])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: A (") and len(done.stderr.splitlines()) == 1
