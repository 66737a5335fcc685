from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.fuzz import seeds
from tests.faults.fuzz.resealed import resealed
from tests.faults.fuzz.targets import NEXT, RAW, TARGETS
from tests.faults.mutations import mutated

FOUND = sorted(path for path in (Path(__file__).parent / "found").glob("*/*") if path.is_file())
MUTATED = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return seeds.made(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("target", TARGETS)
def test_what_real_runs_wrote_and_what_is_made_of_it_break_no_promise(corpus, target):
    first = corpus[target]
    assert len(first) >= 2
    for data in first:
        TARGETS[target](data)
    for number in range(MUTATED):
        drawn = random.Random(number)
        TARGETS[target](mutated(drawn.choice(first), drawn.choice(first), drawn)[1])


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_promise_does_so_no_more(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_a_journal_that_is_whole_is_left_as_it_is_when_it_is_sealed_again(corpus):
    part = next(data for data in corpus["reader"] if data.startswith(RAW))[1:].split(NEXT)[0]
    assert resealed(part) == part
    damaged = bytearray(part)
    damaged[-1] ^= 1
    assert resealed(bytes(damaged)) not in (part, bytes(damaged))
