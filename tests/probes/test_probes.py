"""Probes with real sources and workers: what is logged under each, and that none of it reaches the report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

import batchaudit as ba
from batchaudit import probes
from batchaudit.errors import UsageError
from batchaudit.journal.manifest import probed
from batchaudit.probes import plan
from batchaudit.strategies.spec import Strategy, parse

ROWS = np.arange(24 * 4, dtype=np.float64).reshape(24, 4)


class Batches:
    """Eight batches of three rows, with noise from a generator of the object's own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int):
        return ROWS[3 * index : 3 * index + 3] + self.rng.normal(size=(3, 4))


class Still(Batches):
    def __getitem__(self, index: int):
        return ROWS[3 * index : 3 * index + 3]


class Rows(Dataset):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, index: int):
        return torch.tensor(ROWS[index] + self.rng.normal(size=4))


def loader():
    return DataLoader(Rows(), batch_size=4, num_workers=2, shuffle=True)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.tensor(ROWS))


def endless():
    while True:
        yield from np.split(ROWS, 8)


@pytest.fixture
def probing(tmp_path):
    """Audits, and returns what each probe logged, and why others could not be made."""

    def run(make, strategy, **options):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        report = ba.audit(make, [strategy], out=tmp_path / "run", **{"epochs": 2, **options})
        assert {run.strategy for run in report.runs} == {strategy}
        events = ba.load(tmp_path / "run").events
        named = events["strategy"].astype(str).map(probed)
        made = {one[0]: events[named == one] for one in named.dropna().unique()}
        manifest = json.loads((tmp_path / "run" / "manifest-0000.json").read_text())
        return made, manifest["probes"]

    return run


def contents(events, column):
    made = events[(events["stage"] == "produced") & (events["flags"] & 1 == 0)]
    return made.groupby(column, sort=False)["digest_lo"].apply(list)


@pytest.mark.parametrize(
    ("make", "strategy", "workers"), [(Batches, "fork:3", 3), (loader, "torch:2", 2), (loader, "as-is", 2)]
)
def test_every_worker_makes_the_same_item(probing, make, strategy, workers):
    made, _ = probing(make, strategy, probes=["same-index"])
    assert list(made) == ["same-index"]
    by_worker = contents(made["same-index"], "pid")
    assert [len(steps) for steps in by_worker] == [4] * workers
    assert len(set(map(tuple, by_worker))) == 1, "copies of one generator draw alike"
    assert len(set(by_worker.iloc[0])) == 4


def test_a_dynamic_pool_is_spread(probing):
    import keras

    class Fast(Batches, keras.utils.PyDataset):
        def __init__(self) -> None:
            keras.utils.PyDataset.__init__(self, workers=2, use_multiprocessing=True)
            Batches.__init__(self)

    made, _ = probing(Fast, "as-is", probes=["same-index"])
    assert sorted(len(steps) for steps in contents(made["same-index"], "pid"))[0] >= 3


def test_an_order_its_reverse_and_the_order_again(probing):
    made, _ = probing(Batches, "fork:2", probes=["orders"])
    events = made["orders"]
    produced = events[events["stage"] == "produced"].set_index("ticket")
    delivered = events[events["stage"] == "delivered"]
    index = produced["index"].loc[delivered["ticket"]].to_numpy()
    first, reverse, again = (list(index[delivered["epoch"] == epoch]) for epoch in range(3))
    assert first == again == reverse[::-1] and sorted(first) == list(range(8)) and first != sorted(first)


def test_the_orders_of_a_loader_s_samples(probing, tmp_path):
    probing(loader, "torch:2", probes=["orders"])
    log = ba.load(tmp_path / "run")
    events = log.events[log.events["strategy"] == "probe orders, torch:2"]
    made = events[events["stage"] == "produced"]
    ids = pd.Series(log.samples.set_index("event")["id"].loc[made.index].to_numpy(), made["ticket"])
    told = events[events["stage"] == "delivered"].sort_values(["epoch", "step"])
    first, reverse, again = (list(ids.loc[rows]) for _, rows in told.groupby("epoch")["ticket"])
    assert first == again == reverse[::-1] and sorted(first) == list(range(16)) and first != sorted(first)


def test_one_item_alone_and_after_another(probing):
    made, _ = probing(Batches, "fork:2", probes=["accesses"])
    produced = made["accesses"][made["accesses"]["stage"] == "produced"]
    assert produced["index"].tolist() == [1, 0, 0, 0, 1] and produced["pid"].nunique() == 2
    assert os.getpid() not in set(produced["pid"])


