"""What a look once changed or ended, in trainings that do nothing unusual."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.running.starting import environment

torch = pytest.importorskip("torch")
from torch.utils.data import BatchSampler, DataLoader, Sampler  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit.sources import about  # noqa: E402

DETERMINISTIC = """
import sys
import tensorflow as tf
import batchaudit as ba
def batches():
    return tf.data.Dataset.range(12).batch(2)
early = batches()
with ba.Audit(sys.argv[1]) as audit:
    early = audit.wrap(early, name="early")
    before = [batch.numpy().tolist() for batch in early]  # its stage is made now
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(1)
    late = audit.wrap(batches(), name="late")
    for watched in (early, late):
        assert [batch.numpy().tolist() for batch in watched] == before
"""
DRAWN_AHEAD = """
import os, sys, threading
import numpy as np
import tensorflow as tf
import batchaudit as ba
reached, closed, ahead = threading.Event(), threading.Event(), threading.Event()
def batches():
    for number in range(20):
        if number == 6:  # whoever draws this one draws ahead: the loop takes five
            reached.set()
            closed.wait()
        if number == 9:
            ahead.set()
        yield np.int64(number)
with ba.Audit(sys.argv[1]) as audit:
    source = audit.wrap(batches())
    dataset = tf.data.Dataset.from_generator(lambda: source, output_signature=tf.TensorSpec((), tf.int64))
    ready = iter(dataset.prefetch(8))
    for number in range(5):
        assert next(ready) == number
    reached.wait()
closed.set()
assert ahead.wait(60)
if sys.argv[2:]:
    next(source)
sys.stderr.flush()
os._exit(0)  # how TensorFlow's threads end is not what is asked here
"""


def run(code, folder, *arguments, **options):
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, script, folder / "run", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(KERAS_BACKEND="tensorflow"),
        **options,
    )


def test_tensorflow_may_be_deterministic(tmp_path):
    pytest.importorskip("tensorflow")
    done = run(DETERMINISTIC, tmp_path)
    assert done.returncode == 0, done.stderr
    epochs = ba.load(tmp_path / "run").events
    assert (epochs["stage"] == "produced").sum() == 18


def test_what_a_framework_draws_ahead_after_the_audit_is_no_news(tmp_path):
    pytest.importorskip("tensorflow")
    done = run(DRAWN_AHEAD, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BatchauditWarning" not in done.stderr


def test_what_the_program_itself_draws_after_the_audit_is(tmp_path):
    pytest.importorskip("tensorflow")
    done = run(DRAWN_AHEAD, tmp_path, "more")
    assert done.stderr.count("(audit-closed)") == 1, done.stderr


class Drawing(Sampler):
    def __len__(self):
        return 3 + 0 * int(torch.randint(5, ()))

    def __iter__(self):
        return iter(range(3))


def number(generator):
    return int(torch.randint(5, (), generator=generator))


class DrawingFar(Drawing):
    def __init__(self):
        self.own = torch.Generator().manual_seed(0)

    @property
    def size(self):
        return 3 + 0 * number(self.own)

    def __len__(self):
        return self.size


@pytest.mark.parametrize("sampler", [Drawing, DrawingFar])
@pytest.mark.parametrize("batches", [False, True])
def test_a_length_that_is_drawn_is_not_asked_for(sampler, batches):
    made = sampler()
    options = {"batch_sampler": BatchSampler(made, 2, False)} if batches else {"sampler": made}
    loader = DataLoader(torch.arange(3.0), **options)
    states = [torch.get_rng_state(), getattr(made, "own", torch.default_generator).get_state()]
    said = about(loader)
    after = [torch.get_rng_state(), getattr(made, "own", torch.default_generator).get_state()]
    assert all(torch.equal(one, other) for one, other in zip(states, after, strict=True))
    assert "batches" not in said and "drawn" not in said
    assert said["items"] == 3


def test_the_current_folder_may_be_removed(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"""
import os, torch
import batchaudit as ba
audit = ba.Audit("../run", everything=True)
first = audit.wrap([1, 2], name="first")
os.rmdir({os.fspath(gone)!r})
assert list(first) == [1, 2]
assert list(audit.wrap([3, 4], name="second")) == [3, 4]
exec(compile("for batch in torch.utils.data.DataLoader(torch.arange(3.0)): pass", "made.py", "exec"))
audit.close()
"""
    done = run(code, tmp_path, cwd=gone)
    assert (done.returncode, done.stderr) == (0, "")
    written = ba.load(tmp_path / "run").writers
    assert sorted(one["source"] for one in written) == ["first", "made.py:1", "second"]
