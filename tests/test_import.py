"""Importing batchaudit must change nothing: it loads no framework, no pandas, none of NumPy's streams."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

import batchaudit

HEAVY = {"pandas", "tensorflow", "keras", "tf_keras", "torch", "jax", "numpy.random", "matplotlib", "scipy"}

# What runs inside the user's program and its workers, before and beside the training.
WATCHING = [
    "batchaudit",
    "batchaudit.capture.recorder",
    "batchaudit.journal.writer",
    "batchaudit.sources",
    "batchaudit.strategies",
    "batchaudit.strategies.processes",
    "batchaudit.strategies.threads",
    "batchaudit.auditing",
]


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(module: str) -> set[str]:
    return set(in_a_fresh_process(f"import sys, {module}; print(*sys.modules)").split())


@pytest.mark.parametrize("module", WATCHING)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert not HEAVY & loaded_by(module)


def test_what_stands_between_a_shell_and_its_script_loads_no_numpy() -> None:
    # Its threads would take the signals that are held back for the script.
    code = """
import sys
from batchaudit.cli.main import main
from batchaudit.running import supervisor
supervisor.supervise = lambda command, environment: sys.exit("numpy" in sys.modules)
key, out = sys.argv[1] + "/key", sys.argv[1] + "/out"
open(key, "wb").write(bytes(32))
sys.argv = ["batchaudit", "run", "--max-bytes", "1M", "--key-file", key, "--out", out, "-m", "this"]
main()
"""
    with tempfile.TemporaryDirectory() as folder:
        assert subprocess.run([sys.executable, "-c", code, folder], check=False).returncode == 0


def test_the_check_would_see_a_heavy_import() -> None:
    assert {"pandas", "numpy.random"} <= loaded_by("pandas")


def test_importing_draws_nothing() -> None:
    before_and_after = (
        "import random; a = random.getstate(); import batchaudit.auditing; print(a == random.getstate())"
    )
    assert in_a_fresh_process(before_and_after).strip() == "True"


@pytest.mark.parametrize("name", batchaudit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(batchaudit, name)
    assert value.__name__.rpartition(".")[2] == name
    assert value.__doc__


def test_the_public_names_are_few_sorted_and_listed() -> None:
    assert len(batchaudit.__all__) <= 16
    assert batchaudit.__all__ == sorted(batchaudit.__all__)
    assert set(batchaudit.__all__) <= set(dir(batchaudit))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'batches'"):
        batchaudit.batches  # noqa: B018
