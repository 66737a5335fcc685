"""The streams are told apart, seen to move, and left as they are."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.capture import bit_generators, rng, stream_state
from batchaudit.capture.rng import STREAMS, StreamReader

ROOT = Path(__file__).resolve().parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def in_fresh_process(script: str) -> dict[str, object]:
    """Run a script that puts what is to be checked into ``out``, and give that back."""
    prelude = "import json, os, sys\nfrom batchaudit.capture.rng import StreamReader\nout = {}\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script) + "\nprint(json.dumps(out))"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


IN_CHILDREN = """
def in_children(n, task):
    # what `task` gives in each of n forked children
    results = []
    for _ in range(n):
        r, w = os.pipe()
        if os.fork() == 0:
            try:
                os.write(w, json.dumps(task()).encode())
            finally:
                os._exit(0)
        os.close(w)
        with os.fdopen(r) as pipe:
            results.append(json.loads(pipe.read()))
        os.wait()
    return results
"""


def moved(reader: StreamReader, draw) -> set[str]:
    before = reader.read()
    draw()
    after = reader.read_again()
    assert reader.unread == ()
    return {name for name, old, new in zip(STREAMS, before, after, strict=True) if old != new}


@pytest.fixture(autouse=True)
def streams_are_put_back():
    mine, numpys = random.getstate(), np.random.get_state(legacy=False)
    generator = np.random.get_bit_generator()
    yield
    np.random.set_bit_generator(generator)
    random.setstate(mine)
    np.random.set_state(numpys)


# --- what a draw moves -------------------------------------------------------------------------------------

NUMPY_DRAWS = {
    "rand": lambda: np.random.rand(3),
    "randn": lambda: np.random.randn(),
    "randint": lambda: np.random.randint(10, dtype=np.uint8),
    "shuffle": lambda: np.random.shuffle([1, 2, 3]),
    "permutation": lambda: np.random.permutation(5),
}
PYTHON_DRAWS = {
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "randint": lambda: random.randint(0, 9),
    "shuffle": lambda: random.shuffle([1, 2, 3]),
}


@pytest.mark.parametrize("draw", NUMPY_DRAWS.values(), ids=NUMPY_DRAWS)
def test_a_numpy_draw_moves_numpy_alone(draw):
    assert moved(StreamReader(), draw) == {"numpy"}


@pytest.mark.parametrize("draw", PYTHON_DRAWS.values(), ids=PYTHON_DRAWS)
def test_a_python_draw_moves_python_alone(draw):
    assert moved(StreamReader(), draw) == {"python"}


def test_nothing_drawn_moves_nothing():
    assert moved(StreamReader(), lambda: None) == set()


def test_a_kept_gaussian_is_a_part_of_the_state():
    np.random.seed(1)
    reader = StreamReader()
    for _ in range(4):
        assert moved(reader, np.random.randn) == {"numpy"}
    random.seed(1)
    for _ in range(4):
        assert moved(reader, lambda: random.gauss(0, 1)) == {"python"}


def test_a_dropped_gaussian_leaves_the_state_as_if_it_had_not_been_kept():
    reader = StreamReader()
    np.random.seed(3)
    fresh = reader.read()[0]
    np.random.randn()
    np.random.seed(3)
    assert reader.read()[0] == fresh


def test_an_exchanged_bit_generator_is_followed():
    reader = StreamReader()
    np.random.set_bit_generator(np.random.MT19937(1))
    one = reader.read()[0]
    assert moved(reader, lambda: np.random.set_bit_generator(np.random.MT19937(2))) == {"numpy"}
    assert moved(reader, np.random.rand) == {"numpy"}
    np.random.set_bit_generator(np.random.MT19937(1))
    assert reader.read()[0] == one


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "SFC64", "Philox"])
def test_the_global_stream_may_have_any_bit_generator(name):
    reader = StreamReader()
    np.random.set_bit_generator(getattr(np.random, name)(1))
    for draw in (np.random.rand, np.random.randn, np.random.randn, lambda: np.random.randint(9, dtype="u4")):
        assert moved(reader, draw) == {"numpy"}


@given(
    seed=st.integers(0, 2**32 - 1),
    draws=st.lists(st.sampled_from(sorted(NUMPY_DRAWS)), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_equal_numpy_states_read_equal_and_every_draw_moves_them(seed, draws):
    def states() -> list[int]:
        np.random.seed(seed)
        reader, seen = StreamReader(), []
        for name in draws:
            seen.append(reader.read()[0])
            NUMPY_DRAWS[name]()
        return [*seen, reader.read()[0]]

    first = states()
    assert states() == first
    assert len(set(first)) == len(first)


@given(seed=st.integers(), draws=st.lists(st.sampled_from(sorted(PYTHON_DRAWS)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_equal_python_states_read_equal_and_every_draw_moves_them(seed, draws):
    def states() -> list[int]:
        random.seed(seed)
        reader, seen = StreamReader(), []
        for name in draws:
            seen.append(reader.read()[1])
            PYTHON_DRAWS[name]()
        return [*seen, reader.read()[1]]

    first = states()
    assert states() == first
    assert len(set(first)) == len(first)


def test_reading_changes_no_state():
    np.random.randn()
    random.gauss(0, 1)
    mine = np.random.default_rng(1)
    numpys, pythons, states = np.random.get_state(), random.getstate(), mine.bit_generator.state
    reader = StreamReader([mine])
    for _ in range(20):
        reader.read()
        reader.read_again()
    assert random.getstate() == pythons
    assert mine.bit_generator.state == states
    np.testing.assert_equal(np.random.get_state(), numpys)


# --- memory and public calls agree -------------------------------------------------------------------------

OWNERS = {
    "RandomState": lambda: np.random.RandomState(5),
    "RandomState over PCG64": lambda: np.random.RandomState(np.random.PCG64(5)),
    "MT19937": lambda: np.random.Generator(np.random.MT19937(5)),
    "PCG64": lambda: np.random.default_rng(5),
    "PCG64DXSM": lambda: np.random.Generator(np.random.PCG64DXSM(5)),
    "SFC64": lambda: np.random.Generator(np.random.SFC64(5)),
    "Philox": lambda: np.random.Generator(np.random.Philox(5)),
    "bit generator": lambda: np.random.PCG64(5),
    "Random": lambda: random.Random(5),
}


def draw_once(owner) -> None:
    if isinstance(owner, np.random.BitGenerator):
        owner.random_raw()
    elif isinstance(owner, random.Random):
        owner.gauss(0, 1)
    else:
        owner.standard_normal()


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_memory_and_public_calls_give_the_same_numbers(make, monkeypatch):
    def states() -> list[int]:
        owner = make()
        stream, seen = stream_state.watch(owner), []
        for _ in range(5):
            seen.append(stream.fingerprint())
            draw_once(owner)
        return seen

    from_memory = states()
    monkeypatch.setattr(bit_generators, "ID_IS_ADDRESS", False)
    monkeypatch.setattr(stream_state, "ID_IS_ADDRESS", False)
    monkeypatch.setattr(stream_state, "_gauss_offsets", {})
    assert states() == from_memory
    assert len(set(from_memory)) == 5


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="memory is read in CPython alone")
def test_memory_is_what_is_read_here():
    for name in ("MT19937", "PCG64", "PCG64DXSM"):
        bit_generators.bit_reader(getattr(np.random, name)(1))
        assert bit_generators._proved_bits[getattr(np.random, name)]
    assert stream_state._gauss_offset(np.random.RandomState) is not None
    assert stream_state._python_proved(random.Random.__mro__[1])


def test_a_layout_that_reads_the_wrong_place_is_not_used(monkeypatch):
    still = ctypes.create_string_buffer(2500)
    wrong = (("MT19937", lambda bits: bit_generators.partial(bit_generators.xxh3_64_intdigest, still)),)
    monkeypatch.setattr(bit_generators, "_BIT_LAYOUTS", wrong)
    monkeypatch.setattr(bit_generators, "_proved_bits", {})
    twins = [np.random.Generator(np.random.MT19937(4)) for _ in range(2)]
    one, other = map(stream_state.watch, twins)
    assert bit_generators._proved_bits == {np.random.MT19937: False}
    assert one.fingerprint() == other.fingerprint()
    twins[0].random()
    assert one.fingerprint() != other.fingerprint()


# --- the reader --------------------------------------------------------------------------------------------


class Source:
    def __init__(self, *generators):
        self.generators = list(generators)


def test_a_private_stream_moves_alone():
    source = Source(np.random.default_rng(1), random.Random(2))
    reader = StreamReader(source)
    assert reader.read()[4] != 0
    assert moved(reader, source.generators[0].random) == {"private"}
    assert moved(reader, source.generators[1].random) == {"private"}
    assert moved(reader, lambda: None) == set()


def test_no_private_stream_reads_zero():
    assert StreamReader(Source()).read()[4] == 0


def test_private_streams_read_alike_in_whatever_order_they_are_found():
    one, other = Source(random.Random(1), random.Random(2)), Source(random.Random(2), random.Random(1))
    assert StreamReader(one).read()[4] == StreamReader(other).read()[4]


def test_a_generator_that_begins_late_is_found_and_its_first_batch_does_not_look_moved():
    def batches():
        mine = np.random.default_rng(0)
        while True:
            yield mine.random()

    source = batches()
    reader = StreamReader(source)
    assert moved(reader, lambda: next(source)) == set()
    for _ in range(5):
        assert moved(reader, lambda: next(source)) == {"private"}


def test_a_stream_that_appears_between_two_reads_of_a_batch_is_not_taken_for_one_that_moved():
    source = Source(random.Random(1))
    reader = StreamReader(source)
    reader.read()
    assert moved(reader, lambda: source.generators.append(random.Random(2))) == set()
    before = reader.read()
    source.generators[1].random()
    assert reader.read_again()[4] != before[4]


def test_a_generator_made_anew_each_epoch_is_followed():
    class Reseeded:
        def __init__(self):
            self.rng = None

    source = Reseeded()
    reader = StreamReader(source)
    for epoch in range(20):
        source.rng = np.random.default_rng(epoch)
        for _ in range(37):
            assert moved(reader, source.rng.random) == {"private"}


def test_a_generator_made_anew_each_batch_is_not_searched_for_each_time(monkeypatch):
    looks = []
    find = rng.find_streams

    def counting(*args):
        found = find(*args)
        looks.append(found.looked_at)
        return found

    monkeypatch.setattr(rng, "find_streams", counting)
    source = Source()
    reader = StreamReader(source)
    for batch in range(5000):
        source.generators = [[random.Random(batch) for _ in range(50)]]
        reader.read()
        reader.read_again()
    one = looks[-1]
    regular = 14  # before batch 0 and after 1, 2, 4 … 4096
    assert sum(looks) <= (regular + 1) * one + 5_000 + 10 * 5000
    assert len(looks) > 20 * regular


@pytest.mark.parametrize(
    "generators", [[], [random.Random(1), np.random.default_rng(2)]], ids=["none", "two"]
)
def test_a_source_is_searched_after_1_2_4_8_batches_and_not_in_between(generators, monkeypatch):
    batches_before = []
    find = rng.find_streams
    monkeypatch.setattr(
        rng, "find_streams", lambda *args: batches_before.append(reader._batches) or find(*args)
    )
    reader = StreamReader(Source(*generators))
    for _ in range(1_000):
        reader.read()
        reader.read_again()
    assert batches_before == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_what_watches_a_stream_is_made_once(monkeypatch):
    made = []
    watch = rng.watch
    monkeypatch.setattr(rng, "watch", lambda owner: made.append(type(owner)) or watch(owner))
    reader = StreamReader(Source(random.Random(1), np.random.default_rng(2)))
    for _ in range(100):
        reader.read()
        reader.read_again()
    private = [kind for kind in made if kind is not np.random.RandomState]
    assert len(private) <= 2 + 2  # the two, and the global ones where no test before has read them


def test_a_walk_that_fails_is_told_and_not_raised(monkeypatch):
    def fail(*args):
        raise RuntimeError("no")

    reader = StreamReader(Source(random.Random(1)))
    found = reader.read()
    with monkeypatch.context() as patched:
        patched.setattr(rng, "find_streams", fail)
        assert reader.read() == found
        assert reader.unread == ("private",)
    assert reader.read() == found
    assert reader.unread == ()


def test_a_stream_that_cannot_be_read_reads_zero_and_is_named():
    class Broken(np.random.BitGenerator):
        def __init__(self):
            super().__init__(1)

        @property
        def state(self):
            raise OSError("gone")

    reader = StreamReader(Source(Broken()))
    values = reader.read()
    assert values[4] == 0
    assert values[0] != 0
    assert reader.unread == ("private",)
    reader.read_again()
    assert reader.unread == ("private",)


def test_a_reader_pickles_as_its_roots():
    source = Source(np.random.default_rng(1), random.Random(2), np.random.RandomState(3))
    reader = StreamReader(source)
    values = reader.read()
    again, copy = pickle.loads(pickle.dumps((reader, source)))
    assert again.read() == values
    assert moved(again, copy.generators[0].random) == {"private"}
    assert moved(again, source.generators[0].random) == set()


def test_two_threads_may_share_a_reader():
    # Thread B's search finds a stream between A's two reads: A must not take it for a movement.
    source = Source(random.Random(1))
    reader = StreamReader(source)
    reader.read()
    before = reader.read()
    source.generators.append(random.Random(2))
    other = threading.Thread(target=lambda: [reader.read() for _ in range(8)])
    other.start()
    other.join()
    assert reader.read_again() == before
    assert reader.read() != before


# --- fresh processes ---------------------------------------------------------------------------------------


def test_reading_imports_nothing():
    out = in_fresh_process("""
        import numpy
        loaded = set(sys.modules)
        class Source: pass
        reader = StreamReader(Source())
        out["values"] = [reader.read(), reader.read_again()]
        out["new"] = sorted(set(sys.modules) - loaded)
        import numpy.random
        out["later"] = reader.read_again()
    """)
    assert out["new"] == []
    for values in out["values"]:
        assert values[0] == values[2] == values[3] == values[4] == 0
    assert out["later"][0] != 0


@needs_fork
def test_reading_before_a_fork_makes_no_clones():
    out = in_fresh_process(
        IN_CHILDREN
        + """
