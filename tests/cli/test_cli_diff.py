"""`batchaudit diff` on runs that were really recorded: what it prints, and what its exit code says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import batchaudit as ba
from batchaudit.cli.main import main

SAMPLES = np.arange(48, dtype=np.float32).reshape(24, 2)


class Shuffled:
    """Batches of 24 samples in an order that the seed and the epoch decide."""

    def __init__(self, seed=1, size=4, noise=0.0, samples=SAMPLES):
        self.seed, self.size, self.noise, self.samples, self.epoch = seed, size, noise, samples, 0

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.samples))
        self.epoch += 1
        for at in range(0, len(order), self.size):
            rows = order[at : at + self.size]
            yield self.samples[rows] + np.float32(self.noise), rows


def record(run, source, epochs=4, name="train", key=None):
    with ba.Audit(run) as audit:
        watched = audit.wrap(source, name=name, key=key)
        for _ in range(epochs):
            for _ in watched:
                pass


def diff(*arguments):
    """The exit code, standard output and standard error."""
    done = CliRunner().invoke(main, ["diff", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def document(*arguments):
    return json.loads(diff(*arguments, "--json")[1])


@pytest.fixture
def a(tmp_path):
    record(tmp_path / "a", Shuffled())
    return tmp_path / "a"


def test_twice_the_same_seed(a, tmp_path):
    record(tmp_path / "b", Shuffled())
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 0
    assert text.splitlines()[0] == "the same stream: 24 batches, 96 samples in 4 epochs"


def test_another_seed(a, tmp_path):
    record(tmp_path / "b", Shuffled(seed=2))
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 1
    assert text.splitlines()[0].startswith("different: the same samples in another order")
    assert "first difference: epoch 0 step 0: A " in text
    assert re.search(r"^ +all +24 +24 ", text, re.MULTILINE)


def test_stopped_and_resumed_is_the_same_stream(a, tmp_path):
    source, resumed = Shuffled(), tmp_path / "b"
    record(resumed, source, epochs=2)
    record(resumed, source, epochs=2)
    code, text, _ = diff(a, resumed)
    assert code == 0
    assert "(attempts 0, 1)" in text


def test_resumed_from_the_beginning_is_another_stream(a, tmp_path):
    resumed = tmp_path / "b"
    record(resumed, Shuffled(), epochs=2)
    record(resumed, Shuffled(), epochs=2)  # a new source starts over
    assert diff(a, resumed)[0] == 1
    first = document(a, resumed)["pairs"][0]["first_difference"]
    assert (first["b"]["attempt"], first["b"]["epoch"], first["b"]["step"]) == (1, 2, 0)
    assert diff(resumed, resumed, "--attempt-a", 0, "--attempt-b", 1)[0] == 0


def test_resumed_within_an_epoch(a, tmp_path):
    resumed, source = tmp_path / "b", Shuffled()
    epochs = [list(source) for _ in range(4)]
    record(resumed, epochs[0] + epochs[1][:3], epochs=1)
    record(resumed, epochs[1][3:] + epochs[2] + epochs[3], epochs=1)
    code, text, _ = diff(a, resumed)
    assert code == 0
    assert "the epochs are cut otherwise" in text
    pair = document(a, resumed)["pairs"][0]
    assert [epoch["equal"] for epoch in pair["batches"]["epochs"]] == [6, 6, 6, 6]


def test_another_batch_size(a, tmp_path):
    record(tmp_path / "b", Shuffled(size=6))
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 1
    assert "the samples are the same in the same order, cut into other batches: 24 in A, 16 in B" in text
    assert document(a, tmp_path / "b")["pairs"][0]["samples"]["same"] is True


def test_a_shorter_training(a, tmp_path):
    record(tmp_path / "b", Shuffled(), epochs=3)
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 1
    assert text.startswith("different: B lacks 6 of 24 batches; the others are equal, at the same places")
    assert "B has no batch there" in text


def test_the_same_items_with_other_content(tmp_path):
    for run, noise in (("a", 0.0), ("b", 0.5)):
        record(tmp_path / run, Shuffled(noise=noise), epochs=1, key=lambda batch: batch[1])
    code, text, _ = diff(tmp_path / "a", tmp_path / "b")
    assert code == 1
    assert "the same stored items in the same order with other content" in text


def test_the_json_document(a, tmp_path):
    record(tmp_path / "b", Shuffled(seed=2))
    code, out, people = diff(a, tmp_path / "b", "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["schema_version"], found["same"], found["complete"]) == (1, False, True)
    (pair,) = found["pairs"]
    assert (pair["source_a"], pair["strategy_b"], pair["rank"]) == ("train", "live", 0)
    assert pair["samples"]["missing"] == pair["samples"]["extra"] == 0
    assert len(pair["batches"]["epochs"]) == 4
    assert "different" in people and "{" not in people


def test_one_source_each_is_compared_whatever_its_name(a, tmp_path):
    record(tmp_path / "b", Shuffled(), name="train.py:41")
    assert diff(a, tmp_path / "b")[0] == 0


def test_what_only_one_run_has_is_a_difference(a, tmp_path):
    both = tmp_path / "b"
    with ba.Audit(both) as audit:
        train, val = audit.wrap(Shuffled(), name="train"), audit.wrap([SAMPLES[:4]], name="val")
        for _ in range(4):
            assert len(list(train)) == 6
            assert len(list(val)) == 1
    code, text, _ = diff(a, both)
    assert code == 1
    assert text.splitlines()[0] == "different: only in B: val under live, rank 0, 4 batches"
    assert [one["source"] for one in document(a, both)["only_in_b"]] == ["val"]
    assert diff(a, both, "--source", "train")[0] == 0
    assert diff(a, both, "--source", "train=val")[0] == 1
    assert diff(both, both)[0] == 0
    assert "the same in all 2 streams" in diff(both, both)[1]


def test_a_name_may_hold_an_equals_sign(a, tmp_path):
    record(tmp_path / "b", Shuffled(), name="lr=1")
    assert diff(a, tmp_path / "b", "--source", "train=lr=1")[0] == 0


def test_runs_of_audit_are_compared_strategy_by_strategy(tmp_path):
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        ba.audit(
            lambda seed=seed: Shuffled(seed), ["serial", "threads:2"], epochs=2, out=tmp_path / run, name="s"
        )
    same = document(tmp_path / "a", tmp_path / "b", "--strategy", "serial")
    assert [(pair["strategy_a"], pair["same"]) for pair in same["pairs"]] == [("serial", True)]
    both = document(tmp_path / "a", tmp_path / "c")
    assert [pair["strategy_a"] for pair in both["pairs"]] == ["serial", "threads:2"]
    assert diff(tmp_path / "a", tmp_path / "c")[0] == 1
    across = document(tmp_path / "a", tmp_path / "a", "--strategy", "serial=threads:2")["pairs"][0]
    assert (across["strategy_a"], across["strategy_b"]) == ("serial", "threads:2")


def test_an_incomplete_log_is_never_the_same(a, tmp_path):
    record(tmp_path / "b", Shuffled())
    (log,) = (tmp_path / "b").glob("*.baj")
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 3
    assert text.startswith("INCOMPLETE: the log of B is not whole, so whether they are the same is not known")
    assert document(a, tmp_path / "b")["same"] is False


def test_a_log_that_lacks_nothing_but_may_is_not_the_same(a, tmp_path):
    record(tmp_path / "b", Shuffled())
    (tmp_path / "b" / "lost.baj.failed").write_text("No space left on device")
    code, text, _ = diff(a, tmp_path / "b")
    assert code == 3
    assert "No space left" in text


class Opaque:
    """An object without content."""

    __slots__ = ()


def test_batches_that_cannot_be_hashed_are_never_the_same(tmp_path):
    for run in ("a", "b"):
        record(tmp_path / run, [[SAMPLES, Opaque()], [SAMPLES, Opaque()]], epochs=1)
    code, text, _ = diff(tmp_path / "a", tmp_path / "b")
    assert code == 3
    assert "2 of 2 batches could not be hashed" in text
    assert document(tmp_path / "a", tmp_path / "b")["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none",), "there is no run 'none'"),
        ((__file__,), "is a file"),
        (("{a}", "--source", "val"), "has 'train'"),
        (("{a}", "--strategy", "fork:2"), "--strategy fork:2"),
        (("{a}", "--attempt-b", "7"), "has no attempt 7; it has 0"),
    ],
)
def test_bad_usage_is_one_message(a, arguments, message):
    code, out, error = diff(a, *(argument.replace("{a}", str(a)) for argument in arguments))
    assert code == 2
    assert message in error
    assert out == ""


def test_two_runs_that_share_nothing(a, tmp_path):
    with ba.Audit(tmp_path / "b") as audit:
        for name in ("x", "y"):
            list(audit.wrap([SAMPLES], name=name))
    code, _, error = diff(a, tmp_path / "b")
    assert code == 2
    assert "there is nothing to compare" in error and "--source A=B" in error


def test_a_folder_without_a_log(a, tmp_path):
    (tmp_path / "empty").mkdir()
    assert diff(a, tmp_path / "empty")[0] == 3


def test_many_epochs_are_cut_in_the_middle(tmp_path):
    for run, seed in (("a", 1), ("b", 2)):
        record(tmp_path / run, Shuffled(seed), epochs=20)
    _, text, _ = diff(tmp_path / "a", tmp_path / "b")
    shown = [line.split()[0] for line in text.splitlines() if re.match(r" +(\d+|all) +\d", line)]
    assert shown == ["0", "1", "2", "3", "4", "15", "16", "17", "18", "19", "all"]
    assert "epochs 5 to 14 are left out (10 of 20)" in text


def test_names_from_a_log_are_no_markup_and_move_no_terminal(a, tmp_path):
    record(tmp_path / "b", Shuffled(2), name="[red]\x1b[2Jtrain")
    _, text, _ = diff(a, tmp_path / "b")
    assert r"[red]\x1b[2Jtrain" in text and "\x1b" not in text


def test_as_a_process_of_its_own(a):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-m", "batchaudit", "diff", str(a), str(a), "--json"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["same"] is True
    assert done.stderr.startswith("the same stream")


def test_ranks_are_compared_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for run, seeds in (("a", (1, 2)), ("b", (1, 3))):
        for rank, seed in enumerate(seeds):
            monkeypatch.setenv("RANK", str(rank))
            record(tmp_path / run, Shuffled(seed), epochs=2)
    found = document(tmp_path / "a", tmp_path / "b")
    assert [(pair["rank"], pair["same"]) for pair in found["pairs"]] == [(0, True), (1, False)]
    _, text, _ = diff(tmp_path / "a", tmp_path / "b")
    assert text.startswith("different in 1 of 2 streams: train, rank 1: ")
    assert "train, rank 0: the same: 12 batches" in text
