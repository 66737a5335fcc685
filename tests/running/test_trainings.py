"""Real trainings: the same weights bit for bit under `batchaudit run`, and every source under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from batchaudit import load
from batchaudit.reporting import build
from tests.running.starting import PLAIN, WATCHED, ended, environment

TRAININGS = Path(__file__).parent / "trainings"


@dataclass(frozen=True)
class Training:
    """A script, what it is given, and its backend of Keras."""

    script: str
    arguments: tuple[str, ...] = ()
    backend: str = "tensorflow"


CASES = {
    "torch": Training("train_torch.py"),
    "keras on tensorflow": Training("train_keras.py"),
    "keras on torch": Training("train_keras.py", backend="torch"),
    "tf_keras with threads": Training("train_tf_keras.py", ("threads",)),
    "tf_keras with processes": Training("train_tf_keras.py", ("processes",)),
}


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory):
    """One of the trainings without batchaudit and with it, and the folder of its run."""
    case, folder = CASES[request.param], tmp_path_factory.mktemp("training")
    script = [TRAININGS / case.script, *case.arguments]
    env = environment(KERAS_BACKEND=case.backend, TF_ENABLE_ONEDNN_OPTS="0")
    plain = ended([*PLAIN, *script], folder, env)
    watched = ended([*WATCHED, "--out", "run", *script], folder, env)
    return case, plain, watched, folder / "run"


def test_the_weights_are_the_same_bit_for_bit(trained):
    _, plain, watched, _ = trained
    assert plain.code == watched.code == 0, watched.err
    assert len(plain.out.split()) == 2
    assert watched.out == plain.out


def test_each_source_is_seen_under_its_own_name_and_in_its_part(trained):
    case, _, _, folder = trained
    report = build(folder)
    assert report.complete, report.notes
    splits = {one["source"]: one["about"]["split"] for one in load(folder).writers}
    assert splits == {
        name(case, "training", ""): "training",
        name(case, "validation", " (validation)"): "validation",
    }
    assert [finding for finding in report.findings if finding.severity == "error"] == []


def test_the_figures_are_those_of_the_epochs_that_were_trained(trained):
    case, _, _, folder = trained
    epochs = build(folder).epochs
    for source, batches in {
        name(case, "training", ""): 8,
        name(case, "validation", " (validation)"): 2,
    }.items():
        its = epochs[epochs["source"] == source]
        assert its["epoch"].tolist() == [0, 1, 2]
        assert its["delivered"].tolist() == [batches] * 3
        assert its["unique"].tolist() == [batches] * 3


def name(case, part, after):
    """`train.py:41`: the line that makes a source, or that calls fit for what does not say where it was made."""
    lines = dict(enumerate((TRAININGS / case.script).read_text().splitlines(), 1))
    made = [number for number, line in lines.items() if line.endswith(f"# the {part}'s")]
    fitted = [number for number, line in lines.items() if line.endswith("# where fit is called")]
    return f"{case.script}:{made[0]}" if made else f"{case.script}:{fitted[0]}{after}"
