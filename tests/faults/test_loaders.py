"""A few of the drawn loaders; `python -m tests.faults loaders` drives two hundred."""

from __future__ import annotations

import pytest

from tests.faults import drawn, loaders

pytest.importorskip("torch")
pytest.importorskip("tensorflow")


def told(*seen, code=0):
    return {"code": code, "seen": list(seen), "said": ""}


def test_watched_is_unwatched():
    cases = drawn.drawn(14, 0)
    found = loaders.outcomes(cases)
    assert len(found) == len(cases)
    assert [loaders.explained(one) for one in found if one.differs] == []
    compared = [one for one in found if not one.raced]
    assert len(compared) >= 7 and sum(one.batches for one in compared) >= 30


def test_what_a_spoiled_watched_run_gives_is_seen():
    case = {
        "family": "iterable",
        "batches": 3,
        "rows": 2,
        "epochs": 2,
        "draws": ["numpy"],
        "everything": False,
    }
    case |= {
        "fault": "none",
        "at": 0,
        "leaves": {"structure": "one", "dtypes": ["float32"] * 2, "shape": [], "last": "full"},
    }
    with loaders.Warm("torch") as warm:
        plain = [warm._run(case, False) for _ in range(2)]
        spoiled = warm._run({**case, "draws": ["python"]}, True)
    found = loaders.Outcome(case, plain, spoiled)
    assert found.differs and found.batches == 6
    assert "from 0" in loaders.explained(found)


@pytest.mark.parametrize(
    ("plain", "watched", "raced", "differs"),
    [
        ([told("a"), told("a")], told("a"), False, False),
        ([told("a"), told("a")], told("b"), False, True),
        ([told("a"), told("a")], told("a", code=1), False, True),
        ([told("a"), told("b")], told("b"), True, False),
    ],
)
def test_a_race_is_told_from_a_difference(plain, watched, raced, differs):
    found = loaders.Outcome({}, plain, watched)
    assert (found.raced, found.differs) == (raced, differs)


def test_a_seed_draws_the_same_loaders_of_all_families():
    cases = drawn.drawn(28, 5)
    assert cases == drawn.drawn(28, 5) != drawn.drawn(28, 6)
    assert {case["family"] for case in cases} == set(drawn.FAMILIES)
