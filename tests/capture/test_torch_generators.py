"""A torch generator's memory says what `get_state` says, and is left alone where that is not proved."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.capture import torch_generators
from batchaudit.capture.stream_state import watch

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or sys.implementation.name != "cpython",
    reason="memory is searched through /proc",
)

DRAWS = {
    "rand": lambda g: torch.rand(3, generator=g),
    "rand, many": lambda g: torch.rand(3000, generator=g),
    "randn, one": lambda g: torch.randn(1, generator=g),
    "randn, one of 64 bits": lambda g: torch.randn(1, generator=g, dtype=torch.float64),
    "randn, odd": lambda g: torch.randn(7, generator=g),
    "randn, vectorised": lambda g: torch.randn(17, generator=g),
    "bernoulli": lambda g: torch.empty(5).bernoulli_(0.3, generator=g),
    "randperm": lambda g: torch.randperm(9, generator=g),
    "randint": lambda g: torch.randint(10, (3,), generator=g),
    "exponential": lambda g: torch.empty(3).exponential_(generator=g),
}


def state_of(generator):
    return generator.get_state().numpy().tobytes()


@on_linux
def test_memory_is_what_is_read_here():
    assert torch_generators.layout() is not None
    assert watch(torch.Generator())._read is not None
    assert watch(torch.default_generator)._read is not None


@given(
    seed=st.integers(0, 2**63 - 1),
    draws=st.lists(st.sampled_from([*DRAWS, "nothing", "manual_seed", "set_state"]), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_the_number_changes_just_when_the_state_does_and_both_ways_agree(seed, draws):
    ours = torch.Generator().manual_seed(seed)
    stream, numbers = watch(ours), {}
    start = ours.get_state()
    for name in draws:
        if name == "manual_seed":
            ours.manual_seed(seed)
        elif name == "set_state":
            ours.set_state(start)
        elif name != "nothing":
            DRAWS[name](ours)
        numbers.setdefault(state_of(ours), set()).add(stream.fingerprint())
        assert stream.fingerprint() == torch_generators.read_publicly(ours)
    assert all(len(each) == 1 for each in numbers.values())
    assert len(set.union(set(), *numbers.values())) == len(numbers)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_draw_moves_it(draw):
    generator = torch.Generator().manual_seed(1)
    stream = watch(generator)
    for _ in range(4):
        before = stream.fingerprint()
        draw(generator)
        assert stream.fingerprint() != before
        assert stream.fingerprint() == stream.fingerprint()


def test_a_kept_normal_number_is_a_part_of_the_state_and_a_dropped_one_is_not():
    generator = torch.Generator().manual_seed(1)
    stream = watch(generator)
    fresh = stream.fingerprint()
    numbers = {fresh}
    for _ in range(4):
        torch.randn(1, generator=generator)
        numbers.add(stream.fingerprint())
    assert len(numbers) == 5
    torch.randn(1, generator=generator)
    generator.manual_seed(1)
    assert stream.fingerprint() == fresh


def test_reading_and_proving_change_no_state():
    generator = torch.Generator().manual_seed(3)
    torch.randn(1, generator=generator)
    states = [state_of(each) for each in (generator, torch.default_generator)]
    torch_generators._find_layout()
    for each in (generator, torch.default_generator):
        stream = watch(each)
        assert stream.fingerprint() == stream.fingerprint()
    assert [state_of(each) for each in (generator, torch.default_generator)] == states


class _Kin(torch.Generator):
    pass


@pytest.mark.parametrize("make", [torch.Generator, _Kin], ids=["plain", "a subclass"])
@pytest.mark.parametrize("unproved", [[None], []], ids=["no proof", "proof"])
def test_processes_with_and_without_a_proof_agree(make, unproved, monkeypatch):
    def numbers():
        generator = make()
        generator.manual_seed(9)
        stream, seen = watch(generator), []
        for draw in DRAWS.values():
            seen.append(stream.fingerprint())
            draw(generator)
        return seen

    here = numbers()
    monkeypatch.setattr(torch_generators, "_found", unproved)
    assert numbers() == here
    assert len(set(here)) == len(DRAWS)


def test_a_generator_of_another_class_is_read_publicly(monkeypatch):
    known = torch_generators.layout()
    if known is None:
        pytest.skip("no layout is proved here")
    monkeypatch.setattr(torch_generators, "_found", [known._replace(table=known.table + 8)])
    generator = torch.Generator().manual_seed(2)
    stream = watch(generator)
    assert stream._read is None
    before = stream.fingerprint()
    torch.rand(1, generator=generator)
    assert stream.fingerprint() != before


@on_linux
@pytest.mark.parametrize("broken", ["_engine", "_keeps_double", "_keeps_single", "_reader"])
def test_what_does_not_fit_is_not_used(broken, monkeypatch):
    assert torch_generators._find_layout() is not None
    still = ctypes.create_string_buffer(16)
    wrong = {
        "_engine": lambda public, private: None,
        "_keeps_double": lambda *args: False,
        "_keeps_single": lambda *args: True,  # more than one place
        "_reader": lambda *args: lambda: int(still[0] == b"\0"),
    }
    monkeypatch.setattr(torch_generators, broken, wrong[broken])
    assert torch_generators._find_layout() is None


def test_a_search_that_fails_is_not_tried_again(monkeypatch):
    tried = []

    def fail():
        tried.append(1)
        raise OSError("no /proc here")

    monkeypatch.setattr(torch_generators, "_found", [])
    monkeypatch.setattr(torch_generators, "_find_layout", fail)
    generator = torch.Generator().manual_seed(2)
    assert watch(generator).fingerprint() == watch(generator).fingerprint()
    assert tried == [1]


@on_linux
def test_a_spawned_process_and_a_forked_one_read_the_same_numbers(tmp_path):
    script = tmp_path / "states_of_one.py"
    script.write_text(
        "import json, os, sys, torch\n"
        "from batchaudit.capture import torch_generators\n"
        "from batchaudit.capture.stream_state import watch\n"
        "if sys.argv[1] == 'public':\n"
        "    torch_generators._found.append(None)\n"
        "generator = torch.Generator().manual_seed(4)\n"
        "stream = watch(generator)\n"
        "torch.randn(1, generator=generator)\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(write, json.dumps(stream.fingerprint()).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print(json.dumps([stream._read is None, stream.fingerprint(), json.loads(os.read(read, 99))]))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    runs = [
        json.loads(
            subprocess.run([sys.executable, script, way], env=env, check=True, capture_output=True).stdout
        )
        for way in ("memory", "public")
    ]
    assert [run[0] for run in runs] == [False, True]
    assert len({number for run in runs for number in run[1:]}) == 1
