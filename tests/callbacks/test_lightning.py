"""The callback in real trainings of Lightning, in processes of their own: Keras is loaded beside other tests."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchaudit.callbacks.watch import FIGURES

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("lightning"), reason="needs lightning")

TRAINING = """
import json, sys, warnings
from pathlib import Path
import torch
import {package} as pl
from {package}.loggers import CSVLogger
import batchaudit as ba

folder = Path(sys.argv[1])
seen = []

class Stream(torch.utils.data.IterableDataset):
    def __init__(self, shards, start):
        self.shards, self.start = shards, start

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        first, step = (info.id, info.num_workers) if info and self.shards else (0, 1)
        return iter([torch.tensor([float(self.start + number)]) for number in range(first, 48, step)])

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def on_train_epoch_start(self):
        seen.append([])

    def training_step(self, batch, _):
        seen[-1].append(sorted(batch[:, 0].tolist()))
        return self.layer(batch / 48).square().mean()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)

def loader(shards, start=0):
    return torch.utils.data.DataLoader(Stream(shards, start), batch_size=4, num_workers=2)

trainer_settings = dict(max_epochs=3, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
                        enable_checkpointing=False, default_root_dir=folder)
said = dict(caught=None)
with ba.Audit(folder / "run") as audit, warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
{training}
said["loaded"] = "pandas" in sys.modules
said["warned"] = [str(one.message) for one in warned if one.category.__name__ == "BatchauditWarning"]
said["seen"] = seen
print(json.dumps(said))
"""

FIT = """
    trainer = pl.Trainer(**trainer_settings, logger=CSVLogger(folder, version=0), {more})
    trainer.callbacks.append(audit.callback(on_finding={on_finding!r}))
    try:
        trainer.fit(Model(), audit.wrap(loader({shards})), audit.wrap(loader(True, start=1000), name="val"))
    except ba.FindingError as error:
        said["caught"] = str(error)
    said["metrics"] = {{key: float(value) for key, value in trainer.callback_metrics.items()}}
"""


def train(folder: Path, training: str, package: str = "lightning.pytorch"):
    code = TRAINING.format(package=package, training=training)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=_with_us(), check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _with_us() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def logged(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader((folder / "lightning_logs" / "version_0" / "metrics.csv").open())
    return [row for row in rows if row["audit/effective_ratio"]]


def repeated(epoch: list[list[float]]) -> float:
    """The share of samples that repeat an earlier one, of what the model itself was given."""
    samples = [sample for batch in epoch for sample in batch]
    return 1 - len(set(samples)) / len(samples)


@pytest.mark.parametrize("shards", [False, True], ids=["replicas", "shards"])
@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_loggers_have_the_figures_of_every_epoch(tmp_path, package, shards):
    said = train(tmp_path, FIT.format(on_finding="warn", shards=shards, more=""), package)
    rows = logged(tmp_path)
    assert len(rows) == len(said["seen"]) == 3
    for row, epoch in zip(rows, said["seen"], strict=True):
        assert float(row["audit/duplicate_fraction"]) == pytest.approx(repeated(epoch))
        assert repeated(epoch) == (0.0 if shards else 0.5)
        assert float(row["audit/effective_ratio"]) == (1.0 if shards else 0.5)
        assert float(row["audit/seconds_waited"]) > 0
        assert set(FIGURES) <= set(row)
    assert set(FIGURES) <= set(said["metrics"])
    assert len(said["warned"]) == (0 if shards else 1)
    assert not said["loaded"]


def test_an_error_stops_the_training_after_its_first_epoch(tmp_path):
    said = train(tmp_path, FIT.format(on_finding="raise", shards=False, more=""))
    assert "unsharded-replica" in said["caught"]
    assert len(said["seen"]) == 1


def test_a_fast_run_of_one_batch(tmp_path):
    said = train(tmp_path, FIT.format(on_finding="raise", shards=True, more="fast_dev_run=True"))
    assert said["caught"] is None
    assert said["metrics"]["audit/effective_ratio"] == 1.0


UNWATCHED = """
    trainer = pl.Trainer(**trainer_settings, logger=False, callbacks=[audit.callback(on_finding="raise")])
    trainer.fit(Model(), loader(False))
    said["metrics"] = {key: float(value) for key, value in trainer.callback_metrics.items()}
"""


def test_without_a_watched_source_training_goes_on(tmp_path):
    said = train(tmp_path, UNWATCHED)
    assert len(said["seen"]) == 3
    assert all(math.isnan(said["metrics"][name]) for name in FIGURES)
    assert len(said["warned"]) == 1


BOTH = """
    import keras
    try:
        audit.callback()
    except ba.UsageError as error:
        said["caught"] = str(error)
    assert isinstance(audit.callback("lightning"), pl.Callback)
    assert not isinstance(audit.callback("keras"), pl.Callback)
    import pickle
    again = pickle.loads(pickle.dumps(audit.callback("lightning")))
    assert type(again) is type(audit.callback("lightning"))
"""


def test_with_both_frameworks_loaded_it_asks_which_one_trains(tmp_path):
    pytest.importorskip("keras")
    assert 'framework="lightning"' in train(tmp_path, BOTH)["caught"]


NEITHER = """
import sys
import batchaudit as ba
with ba.Audit(sys.argv[1]) as audit:
    for framework in (None, "keras", "lightning"):
        try:
            audit.callback(framework)
        except ba.UsageError as error:
            print(error)
"""


def test_without_a_framework_it_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NEITHER, str(tmp_path)],
        capture_output=True,
        text=True,
        env=_with_us(),
        check=True,
    )
    assert [line.split(" imported yet")[0] for line in done.stdout.splitlines()] == [
        "neither Keras nor Lightning is",
        "keras is not",
        "lightning is not",
    ]