import numpy
reader = StreamReader()
reader.read()

def child():
    import numpy
    numpy.random.rand()
    return [reader.read()[0], float(numpy.random.rand())]

out["children"] = in_children(3, child)
"""
    )
    assert len({state for state, _ in out["children"]}) == 3
    assert len({draw for _, draw in out["children"]}) == 3


@needs_fork
def test_clones_of_a_fork_read_equal_and_python_reseeds_itself():
    out = in_fresh_process(
        IN_CHILDREN
        + """
import numpy.random, random
mine = numpy.random.default_rng(4)
reader = StreamReader([mine])
out["parent"] = [reader.read() for _ in range(3)][0]

def child():
    first = reader.read()
    numpy.random.randn(); mine.random(); random.random()
    return [first, reader.read_again()]

out["children"] = in_children(3, child)
"""
    )
    firsts, lasts = zip(*out["children"], strict=True)
    for values in (firsts, lasts):
        assert len({value[0] for value in values}) == 1
        assert len({value[1] for value in values}) == 3
        assert len({value[4] for value in values}) == 1
    for first, last in out["children"]:
        assert first[0] == out["parent"][0]
        assert first[4] == out["parent"][4]
        assert all(first[i] != last[i] for i in (0, 1, 4))


@needs_fork
def test_forked_children_search_in_step():
    # Both found nothing in the parent, and find what they begin at the same step.
    out = in_fresh_process(
        IN_CHILDREN
        + """