def test_workers_are_doubled_where_they_iterate(probing):
    made, _ = probing(endless, "fork:2", steps_per_epoch=16, probes=["workers-doubled", "same-index"])
    assert list(made) == ["workers-doubled"]
    assert made["workers-doubled"]["pid"].nunique() == 5  # and the consumer


def test_torch_s_workers_are_kept_and_ended(probing):
    made, _ = probing(
        lambda: DataLoader(Stream(), batch_size=4, num_workers=2), "torch:2", probes=["persistent", "queue"]
    )
    assert list(made) == ["persistent", "queue"]
    produced = made["persistent"][made["persistent"]["stage"] == "produced"]
    assert produced["pid"].nunique() == 2
    assert set(made["persistent"]["epoch"][made["persistent"]["stage"] == "delivered"]) == {0, 1, 2}


def test_nothing_is_probed_that_could_tell_nothing(probing):
    assert set(probing(Still, "fork:2")[0]) == {"accesses", "draws", "again", "beyond"}
    assert set(probing(Still, "serial")[0]) == {"accesses", "draws", "beyond"}
    assert probing(Batches, "serial", probes=False)[0] == {}


def test_only_what_is_asked_for_is_probed(probing):
    assert set(probing(Batches, "fork:2", probes=["orders", "again"])[0]) == {"orders", "again"}


class Refusing(Batches):
    """Works where it was made, and in forked workers."""

    def __reduce__(self):
        raise TypeError("no")


def test_what_cannot_be_made_is_noted_and_harms_nothing(probing):
    made, reasons = probing(Refusing, "fork:2", probes=["same-index", "start"])
    assert list(made) == ["same-index"]
    assert "pickling" in reasons["probe start, fork:2"]


SCRIPT = """
import numpy as np
import batchaudit as ba

class Batches:
    def __init__(self):
        self.rng = np.random.default_rng(5)
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return np.full((3, 4), index) + self.rng.normal(size=(3, 4))

{guard}print("main runs")
{guard}ba.audit(Batches, ["fork:2"], epochs=2, out={out!r}, probes=["same-index", "start"], advise=False)
"""


@pytest.mark.parametrize(
    ("guard", "as_file", "started"),
    [("if __name__ == '__main__': ", True, True), ("", True, False), ("", False, False)],
    ids=["a guarded script", "a script without a guard", "a notebook"],
)
def test_a_main_module_that_would_run_again_is_not_given_to_a_fresh_interpreter(
    guard, as_file, started, tmp_path
):
    text = SCRIPT.format(guard=guard, out=str(tmp_path / "run"))
    (tmp_path / "script.py").write_text(text)
    program = [str(tmp_path / "script.py")] if as_file else ["-c", text]
    here = str(Path(ba.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *program], env={**os.environ, "PYTHONPATH": here}, capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "main runs\n" and done.stderr == ""
    logged = ba.load(tmp_path / "run").events["strategy"].astype(str).map(probed)
    assert (("start", "fork:2") in set(logged.dropna())) == started


def test_probes_end_when_their_time_is_over(probing):
    class Slow(Batches):
        def __getitem__(self, index: int):
            time.sleep(0.02)
            return super().__getitem__(index)

    _, reasons = probing(Slow, "fork:2", probes=["orders", "again"], probe_seconds=0.05)
    assert "time" in reasons["probe orders, fork:2"] and "probe_seconds" in reasons["probe again, fork:2"]


def test_names_are_checked():
    assert probes.check(True) == frozenset(probes.NAMES) and probes.check(False) == frozenset()
    with pytest.raises(UsageError, match="no probe 'orderz': expected one of accesses"):
        ba.audit(Batches, ["serial"], probes=["orderz"])
    with pytest.raises(UsageError, match="probe_seconds=-1"):
        ba.audit(Batches, ["serial"], probe_seconds=-1)


def test_as_is_is_driven_with_the_source_s_own_settings():
    kept = DataLoader(Rows(), num_workers=3, persistent_workers=True, prefetch_factor=4)
    assert str(probes.concrete(kept, parse("as-is"))) == "torch:3,prefetch=4,persistent"
    assert probes.concrete(kept, parse("torch:2")) == Strategy("torch", 2)
    assert str(probes.concrete(ROWS, parse("as-is"))) == "as-is"


def test_a_plan_looks_no_further_than_it_goes():
    assert [plan.Plan([4, 2]).item(index) for index in range(5)] == [4, 2, 4, 2, 4]
