from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

from lightning.pytorch.utilities.combined_loader import CombinedLoader  # noqa: E402
from lightning.pytorch.utilities.model_helpers import is_overridden  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import batchaudit as ba  # noqa: E402
from tests.sources.delivered import epochs, flat, given, logged  # noqa: E402

SIZE = 8

pytestmark = pytest.mark.filterwarnings("ignore")


def digits(begin, end):
    from sklearn.datasets import load_digits

    data = load_digits()
    return TensorDataset(
        torch.tensor(data.data[begin:end], dtype=torch.float32), torch.tensor(data.target[begin:end])
    )


class Digits(lightning.LightningDataModule):
    """Real digits; each epoch's loader shuffles, and may have workers."""

    def __init__(self, workers=0):
        super().__init__()
        self.workers = workers
        self.asked = 0
        self.began = []

    def setup(self, stage):
        self.began.append(stage)

    def train_dataloader(self):
        self.asked += 1
        order = torch.Generator().manual_seed(self.asked)
        return DataLoader(
            digits(0, 64), batch_size=SIZE, shuffle=True, generator=order, num_workers=self.workers
        )

    def val_dataloader(self):
        return DataLoader(digits(64, 104), batch_size=SIZE)

    def test_dataloader(self):
        return [DataLoader(digits(104, 120), batch_size=SIZE), DataLoader(digits(120, 144), batch_size=SIZE)]

    def predict_dataloader(self):
        return DataLoader(digits(144, 160), batch_size=SIZE)


