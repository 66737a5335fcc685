"""Generators are found where sources hide them, and nowhere else."""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import random
import sys
import threading
import types
import weakref
from collections import OrderedDict, deque

import numpy as np
import pytest

from batchaudit.capture import private_streams
from batchaudit.capture.private_streams import find_streams

GENERATORS = {
    "Generator": lambda: np.random.default_rng(0),
    "Philox": lambda: np.random.Generator(np.random.Philox(0)),
    "RandomState": lambda: np.random.RandomState(0),
    "bit generator": lambda: np.random.PCG64(0),
    "Random": lambda: random.Random(0),
    "subclass": type("Mine", (random.Random,), {}),
}


class Transform:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __call__(self, batch):
        return batch


class Slotted:
    __slots__ = ("rng", "unset")

    def __init__(self, rng):
        self.rng = rng


class Rows(list):
    """A container with attributes of its own."""


def found(*roots, exclude=()):
    return list(find_streams(roots, exclude).streams)


def is_found(rng, *roots) -> bool:
    return [id(each) for each in found(*roots)] == [id(rng)]


def generator_with(rng):
    while True:
        yield rng.random()


def begun(source):
    next(source)
    return source


def closure_over(rng):
    return lambda batch: batch + rng.random()


def default_of(rng):
    def source(batch, *, noise=rng):
        return batch

    return source


PLACES = {
    "attribute": lambda rng: Transform(rng=rng),
    "nested attributes": lambda rng: Transform(dataset=Transform(transform=Transform(rng=rng))),
    "slot": Slotted,
    "list, tuple, dict, set": lambda rng: Transform(steps=[({"noise": {rng}},)]),
    "deque": lambda rng: deque([rng]),
    "ordered dict": lambda rng: OrderedDict(rng=rng),
    "attribute of a list": lambda rng: (rows := Rows(range(50_000)), setattr(rows, "rng", rng))[0],
    "closure": closure_over,
    "default": default_of,
    "partial": lambda rng: functools.partial(print, 1, noise=rng),
    "bound method": lambda rng: Transform(rng=rng).__call__,
    "the generator's own method": lambda rng: Transform(draw=getattr(rng, "random", None) or rng.random_raw),
    "map": lambda rng: map(closure_over(rng), itertools.count()),
    "filter and chain": lambda rng: filter(None, itertools.chain([1], map(closure_over(rng), [1]))),
    "iterator of a list": lambda rng: iter([1, rng]),
    "generator not begun": generator_with,
    "generator expression": lambda rng: (rng.random() for _ in range(3)),
    "generator over a generator": lambda rng: (batch for batch in generator_with(rng)),
    "decorated": lambda rng: functools.wraps(print)(closure_over(rng)),
    "simple namespace": lambda rng: types.SimpleNamespace(rng=rng),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("make", [GENERATORS["Generator"], GENERATORS["Random"]], ids=["numpy", "python"])
def test_found_in(place, make):
    rng = make()
    assert is_found(rng, place(rng))


@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS)
def test_each_kind_is_found_once(make):
    rng = make()
    assert is_found(rng, Transform(one=rng, two=[rng], three=closure_over(rng)), rng)


def test_found_in_the_frame_of_a_generator_that_has_begun():
    made = []

    def source():
        rng = np.random.default_rng(1)
        made.append(rng)
        while True:
            yield rng.random()

    batches = source()
    assert found(batches) == []
    next(batches)
    assert is_found(made[0], batches)


def test_found_in_a_generator_that_is_running():
    seen = []

    def source():
        mine = random.Random(1)
        seen.append(found(batches))
        yield mine.random()

    batches = source()
    next(batches)
    assert all(type(each) is random.Random for each in seen[0])


# --- names in the code -------------------------------------------------------------------------------------

MODULE = """
import random
import numpy as np
import other_module
import logging

named = np.random.default_rng(0)
unnamed = np.random.default_rng(1)
through_helper = random.Random(2)
in_comprehension = random.Random(3)
held = {"rng": random.Random(4)}
log = logging.getLogger("x")

def helper(batch):
    return batch + through_helper.random()

def source():
    log.info("begin")
    while True:
        yield named.random()

def calls_helper(batch):
    return helper(batch)

def comprehension():
    return [in_comprehension.random() for _ in range(3)]

def reaches_over():
    return other_module.over_there.random()

def uses_a_container():
    return held["rng"].random()

def uses_globals():
    return np.random.rand() + random.random() + np.random.randn()

class Dataset:
    shared = random.Random(5)

    def __getitem__(self, index):
        return named.random()

class Child(Dataset):
    pass

class Static:
    @staticmethod
    def draw():
        return named.random()

    @property
    def noise(self):
        return in_comprehension.random()
"""


@pytest.fixture
def module(monkeypatch):
    other = types.ModuleType("other_module")
    other.over_there, other.unnamed = random.Random(6), random.Random(7)
    monkeypatch.setitem(sys.modules, "other_module", other)
    made = types.ModuleType("a_users_module")
    exec(compile(MODULE, "a_users_module.py", "exec"), made.__dict__)
    return made


def test_a_module_level_generator_is_found_by_the_name_that_the_code_uses(module):
    assert is_found(module.named, module.source)
    assert is_found(module.named, module.source())
    assert is_found(module.named, begun(module.source()))
    assert is_found(module.through_helper, module.calls_helper)
    assert is_found(module.in_comprehension, module.comprehension)
    assert is_found(module.held["rng"], module.uses_a_container)
    assert is_found(module.other_module.over_there, functools.partial(module.reaches_over))


