from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from batchaudit.capture.restore import preserved_streams


def test_numpy_and_python_go_on_where_they_were():
    def draw():
        return np.random.normal(), random.gauss(0, 1), np.random.randint(9), random.random()

    np.random.seed(1), random.seed(1)
    draw()  # half of a pair of gaussians is kept for the next call
    state = np.random.get_state(), random.getstate()
    expected = draw()
    np.random.set_state(state[0]), random.setstate(state[1])
    with preserved_streams():
        draw(), draw()
    assert draw() == expected


def test_the_streams_are_given_back_when_something_raises():
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    with pytest.raises(KeyError), preserved_streams():
        np.random.random()
        raise KeyError
    assert np.random.random() == expected


def test_a_seed_holds_within_the_context_only():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    drawn = []
    for _ in range(2):
        with preserved_streams(5):
            drawn.append((np.random.random(), random.random()))
    assert drawn[0] == drawn[1]
    assert (np.random.get_state()[1] == before).all()


def test_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with preserved_streams(9):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    assert not torch.equal(inside, expected)


def test_tensorflow():
    tf = pytest.importorskip("tensorflow")

    def orders():
        return [list(tf.data.Dataset.range(50).shuffle(50).as_numpy_iterator()) for _ in range(2)]

    tf.random.set_seed(3)
    expected = orders()
    tf.random.set_seed(3)
    with preserved_streams():
        orders(), tf.random.normal([2])
    assert orders() == expected


def test_tensorflows_global_generator():
    tf = pytest.importorskip("tensorflow")
    generator = tf.random.get_global_generator()
    generator.reset_from_seed(4)
    expected = generator.uniform([2]).numpy()
    generator.reset_from_seed(4)
    with preserved_streams():
        generator.uniform([5])
    assert (generator.uniform([2]).numpy() == expected).all()


def test_nothing_is_loaded_to_be_restored():
    code = """
import sys
import numpy
from batchaudit.capture.restore import preserved_streams
before = set(sys.modules)
with preserved_streams(), preserved_streams(3):
    pass
print(sorted(name for name in set(sys.modules) - before if not name.startswith("batchaudit")))
print("numpy.random" in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == ["[]", str("numpy.random" in _loaded_by_numpy())]


def _loaded_by_numpy():
    code = "import sys, numpy; print(*sys.modules)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
