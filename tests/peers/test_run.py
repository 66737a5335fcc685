"""The runner, on small tests of Keras' adapter and torch's loader; on the real ones where BATCHAUDIT_PEERS says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import run

PLACE = "keras/src/trainers/data_adapters/generator_data_adapter_test.py"
TORCHS = "test/test_dataloader.py"
PEERS = os.environ.get("BATCHAUDIT_PEERS")

PASSES = """
import inspect, os, sys
import numpy as np
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter

def batches():
    for number in range(3):
        yield np.full((2, 4), number), np.full((2, 1), number)

def test_passes():
    adapter = GeneratorDataAdapter(batches())
    assert [int(y[0, 0]) for _, y in adapter.get_numpy_iterator()] == [0, 1, 2]
"""
FAILS_ANYWAY = """
def test_fails_anyway():
    GeneratorDataAdapter(batches())
    raise ValueError("it never worked")
"""
# Who asks the generator for a batch is the one thing that must be different.
SEES_THE_WRAPPER = """
def test_sees_the_wrapper():
    def callers():
        yield ([frame.filename for frame in inspect.stack(context=0)],)
    (files,) = GeneratorDataAdapter(callers())._first_batches[0]
    assert not [file for file in files if file.endswith("recorder.py")], "somebody is watching"
"""
DIES_WHEN_WATCHED = """
def test_dies_when_watched():
    if "watching" in sys.modules:
        os._exit(3)

def test_after_it():
    pass
"""
HANDS_NOTHING_OVER = """
def test_hands_nothing_over():
    pass
"""
A_LOADER = """
import torch
from torch import multiprocessing
from torch.utils.data import DataLoader, TensorDataset

fresh = multiprocessing.get_context("spawn")

class FreshProcess(fresh.Process):
    pass

def read():
    loader = DataLoader(TensorDataset(torch.arange(6)), batch_size=2)
    assert [batch.tolist() for batch, in loader] == [[0, 1], [2, 3], [4, 5]]

def test_here():
    read()

def test_in_a_fresh_process():
    process = FreshProcess(target=read)
    process.start()
    process.join()
    assert process.exitcode == 0

def test_whose_class_it_is():
    assert type(DataLoader([1])) is DataLoader
