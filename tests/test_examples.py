"""The scripts of the documentation, run to their end: real frameworks, real images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import batchaudit as ba
from batchaudit import auditing

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def run(script, folder, *before):
    return subprocess.run(
        [sys.executable, *before, str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(ba.__file__).parent.parent)},
    )


@pytest.mark.parametrize("name", ["digits_keras", "digits_torch"])
def test_an_example_trains_on_what_it_should(tmp_path, name):
    pytest.importorskip("keras" if "keras" in name else "torch")
    pytest.importorskip("sklearn")
    done = run(EXAMPLES / f"{name}.py", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "nothing wrong was found" in done.stdout and "accuracy" in done.stdout
    report = auditing.report(tmp_path / "run")
    epochs = report.epochs.set_index(["source", "epoch"])
    assert epochs.loc["train", "delivered"].tolist() == [40] * 3
    assert epochs.loc["train", "unique_samples"].tolist() == [1280] * 3
    assert len(epochs.loc["val"]) == 3
    assert not report.findings


def test_an_example_made_sick_is_told_so(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    text = (EXAMPLES / "digits_torch.py").read_text()
    sick = tmp_path / "sick.py"
    sick.write_text(text.replace("        worker_init_fn=seed_worker,\n", ""))
    assert sick.read_text() != text
    done = run(sick, tmp_path / "run")
    assert done.returncode == 0 and "rng-clone" in done.stdout
    [clone, *_] = [f for f in auditing.report(tmp_path / "run").findings if f.cause == "rng-clone"]
    assert isinstance(clone, ba.Finding) and "worker_init_fn" in clone.fix
