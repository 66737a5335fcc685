"""The runner itself, on small test files with Keras' own adapter; and on the real ones, where they lie somewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).with_name("run.py")
PLACE = "keras/src/trainers/data_adapters/generator_data_adapter_test.py"
PEERS = os.environ.get("BATCHAUDIT_PEERS")

PASSING = """
import numpy as np
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

def batches():
    for number in range(3):
        yield np.full((2, 4), number), np.full((2, 1), number)

def test_passes():
    adapter = GeneratorDataAdapter(batches())
    assert [int(y[0, 0]) for _, y in adapter.get_numpy_iterator()] == [0, 1, 2]
"""
FAILING_UNWATCHED = """
def test_fails_anyway():
    raise ValueError("it never worked")
"""
# A generator that drives another is another object: what asks for the very same one sees the wrapper.
NEWLY_FAILING = """
def test_sees_the_wrapper():
    source = batches()
    next(GeneratorDataAdapter(source).get_numpy_iterator())
    assert source.gi_frame.f_lasti in (), "drawn from" if source.gi_running else "idle"
"""
UNWATCHED = """
def test_hands_nothing_over():
    assert True
"""
DYING = """
def test_dies_when_watched():
    import os, sys
    GeneratorDataAdapter(batches())
    if "watching" in sys.modules:
        os._exit(3)
"""


def _run(folder: Path, tests: str) -> tuple[int, dict[str, Any]]:
    """Runs the command over one file of a peer; returns the exit code and what it says of the file."""
    path = folder / PLACE
    path.parent.mkdir(parents=True)
    path.write_text(tests)
    done = _command(str(folder), "--only", path.name, "--json", "--timeout", "300")
    return done.returncode, json.loads(done.stdout)["files"][0]


def _command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_BACKEND": "numpy", **environment}
    return subprocess.run(
        [sys.executable, str(RUN), *args], capture_output=True, text=True, env=environment, check=False
    )
