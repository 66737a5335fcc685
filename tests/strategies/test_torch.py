"""torch's own workers, started as a strategy says."""

from __future__ import annotations

import os
import re
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit import strategies  # noqa: E402
from batchaudit.strategies import Skip  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create", "ignore:Length of IterableDataset"
)


class Noise(Dataset):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, i: int):
        return torch.tensor([i, np.random.rand()])


class OwnNoise(Noise):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __getitem__(self, i: int):
        return torch.tensor([i, self.rng.random()])


class Unsharded(IterableDataset):
    def __iter__(self):
        return (torch.tensor([i, i + 1]) for i in range(32))


class Sharded(IterableDataset):
    def __len__(self) -> int:
        return 32

    def __iter__(self):
        info = get_worker_info()
        return (torch.tensor(i) for i in (range(32)[info.id :: info.num_workers] if info else range(32)))


class Dies(Noise):
    def __getitem__(self, i: int):
        if get_worker_info() is not None and i == 20:
            os._exit(3)
        return super().__getitem__(i)


class Raises(Noise):
    def __getitem__(self, i: int):
        if i == 20:
            raise LookupError("no such item")
        return super().__getitem__(i)


class Hangs(Noise):
    def __getitem__(self, i: int):
        if get_worker_info() is not None and i == 20:
            threading.Event().wait()
        return super().__getitem__(i)


class Mine(DataLoader):
    """Made in a way of the user's own, and with something of its own."""

    def __init__(self, dataset, *, times):
        super().__init__(dataset, batch_size=4, shuffle=True)
        self.times = times

    def __iter__(self):
        for batch in super().__iter__():
            yield batch * self.times


def noise(**kw):
    return DataLoader(Noise(), batch_size=4, **kw)


def own_noise():
    return DataLoader(OwnNoise(), batch_size=4)


def reseed(worker_id):
    info = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def runs(report):
    return {run.strategy: run for run in report.runs}


def in_order(driven, epoch=0):
    """The first number of each sample."""
    return [
        int(n) for _, shape, raw in driven.epoch(epoch) for n in np.frombuffer(raw, "f4").reshape(shape)[:, 0]
    ]


def numbers(driven, epoch=0):
    return sorted(in_order(driven, epoch))


@pytest.mark.parametrize(
    "strategy", ["torch:1", "torch:3", "torch:2,persistent", "torch:2,prefetch=1", "torch:2,start=spawn"]
)
def test_drives_all_of_it(drive, strategy):
    driven = drive(lambda: noise(shuffle=True), strategy, epochs=2)
    workers = strategies.parse(strategy).workers
    for epoch in range(2):
        assert numbers(driven, epoch) == list(range(48))
    produced = driven.of("produced")
    assert set(produced.framework_worker) == set(range(workers))
    assert produced.pid.nunique() == (workers if "persistent" in strategy else 2 * workers)


@pytest.mark.parametrize("strategy", ["serial", "as-is"])
def test_serial_makes_everything_here(drive, strategy):
    loader = lambda: noise(num_workers=2, persistent_workers=True, prefetch_factor=3, timeout=5)  # noqa: E731
    driven = drive(loader, strategy, epochs=2)
    assert numbers(driven) == numbers(driven, 1) == list(range(48))
    assert (os.getpid() in set(driven.of("produced").pid)) == (strategy == "serial")
    assert driven.of("produced").pid.nunique() == (1 if strategy == "serial" else 2)


def test_the_loader_is_left_as_it_was(drive):
    generator = torch.Generator().manual_seed(3)
    loader = noise(num_workers=1, persistent_workers=True, generator=generator, shuffle=True)
    state, before = generator.get_state(), dict(vars(loader))
    for strategy in ("as-is", "serial", "torch:2"):
        drive(lambda: loader, strategy, renewable=False)
    assert vars(loader) == before
    assert torch.equal(generator.get_state(), state)


def test_every_strategy_draws_the_same_order(drive):
    orders = [in_order(drive(lambda: noise(shuffle=True), name)) for name in ("serial", "torch:2")]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_a_loader_of_the_user_s_class_keeps_what_it_is(drive):
    driven = drive(lambda: Mine(Noise(), times=2), "torch:2")
    assert numbers(driven) == list(range(0, 96, 2))


@pytest.mark.parametrize("source", [Noise, Sharded, lambda: iter([np.zeros(3)]), lambda: [np.zeros(3)]])
def test_what_is_no_loader_is_skipped(drive, source):
    with pytest.raises(Skip, match="DataLoader"):
        drive(source, "torch:2")


def test_what_cannot_be_sent_is_skipped(drive):
    loader = lambda: noise(collate_fn=lambda items: len(items))  # noqa: E731
    with pytest.raises(Skip, match="pickling"):
        drive(loader, "torch:2,start=spawn")
    assert len(drive(loader, "torch:2,start=fork").delivered) == 12


@pytest.mark.parametrize(
    ("dataset", "said"),
    [(Raises, "no such item"), (Dies, "exited unexpectedly|killed by signal"), (Hangs, "timed out")],
)
def test_what_goes_wrong_in_a_worker(drive, dataset, said):
    driven = drive(lambda: DataLoader(dataset(), batch_size=4), "torch:2", fails=True, timeout=5)
    assert re.search(said, str(driven.error))


def test_an_audit_of_a_loader_with_workers():
    report = ba.audit(lambda: DataLoader(Unsharded(), batch_size=4, num_workers=4), epochs=2)
    assert [run.strategy for run in report.runs] == ["as-is"]
    assert report.epochs.effective_ratio.tolist() == [0.25, 0.25]
    assert {finding.cause for finding in report.findings} == {"unsharded-replica"}


def test_an_audit_of_a_sharded_one():
    report = ba.audit(lambda: DataLoader(Sharded(), batch_size=4), ["serial", "torch:4"], epochs=2)
    assert report.epochs.delivered.tolist() == [8, 8, 8, 8]
    assert report.epochs.unique.tolist() == [8, 8, 8, 8]
    assert report.findings == ()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_audit_of_a_generator_that_is_cloned(start):
    report = ba.audit(own_noise, [f"torch:3,start={start}"], epochs=2)
    assert {finding.cause for finding in report.findings} == {"rng-clone", "rng-epoch-reset"}


def test_an_audit_of_one_that_each_worker_seeds():
    loader = lambda: DataLoader(OwnNoise(), batch_size=4, worker_init_fn=reseed)  # noqa: E731
    report = ba.audit(loader, ["torch:4"], epochs=3)
    assert report.findings == ()


def test_an_audit_of_numpys_global_stream_is_clean():
    assert ba.audit(noise, ["serial", "torch:4"], epochs=2).findings == ()


def test_other_workers_around_a_loader_s_own_are_skipped():
    report = ba.audit(lambda: noise(num_workers=2), ["serial", "fork:2", "as-is"], epochs=1)
    assert {name: bool(run.skipped) for name, run in runs(report).items()} == {
        "serial": False, "fork:2": True, "as-is": False,
    }  # fmt: skip
    assert "torch:2" in runs(report)["fork:2"].skipped


def test_an_audit_asks_for_no_length():
    loader = DataLoader(Sharded(), batch_size=4)
    ba.audit(loader, ["serial"], epochs=1)
    assert loader._IterableDataset_len_called is None