"""
BATCHES = {"test_passes": 3, "test_fails_anyway": 2}  # the adapter looks at two before it begins


def test_what_passes_unwatched_and_watched_is_good(tmp_path):
    code, result = _run(tmp_path, PASSES + FAILS_ANYWAY)
    assert (code, result["tests"], result["passed_unwatched"], result["passed_watched"]) == (0, 2, 1, 1)
    assert list(result["failing_unwatched"]) == ["test_fails_anyway"]
    assert "it never worked" in result["failing_unwatched"]["test_fails_anyway"]
    assert result["newly_failing"] == {}
    assert result["sources"] == {"generator": 2}
    assert result["tests_watched"] == 2
    assert result["batches"] == sum(BATCHES.values())


def test_a_live_audit_sees_what_is_wrapped_in_it(tmp_path):
    code, result = _run(tmp_path, PASSES, way="wrapped")
    assert (code, result["way"], result["sources"]) == (0, "wrapped", {"generator": 1})
    assert result["batches"] == 3


@pytest.mark.parametrize(
    ("way", "loaders", "newly_failing"),
    [("adopted", 2, []), ("wrapped", 3, ["test_whose_class_it_is"])],
)
def test_loaders_are_watched_here_and_in_the_processes_of_a_test(tmp_path, way, loaders, newly_failing):
    pytest.importorskip("torch")
    code, result = _run(tmp_path, A_LOADER, way=way, place=TORCHS)
    assert code == bool(newly_failing)
    assert list(result["newly_failing"]) == newly_failing
    assert result["sources"] == {"DataLoader": loaders}
    assert (result["batches"], result["delivered"], result["troubles"]) == (6, 6, {})


def test_what_newly_fails_is_named_and_is_an_error(tmp_path):
    code, result = _run(tmp_path, PASSES + SEES_THE_WRAPPER + DIES_WHEN_WATCHED)
    assert (code, result["passed_unwatched"], result["passed_watched"]) == (1, 4, 1)
    account = result["newly_failing"].pop("test_sees_the_wrapper")
    assert "AssertionError: somebody is watching" in account.partition("\n")[0]
    assert result["newly_failing"] == {
        "test_dies_when_watched": "never ended",
        "test_after_it": "never ended",
    }
    assert "exit code 3" in result["troubles"]["watched"]
    assert result["batches"] == 4  # what was written before the process died is there


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (HANDS_NOTHING_OVER, "no source was watched"),
        ("import there_is_no_such_module", "no test passed unwatched"),
    ],
)
def test_a_file_that_proves_nothing_is_an_error(tmp_path, tests, reason):
    code, result = _run(tmp_path, tests)
    assert (code, result["vacuous"], result["newly_failing"]) == (1, reason, {})


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert run.main([str(tmp_path), "--only", "image_test"]) == 2
    assert "tf_keras/preprocessing/image_test.py" in capsys.readouterr().err
    assert run.main([str(tmp_path), "--only", "no_such_test"]) == 2


@pytest.mark.parametrize("checkout", [".", "keras-master"])
def test_a_file_is_found_in_a_checkout_and_beside_others(tmp_path, checkout):
    path = _written(tmp_path / checkout, "")
    assert run.find(tmp_path, PLACE) == path
    assert run.find(tmp_path, "tf_keras/preprocessing/image_test.py") is None


def test_what_hangs_is_ended_with_what_it_started():
    command = ["bash", "-c", "sleep 1000 & echo $!; wait"]
    hanging = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    with hanging:
        assert hanging.stdout is not None
        hanging.stdout.readline()
        assert not run.wait(hanging, timeout=0.01)
        # The child holds the other end of this pipe for as long as it lives.
        assert hanging.stdout.read() == b""


def test_the_table_says_what_newly_failed_and_why(capsys):
    failed = {"test_a": "assert 1 == 2\n    assert one == two\nE   assert 1 == 2\n", "test_b": "never ended"}
    result = run.Result("some_test.py", "entered", 5, 1, 4, 2, {}, failed, [], {"list": 3}, {}, 1, 7, 6)
    run.show([result])
    table = capsys.readouterr().out
    assert "newly failing: test_a: assert 1 == 2\n" in table
    assert "newly failing: test_b: never ended\n" in table
    row = next(line for line in table.splitlines() if line.startswith("some_test.py"))
    assert row.split()[1:] == ["entered", "5", "1", "4", "2", "2", "1", "3", "7", "6"]


@pytest.mark.parametrize(
    ("written", "run_as"),
    [
        ("from tf_keras.utils import data_utils", "from tf_keras.src.utils import data_utils"),
        ("    import tf_keras as keras", "    import tf_keras.src as keras"),
        ("from tf_keras.src.utils import x", "from tf_keras.src.utils import x"),
        ("from tf_keras_tuner import x", "from tf_keras_tuner import x"),
        ("# see tf_keras.utils", "# see tf_keras.utils"),
    ],
)
def test_imports_are_moved_as_the_release_moves_them(written, run_as):
    assert run.moved(written) == run_as


@pytest.mark.skipif(not PEERS, reason="BATCHAUDIT_PEERS names no folder with the peers' checkouts")
def test_the_peers_own_suites_go_on_passing():
    done = _command(str(PEERS))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def _run(folder: Path, tests: str, way: str = "entered", place: str = PLACE) -> tuple[int, dict[str, Any]]:
    """Runs the command over one file of a peer; returns the exit code and what it says of the file."""
    path = _written(folder / "peer", tests, place)
    done = _command(str(folder), "--only", path.name, "--way", way, "--json", KERAS_BACKEND="numpy")
    assert done.returncode != 2, done.stderr
    document = json.loads(done.stdout)
    assert document["good"] is (done.returncode == 0)
    (result,) = document["files"]
    return done.returncode, result


def _written(checkout: Path, tests: str, place: str = PLACE) -> Path:
    path = checkout / place
    path.parent.mkdir(parents=True)
    path.write_text(tests)
    return path


def _command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(run.__file__)), *args]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