class Classifier(lightning.LightningModule):
    """Keeps what it is given, epoch by epoch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(64, 10)
        self.given: dict[str, list[list[Any]]] = {}
        self.looked = 0

    def note(self, name, batch):
        self.given[name][-1].append([leaf.clone() for leaf in batch])

    def begin(self, name):
        self.given.setdefault(name, []).append([])

    def on_train_epoch_start(self):
        self.begin("train")

    def on_validation_epoch_start(self):
        if not self.trainer.sanity_checking:
            self.begin("val")

    def on_test_epoch_start(self):
        self.begin("test.0")
        self.begin("test.1")

    def on_predict_epoch_start(self):
        self.begin("predict")

    def training_step(self, batch, _):
        self.note("train", batch)
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, _):
        if self.trainer.sanity_checking:
            self.looked += 1
        else:
            self.note("val", batch)

    def test_step(self, batch, _, dataloader_idx=0):
        self.note(f"test.{dataloader_idx}", batch)

    def predict_step(self, batch, _):
        self.note("predict", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(folder, **kwargs):
    settings = {
        "max_epochs": 2, "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False,
        "enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": folder,
    }  # fmt: skip
    return lightning.Trainer(**{**settings, **kwargs})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def fitted(data, folder, **kwargs):
    model = Classifier()
    trainer(folder.parent, **kwargs).fit(model, datamodule=data)
    return model


def assert_same(left, right):
    assert list(left.given) == list(right.given)
    for name in left.given:
        assert given(*left.given[name]) == given(*right.given[name])
    for one, other in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"reload_dataloaders_every_n_epochs": 1},
        {"reload_dataloaders_every_n_epochs": 1, "workers": 2},
        {"limit_train_batches": 5, "limit_val_batches": 3},
        {"val_check_interval": 0.5, "num_sanity_val_steps": 0},
    ],
    ids=["plain", "reloaded", "reloaded, 2 workers", "limited", "validated twice an epoch"],
)
def test_the_module_gets_what_it_gets_unwatched_and_what_the_log_says(folder, settings):
    settings = dict(settings)
    workers = settings.pop("workers", 0)
    plain = fitted(Digits(workers), folder, **settings)
    with ba.Audit(folder) as audit:
        model = fitted(audit.wrap(Digits(workers)), folder, **settings)
        report = audit.report()
    assert_same(model, plain)
    for name in ("train", "val"):
        assert epochs(logged(folder, name)) == given(*model.given[name])
    assert set(report.epochs["source"]) == {"train", "val"}
    if workers:
        assert logged(folder, "train").produced["pid"].nunique() >= 2


def test_the_sanity_check_is_a_look(folder):
    with ba.Audit(folder) as audit:
        model = fitted(audit.wrap(Digits()), folder, max_epochs=1)
    assert model.looked == 2
    found = logged(folder, "val")
    assert epochs(found) == given(*model.given["val"])
    assert len(found.produced) == model.looked + 5


def test_testing_and_predicting(folder):
    with ba.Audit(folder) as audit:
        data = audit.wrap(Digits(), name="digits")
        model = Classifier()
        trainer(folder.parent).test(model, datamodule=data)
        trainer(folder.parent).predict(model, datamodule=data)
    for name in ("test.0", "test.1", "predict"):
        assert epochs(logged(folder, f"digits.{name}")) == given(*model.given[name])


def test_a_second_fit_goes_on_with_the_epochs(folder):
    with ba.Audit(folder) as audit:
        data = audit.wrap(Digits())
        models = [fitted(data, folder, max_epochs=1) for _ in range(2)]
    assert epochs(logged(folder, "train")) == given(*(model.given["train"][0] for model in models))


class Several(Digits):
    def train_dataloader(self):
        return {
            "left": DataLoader(digits(0, 32), batch_size=SIZE),
            "right": DataLoader(digits(32, 48), batch_size=SIZE),
        }

    def val_dataloader(self):
        return CombinedLoader([DataLoader(digits(64, 80), batch_size=SIZE), None], "sequential")

    def predict_dataloader(self):
        return None


def test_loaders_in_a_dict_have_its_names(folder):
    class Both(Classifier):
        def training_step(self, batch, _):
            for name, part in batch.items():
                self.note(name, part)
            return torch.nn.functional.cross_entropy(self.layer(batch["left"][0]), batch["left"][1])

        def on_train_epoch_start(self):
            self.begin("left")
            self.begin("right")

    with ba.Audit(folder) as audit:
        data = audit.wrap(Several())
        model = Both()
        trainer(folder.parent, limit_val_batches=0, max_epochs=1).fit(model, datamodule=data)
    assert epochs(logged(folder, "train.left")) == given(*model.given["left"])
    # Lightning goes round the shorter one twice in an epoch.
    assert flat(epochs(logged(folder, "train.right"))) == flat(given(*model.given["right"]))


def test_a_combination_of_loaders_is_one_of_watched_ones(folder):
    with ba.Audit(folder) as audit:
        data = audit.wrap(Several())
        combined = data.val_dataloader()
        assert isinstance(combined, CombinedLoader)
        assert combined.flattened[1] is None
        seen = list(combined.flattened[0])
        assert data.predict_dataloader() is None
    assert epochs(logged(folder, "val.0")) == given(seen)


def test_a_data_module_of_datasets(folder):
    with ba.Audit(folder) as audit:
        source = lightning.LightningDataModule.from_datasets(digits(0, 32), batch_size=SIZE)
        data = audit.wrap(source)
        assert is_overridden("train_dataloader", data)
        assert not is_overridden("val_dataloader", data)
        model = fitted(data, folder)
    assert epochs(logged(folder, "train")) == given(*model.given["train"])


def test_the_twin_is_the_data_module(folder):
    with ba.Audit(folder) as audit:
        source = Digits()
        data = audit.wrap(source)
        assert isinstance(data, Digits)
        assert audit.wrap(source) is data
        assert audit.wrap(data) is data
        for name in ("train_dataloader", "val_dataloader", "setup"):
            assert is_overridden(name, data)
        assert not is_overridden("prepare_data", data)
        fitted(data, folder, max_epochs=1)
        assert source.began == ["fit"]
        assert source.trainer is data.trainer
        data.val_dataloader = list
        assert source.val_dataloader is list
        assert type(copy.deepcopy(data)) is Digits


def test_two_data_modules_have_names_apart(folder):
    with ba.Audit(folder) as audit:
        for data in (audit.wrap(Digits()), audit.wrap(Digits())):
            list(data.train_dataloader())
        report = audit.report()
    assert set(report.epochs["source"]) == {"train", "train #2"}


def test_what_a_loader_raises_comes_through(folder):
    class Fails(Digits):
        def train_dataloader(self):
            raise LookupError("no digits")

    with ba.Audit(folder) as audit, pytest.raises(LookupError, match="no digits"):
        audit.wrap(Fails()).train_dataloader()


def test_after_the_audit_it_goes_on_unwatched(folder):
    with ba.Audit(folder) as audit:
        data = audit.wrap(Digits())
    fitted(data, folder, max_epochs=1)
    assert not list(folder.glob("**/train*"))


def test_a_data_module_goes_with_its_last_reference(folder):
    with ba.Audit(folder) as audit:
        source = Digits()
        data = audit.wrap(source)
        gone = weakref.ref(source)
        gc.collect()
        gc.disable()
        try:
            del source, data
            assert gone() is None
        finally:
            gc.enable()