def test_the_methods_and_the_class_of_an_instance_are_looked_at(module):
    for source in (module.Dataset(), module.Child(), module.Child().__getitem__):
        assert set(map(id, found(source))) == {id(module.named), id(module.Dataset.shared)}
    assert set(map(id, found(module.Static()))) == {id(module.named), id(module.in_comprehension)}


def test_the_global_streams_are_not_private(module):
    everything = Transform(inst=random._inst, draw=random.random, numpys=np.random.rand)
    global_ids = {id(random._inst), id(np.random.mtrand._rand)}
    assert {id(each) for each in found(everything)} == global_ids
    assert found(everything, module.uses_globals, exclude=global_ids) == []


# --- where the walk does not go ----------------------------------------------------------------------------


def test_not_found_where_it_is_not_the_sources():
    rng = random.Random(0)
    logger = logging.getLogger("test_private_streams")
    logger.rng = rng
    module = types.ModuleType("somewhere")
    module.rng = rng
    array = np.array([rng], dtype=object)
    local = threading.local()
    local.rng = rng
    places = (logger, module, array, local, weakref.ref(rng), ValueError(rng), type("C", (), {"rng": rng}))
    for place in places:
        assert found(Transform(place=place)) == [], place
    del logger.rng


def test_a_stateless_generator_is_none():
    assert found(Transform(rng=random.SystemRandom())) == []


def test_bound_in_what_it_opens(monkeypatch):
    opened = []
    instance = private_streams._open_instance
    monkeypatch.setattr(private_streams, "_open_instance", lambda obj: opened.append(obj) or instance(obj))
    chain = Transform()
    for _ in range(private_streams.MAX_OPENED * 2):
        chain = Transform(next=chain)
    assert found(chain) == []
    assert len(opened) <= private_streams.MAX_OPENED


def test_bound_in_what_it_looks_at(monkeypatch):
    looks = []
    offer = private_streams._Walk._offer
    monkeypatch.setattr(private_streams._Walk, "_offer", lambda *args: looks.append(1) or offer(*args))
    rows = [[*range(1000)] for _ in range(1000)]
    assert find_streams([rows]) == ((), private_streams.MAX_LOOKED_AT)
    assert len(looks) == private_streams.MAX_LOOKED_AT + 1  # and the root


def test_bound_in_what_it_keeps():
    assert len(found([random.Random(i) for i in range(200)])) == private_streams.MAX_STREAMS


def test_a_long_list_of_annotations_hides_no_transform():
    rng = random.Random(0)
    annotations = [{key: [[i, i]] for key in "abcdefgh"} for i in range(5000)]
    steps = [Transform(), Transform(), Transform(inner=[Transform(rng=rng)])]
    assert is_found(rng, Transform(annotations=annotations, steps=Transform(steps=steps)))


def test_a_large_container_is_sampled_and_not_copied(monkeypatch):
    asked = []
    referents = gc.get_referents
    monkeypatch.setattr(gc, "get_referents", lambda obj: asked.append(type(obj)) or referents(obj))
    rng = random.Random(0)
    assert is_found(rng, [rng, *range(100_000)])
    assert is_found(rng, dict.fromkeys(range(100_000)) | {0: rng})
    assert is_found(rng, (rng, *range(100_000)))
    assert not asked


# --- it changes nothing and runs nothing of the user's -----------------------------------------------------


class Trap(type):
    def touched(self, *args, **kwargs):
        raise AssertionError("the walk ran the user's code")

    __eq__ = __getattribute__ = __instancecheck__ = __subclasscheck__ = touched
    __hash__ = type.__hash__


class Touchy(metaclass=Trap):
    def touched(self, *args, **kwargs):
        raise AssertionError("the walk ran the user's code")

    __eq__ = __hash__ = __len__ = __iter__ = __bool__ = __getattr__ = __getattribute__ = __repr__ = touched
    noise = property(touched)
    __class__ = property(touched)


def test_the_users_code_is_never_run():
    rng = random.Random(0)
    touchy = object.__new__(Touchy)
    object.__setattr__(touchy, "rng", rng)
    assert is_found(rng, touchy)
    assert is_found(rng, [touchy, {"a": touchy}])


def test_a_frame_keeps_no_batch_alive():
    class Batch:
        pass

    def source():
        while True:
            batch = Batch()
            yield batch
            del batch

    batches = source()
    last = weakref.ref(next(batches))
    assert last() is not None  # the frame itself holds it
    found(batches)
    gc.collect()
    next(batches)
    assert last() is None


def test_a_walk_keeps_what_it_found_only():
    source = Transform(inner=Transform(rng=random.Random(0)))
    inner, kept = weakref.ref(source.inner), found(source)
    source.inner = None
    assert inner() is None
    assert len(kept) == 1


def test_containers_that_change_meanwhile_do_no_harm():
    rows, stop = {}, threading.Event()

    def change():
        for key in itertools.count():
            rows[key % 500] = [key]
            rows.pop((key * 7) % 500, None)
            if stop.is_set():
                return

    changer = threading.Thread(target=change)
    changer.start()
    try:
        source = Transform(rng=random.Random(0), rows=rows)
        for _ in range(100):
            assert is_found(source.rng, source)
    finally:
        stop.set()
        changer.join()


def test_the_order_is_that_of_discovery_and_always_the_same():
    streams = [random.Random(i) for i in range(4)]
    source = Transform(a=streams[0], b=Transform(c=streams[2]), d=streams[1], e=[[streams[3]]])
    orders = [[[id(s) for s in streams].index(id(each)) for each in found(source)] for _ in range(3)]
    assert orders == [[0, 1, 2, 3]] * 3
