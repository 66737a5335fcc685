"""Real loops, Trainers and Accelerators over torch loaders: what the log says is what the model was given."""

from __future__ import annotations

import copy
import itertools
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit import consumers  # noqa: E402
from batchaudit.journal.layout import Flag  # noqa: E402
from batchaudit.journal.reader import load  # noqa: E402
from batchaudit.watching import Watched  # noqa: E402

CONSUMED = int(Flag.CONSUMED)

pytestmark = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create", "ignore:Length of IterableDataset"
)


class Numbers(Dataset):
    def __init__(self, length: int = 16) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int):
        return torch.tensor([float(i)])


class NumpyNoise(Numbers):
    """Draws from NumPy's global stream, which torch seeds in each worker."""

    def __getitem__(self, i: int):
        return torch.tensor([i, np.random.rand()])


class OwnNoise(Numbers):
    """Draws from a generator of its own, which every worker has a copy of."""

    def __init__(self, length: int = 48) -> None:
        super().__init__(length)
        self.rng = np.random.default_rng(0)

    def __getitem__(self, i: int):
        return torch.tensor([i, self.rng.random()])


class Unsharded(IterableDataset):
    def __iter__(self):
        return (torch.tensor([i, i + 1]) for i in range(32))


class Sharded(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        own = range(32) if info is None else range(info.id, 32, info.num_workers)
        return (torch.tensor([i, i + 1]) for i in own)


def reseed(worker_id):
    info = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def causes(report):
    return {finding.cause for finding in report.findings}


def live(folder, loader, epochs=3):
    """A loop of the user's own."""
    with ba.Audit(folder) as audit:
        loader = audit.wrap(loader)
        taken = [[batch.tolist() for batch in loader] for _ in range(epochs)]
        return taken, audit.report()


def delivered(folder, source=None):
    """What was delivered, as (epoch, first number of each batch), in order."""
    log = load(folder)
    rows = log.events[(log.events.stage == "delivered") | (log.events["flags"] & CONSUMED != 0)]
    if source is not None:
        rows = rows[rows.source == source]
    return rows.sort_values("ended_ns")


# -- findings -------------------------------------------------------------------------------------


def test_an_iterable_that_ignores_its_worker(tmp_path):
    taken, report = live(tmp_path, DataLoader(Unsharded(), batch_size=4, num_workers=4))
    assert [len(epoch) for epoch in taken] == [32] * 3
    assert report.epochs.delivered.tolist() == [32] * 3
    assert report.epochs.unique.tolist() == [8] * 3
    assert report.epochs.effective_ratio.tolist() == [0.25] * 3
    assert causes(report) == {"unsharded-replica"}


def test_an_iterable_that_is_sharded(tmp_path):
    taken, report = live(tmp_path, DataLoader(Sharded(), batch_size=4, num_workers=4))
    assert [len(epoch) for epoch in taken] == [8] * 3
    assert report.epochs.effective_ratio.tolist() == [1.0] * 3
    assert causes(report) == set()


def test_a_generator_that_the_dataset_holds_is_cloned(tmp_path):
    taken, report = live(tmp_path, DataLoader(OwnNoise(), batch_size=4, num_workers=4))
    noises = {number for batch in taken[0] for _, number in batch}
    assert len(noises) == 12  # of 48
    assert "rng-clone" in causes(report)


def test_a_generator_that_each_worker_seeds_anew(tmp_path):
    loader = DataLoader(OwnNoise(), batch_size=4, num_workers=4, worker_init_fn=reseed)
    taken, report = live(tmp_path, loader)
    assert len({number for epoch in taken for batch in epoch for _, number in batch}) == 3 * 48
    assert causes(report) == set()


def test_numpys_global_stream_is_clean(tmp_path):
    _, report = live(tmp_path, DataLoader(NumpyNoise(48), batch_size=4, shuffle=True, num_workers=4))
    assert causes(report) == set()


# -- one object, one watch ------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_wrapping_twice_is_wrapping_once(tmp_path, workers):
    loader = DataLoader(Numbers(), batch_size=4, num_workers=workers)
    with ba.Audit(tmp_path) as audit:
        first = audit.wrap(loader)
        assert audit.wrap(first) is first
        assert audit.wrap(loader) is first
        assert len(list(first)) == 4
    rows = delivered(tmp_path)
    assert rows.step.tolist() == [0, 1, 2, 3]
    assert (load(tmp_path).events.stage == "produced").sum() == 4


def test_training_and_validation_are_two_sources(tmp_path):
    train, val = Numbers(), Numbers(8)
    with ba.Audit(tmp_path) as audit:
        training = audit.wrap(DataLoader(train, batch_size=4, num_workers=2), name="train")
        validation = audit.wrap(DataLoader(val, batch_size=4), name="val")
        for _ in range(2):
            for _batch in training:
                pass
            for _batch in validation:
                pass
    assert delivered(tmp_path, "train").groupby("epoch").size().tolist() == [4, 4]
    assert delivered(tmp_path, "val").groupby("epoch").size().tolist() == [2, 2]


def test_the_class_is_as_it_was(tmp_path):
    before = DataLoader.__iter__, DataLoader._get_iterator, DataLoader.__init__
    with ba.Audit(tmp_path):
        assert DataLoader.__iter__ is not before[0]
    assert (DataLoader.__iter__, DataLoader._get_iterator, DataLoader.__init__) == before


# -- accelerate -----------------------------------------------------------------------------------


@pytest.fixture
def accelerator():
    accelerate = pytest.importorskip("accelerate")
    yield accelerate.Accelerator(cpu=True)
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("dataset", [Numbers, Sharded])
def test_accelerate(tmp_path, accelerator, dataset, workers):
    shuffle = True if dataset is Numbers else None
    with ba.Audit(tmp_path) as audit:
        loader = audit.wrap(
            DataLoader(dataset(), batch_size=4, shuffle=shuffle, num_workers=workers), name="train"
        )
        prepared = accelerator.prepare(loader)
        assert prepared is not loader
        del loader
        seen = [[batch[:, 0].tolist() for batch in prepared] for _ in range(2)]
    rows = delivered(tmp_path, "train")
    assert rows.groupby("epoch").size().tolist() == [len(epoch) for epoch in seen]
    if dataset is Numbers:
        assert seen[0] != seen[1]
        assert ids_of(tmp_path, rows) == seen


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def ids_of(folder, rows):
    """The ids of the delivered batches, an epoch a list."""
    log = load(folder)
    produced = log.events[log.events.stage == "produced"]
    made = dict(zip(produced.ticket, produced.index, strict=True))
    epochs: dict[int, list] = {}
    for label, row in rows.sort_values(["epoch", "step"]).iterrows():
        event = made[row.ticket] if row.stage == "delivered" else label
        found = log.samples[log.samples.event == event].sort_values("position").id
        epochs.setdefault(row.epoch, []).append(found.tolist())
    return list(epochs.values())


def test_a_loader_over_another_order_is_another_one(tmp_path):
    dataset = Numbers()
    with ba.Audit(tmp_path) as audit:
        audit.wrap(DataLoader(dataset, batch_size=4))
        assert len(list(DataLoader(dataset, batch_size=2))) == 8
        assert len(list(DataLoader(Numbers(), batch_size=4))) == 4
    assert delivered(tmp_path).empty


# -- lightning ------------------------------------------------------------------------------------


def lightning_module():
    lightning = pytest.importorskip("lightning")

    class Recording(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.fitted, self.validated, self.predicted = [], [], []

        def training_step(self, batch, number):
            self.fitted.append((self.current_epoch, number, batch[:, 0].tolist()))
            return self.layer(batch).mean()

        def validation_step(self, batch, number):
            self.validated.append((number, batch[:, 0].tolist()))

        def predict_step(self, batch, number):
            self.predicted.append((number, batch[:, 0].tolist()))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    return Recording()


def trainer(folder, **settings):
    import lightning

    return lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning(tmp_path, workers):
    module = lightning_module()
    with warnings.catch_warnings(), ba.Audit(tmp_path / "run") as audit:
        warnings.simplefilter("ignore")
        settings = {"batch_size": 4, "num_workers": workers}
        train = audit.wrap(DataLoader(Numbers(), shuffle=True, **settings), name="train")
        val = audit.wrap(DataLoader(Numbers(8), **settings), name="val")
        test = audit.wrap(DataLoader(Numbers(12), shuffle=True, **settings), name="predict")
        trainer(tmp_path, num_sanity_val_steps=1).fit(module, train, val)
        trainer(tmp_path).predict(module, test)
    rows = delivered(tmp_path / "run", "train")
    assert list(zip(rows.epoch, rows.step, strict=True)) == [
        (epoch, step) for epoch, step, _ in module.fitted
    ]
    assert flat(ids_of(tmp_path / "run", rows)) == [numbers for _, _, numbers in module.fitted]
    rows = delivered(tmp_path / "run", "val")
    assert flat(ids_of(tmp_path / "run", rows))[-4:] == [numbers for _, numbers in module.validated][-4:]
    rows = delivered(tmp_path / "run", "predict")
    assert flat(ids_of(tmp_path / "run", rows)) == [numbers for _, numbers in module.predicted]
    assert sorted(number for batch in module.predicted for number in batch[1]) == list(range(12))


# -- an audit of a whole program ------------------------------------------------------------------


@pytest.fixture
def everything(tmp_path):
    """An audit that takes whatever comes, as `batchaudit run` has one."""
    watched = Watched(tmp_path, 0, everything=True)
    consumers.begin(watched)
    yield watched
    consumers.end(watched)
    watched.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_whatever_is_iterated_over_is_adopted(tmp_path, everything, workers):
    train = DataLoader(TensorDataset(torch.arange(12)), batch_size=4, num_workers=workers)
    val = DataLoader(Numbers(8), batch_size=4, num_workers=workers)
    never = DataLoader(Numbers())
    kind = type(train)
    for _ in range(2):
        assert [batch[0].tolist() for batch in train] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        with torch.no_grad():
            assert len(list(val)) == 2
    assert type(train) is kind is DataLoader
    assert never._iterator is None
    everything.close()
    log = load(tmp_path)
    first = test_whatever_is_iterated_over_is_adopted.__code__.co_firstlineno
    names = sorted(log.events.source.unique(), key=lambda name: int(name.split(":")[1]))
    assert [name.split(":")[0].split("/")[-1] for name in names] == ["test_torch.py"] * 2
    assert [int(name.split(":")[1]) - first for name in names] == [2, 3]
    assert delivered(tmp_path, names[0]).groupby("epoch").size().tolist() == [3, 3]
    assert delivered(tmp_path, names[1]).groupby("epoch").size().tolist() == [2, 2]


class Doubling(DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            yield batch * 2


def test_an_adopted_loader_of_the_user_s_class_does_what_it_does_once(tmp_path, everything):
    loader = Doubling(Numbers(4), batch_size=2)
    assert [batch.tolist() for batch in loader] == [[[0.0], [2.0]], [[4.0], [6.0]]]
    everything.close()
    assert len(delivered(tmp_path)) == 2


def test_a_copy_of_an_adopted_loader_is_another_one(tmp_path, everything):
    loader = DataLoader(Unsharded(), batch_size=4)
    assert len(list(loader)) == len(list(copy.copy(loader))) == 8
    everything.close()
    assert len(delivered(tmp_path)) == 16


class Nested(IterableDataset):
    def __iter__(self):
        return iter(DataLoader(Numbers(6), batch_size=2))


def test_a_loader_within_a_worker_is_its_dataset_s_own_affair(tmp_path, everything):
    assert len(list(DataLoader(Nested(), batch_size=None, num_workers=1))) == 3
    everything.close()
    events = load(tmp_path).events
    assert events.source.nunique() == 1
    assert (events.stage == "delivered").sum() == (events.stage == "produced").sum() == 3