class Source: pass
source = Source()
reader = StreamReader(source)
for _ in range(6):
    reader.read()

def child():
    import random
    source.rng = random.Random(1)
    return [reader.read()[4] != 0 for _ in range(2)]

out["children"] = in_children(2, child)
"""
    )
    assert out["children"] == [[True, True]] * 2


def test_equal_states_read_equal_in_another_process():
    script = """
        import numpy.random, random
        numpy.random.seed(7); numpy.random.randn()
        random.seed(7); random.gauss(0, 1)
        out["values"] = StreamReader([numpy.random.default_rng(1), random.Random(3)]).read()
    """
    assert in_fresh_process(script) == in_fresh_process(script)


@needs("torch")
@needs_fork
def test_torch():
    out = in_fresh_process(
        IN_CHILDREN
        + """
import torch
torch.manual_seed(1)
class Source: pass
source = Source()
source.generator = torch.Generator().manual_seed(5)
reader = StreamReader(source)
def moved(draw):
    before = reader.read(); draw(); after = reader.read_again()
    return [a != b for a, b in zip(before, after)]

state, own = torch.get_rng_state(), source.generator.get_state()
reader.read(); reader.read_again()
same = torch.get_rng_state() == state, source.generator.get_state() == own
out["untouched"] = all(bool(part.all()) for part in same)
out["nothing"] = moved(lambda: None)
out["global"] = moved(lambda: torch.rand(1))
out["normal"] = moved(lambda: torch.randn(1))
out["normal again"] = moved(lambda: torch.randn(1))
out["private"] = moved(lambda: torch.rand(1, generator=source.generator))
torch.manual_seed(1)
one = reader.read()[2]
torch.rand(1)
torch.manual_seed(1)
out["equal"] = reader.read()[2] == one
out["children"] = in_children(2, lambda: [moved(lambda: torch.rand(1)), reader.read()[2]])
out["unread"] = reader.unread
out["initialised"] = torch.cuda.is_initialized()
out["numpy.random"] = "numpy.random" in sys.modules
"""
    )
    assert out["untouched"]
    assert out["nothing"] == [False] * 5
    torch_alone = [False, False, True, False, False]
    assert out["global"] == out["normal"] == out["normal again"] == torch_alone
    assert out["private"] == [False] * 4 + [True]
    assert out["equal"]
    assert out["children"][0] == out["children"][1]
    assert out["children"][0][0] == torch_alone
    assert out["unread"] == []
    assert not out["initialised"]
    assert not out["numpy.random"]


@needs("tensorflow")
@needs_fork
def test_tensorflow():
    out = in_fresh_process(
        IN_CHILDREN
        + """
