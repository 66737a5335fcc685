"""The table says what is right and what is not, and does not lose what went wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.corpus import process
from tests.corpus.case import Case
from tests.corpus.one import Outcome, Seen, _wrong_of_healthy, _wrong_of_sick
from tests.corpus.table import differences, figures, table

FOUND = Seen({"rng-clone": "error", "tail-drop": "info"}, verdicts={"rng-clone": "found"})
RIGHT = Outcome("A", "torch", "a bug", ["rng-clone"], [], FOUND, Seen(), "it is there")
HEALTHY = Outcome("H", "torch", "tricky")


def case(expected, allowed=()):
    return Case("A", "", "", frozenset(expected), None, None, None, frozenset(allowed))


@pytest.mark.parametrize(
    ("expected", "allowed", "reasons"),
    [
        ({"rng-clone"}, (), []),  # what is only "info" may always be found
        ({"rng-clone", "tail-drop"}, (), []),  # and may be what is expected
        ({"stale-epoch"}, (), ["not found: stale-epoch", "found, and must not be: rng-clone"]),
        ((), {"rng-clone"}, []),
        ((), (), ["found, and must not be: rng-clone"]),
    ],
)
def test_a_sick_loader_has_its_causes_and_no_other(expected, allowed, reasons):
    assert _wrong_of_sick(case(expected, allowed), FOUND) == reasons
    assert replace(RIGHT, expected=sorted(expected), allowed=sorted(allowed)).named == (not reasons)


@pytest.mark.parametrize(
    ("seen", "clean"),
    [
        (Seen({"tail-drop": "info"}), True),
        (Seen({"tail-drop": "warning"}), False),
        (Seen(trouble=["fork:4 was skipped: no fork"]), False),
        (Seen(ended=["ValueError: it raised"]), False),
    ],
)
def test_a_healthy_loader_is_audited_to_its_end_and_has_nothing(seen, clean):
    assert seen.clean == clean
    assert (not _wrong_of_healthy("twin", seen)) == clean


def test_the_figures_count_each_thing_for_itself():
    unproved = replace(RIGHT, id="B", proof=None, reasons=["the proof does not hold"])
    missed = replace(RIGHT, id="C", sick=Seen(), reasons=["not found: rng-clone"])
    line = figures([RIGHT, unproved, missed, HEALTHY])
    assert line == (
        "2 of 3 cases have their causes named and no other; 3 of 3 twins are clean; "
        "1 of 1 healthy loaders are clean; 2 of 3 proofs hold."
    )
    text = table([RIGHT, missed, HEALTHY])
    assert "C: not found: rng-clone" in text
    assert text.count("FAILS") == 1


def test_what_differs_between_two_times_is_told():
    assert differences([[RIGHT, HEALTHY], [RIGHT, HEALTHY]]) == []
    unseen = replace(RIGHT, sick=replace(FOUND, verdicts={"rng-clone": "not observable"}))
    assert differences([[RIGHT], [unseen]]) == ["A, sick: rng-clone found / not observable"]
    (line,) = differences([[HEALTHY], [replace(HEALTHY, healthy=Seen({"rng-clone": "error"}))]])
    assert line == "H: found [nothing] / [rng-clone (error)]"


def test_an_outcome_comes_back_from_its_line():
    assert Outcome.from_dict(RIGHT.to_dict()) == RIGHT
    assert Outcome.from_dict(HEALTHY.to_dict()) == HEALTHY


def test_a_process_that_gives_no_outcome_is_a_case_that_fails():
    assert process.run("no such case").reasons == [
        "its process ended with 2: no case has the id no such case"
    ]
    assert process.run("K01", patience=0.01).reasons[0].startswith("no outcome after 0 s")
