"""What is worth comparing with what was asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

from batchaudit.timing import candidates
from tests.loaders import Passes, Table, numbers

MODULE = importlib.import_module("batchaudit.timing.candidates")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(MODULE, "cores", lambda: 2)


def names(source):
    found, lacking = candidates(source)
    return [str(one) for one in found], lacking


@pytest.mark.parametrize("make", [Table, numbers, Passes])
def test_a_python_source(make):
    pytest.importorskip("tensorflow")
    found, lacking = names(make())
    assert found == ["serial", "threads:4", "fork:4", "tf.data:4"]
    assert lacking == {
        "torch:4": f"its workers are a DataLoader's, and the source is a {type(make()).__name__}"
    }


def test_without_tensorflow_tf_data_is_lacking(monkeypatch):
    spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else spec(name)
    )
    found, lacking = names(Table())
    assert found == ["serial", "threads:4", "fork:4"]
    assert "pip install 'batchaudit[tensorflow]'" in lacking["tf.data:4"]


@pytest.mark.parametrize(("cores", "workers"), [(1, 4), (4, 4), (7, 7), (96, 16)])
def test_as_many_workers_as_cores_but_no_hundred(monkeypatch, cores, workers):
    monkeypatch.setattr(MODULE, "cores", lambda: cores)
    assert f"threads:{workers}" in names(Table())[0]


def test_keras_has_workers_of_its_own():
    frameworks = pytest.importorskip("tests.strategies.frameworks", exc_type=ImportError)
    assert names(frameworks.PyTable())[0] == ["serial", "keras-threads:4", "keras-processes:4", "tf.data:4"]
    expected = ["serial", "tf_keras-threads:4", "tf_keras-processes:4", "tf.data:4"]
    assert names(frameworks.TfTable())[0] == expected


def test_a_dataset_is_only_driven_as_it_is():
    tf = pytest.importorskip("tensorflow")
    found, lacking = names(tf.data.Dataset.range(8))
    assert found == []
    assert list(lacking) == ["torch:4"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_has_workers_of_torch(workers):
    torch = pytest.importorskip("torch")
    found, lacking = names(torch.utils.data.DataLoader(range(8), num_workers=workers))
    assert found == ["serial", "torch:4"]
    assert lacking == {"tf.data:4": "a DataLoader runs workers of its own"}


def test_nothing_is_imported_to_find_out():
    before = set(sys.modules)
    candidates(Table())
    assert set(sys.modules) == before