import tensorflow as tf
from tensorflow.python.ops import stateful_random_ops as ops
reader = StreamReader()
def moved(draw):
    before = reader.read()[3]; draw(); after = reader.read_again()[3]
    return [before != 0, before != after]

out["none"] = moved(lambda: tf.random.uniform([1]))
out["not made"] = ops.global_generator is None
tf.random.set_seed(3)
out["op seed"] = moved(lambda: tf.random.uniform([1]))
out["op seed unmoved"] = moved(lambda: tf.constant(1))
one = reader.read()[3]
tf.random.set_seed(3)
out["reset"] = [reader.read()[3] != one, moved(lambda: tf.random.uniform([1])), reader.read()[3] == one]
out["child without generator"] = in_children(2, lambda: [reader.read()[3], reader.unread])
out["parent"] = reader.read()[3]

tf.random.get_global_generator().reset_from_seed(1)
state = tf.random.get_global_generator().state.numpy().tolist()
out["generator"] = moved(lambda: tf.random.get_global_generator().uniform([1]))
out["generator unmoved"] = moved(lambda: None)
out["unread"] = reader.unread
tf.random.get_global_generator().reset_from_seed(1)
reader.read()
out["untouched"] = tf.random.get_global_generator().state.numpy().tolist() == state

seen = []
@tf.function
def traced(x):
    before = len(tf.compat.v1.get_default_graph().get_operations())
    seen.append([reader.read()[3], reader.unread])
    seen.append(len(tf.compat.v1.get_default_graph().get_operations()) - before)
    return x + 1
traced(1)
for _ in tf.data.Dataset.range(1).map(traced): pass
out["symbolic"] = seen
out["child with generator"] = in_children(1, lambda: [reader.read()[3], reader.unread])
"""
    )
    assert out["none"] == [False, False]
    assert out["not made"]
    assert out["op seed"] == [True, True]
    assert out["op seed unmoved"] == [True, False]
    assert out["reset"] == [True, [True, True], True]
    assert out["child without generator"] == [[out["parent"], []]] * 2
    assert out["generator"] == [True, True]
    assert out["generator unmoved"] == [True, False]
    assert out["unread"] == []
    assert out["untouched"]
    # traced twice, once for each type of x
    assert out["symbolic"] == [[0, ["tensorflow"]], 0] * 2
    assert out["child with generator"] == [[0, ["tensorflow"]]]
