"""What making a batch is, from the time and the processor time that it takes."""

from __future__ import annotations

import pytest

from batchaudit.advice.nature import nature
from tests.advice.made import DEAR, HOLDS, MS, OWN_THREADS, RELEASES, TINY, WAITS, costs, question, timing


def of(source, **more):
    asked = question(*source, **more)
    word, reasons = nature(asked, asked.options[0].timing)
    return word, {reason.rule: reason.text for reason in reasons}


@pytest.mark.parametrize(
    ("source", "word", "rule", "said"),
    [
        (WAITS, "waits", "waits", "threads can wait together"),
        (HOLDS, "holds the interpreter", "holds-interpreter", "two threads make 1.0× as many batches as one"),
        (RELEASES, "releases the interpreter", "releases-interpreter", "two threads make 2.0× as many"),
        (DEAR, "cheap", "cheap", "in less time than the 40 ms that sending it"),
        (TINY, "cheap", "cheap", "less than 1 ms"),
    ],
)
def test_natures(source, word, rule, said):
    found, reasons = of(source)
    assert found == word
    assert list(reasons) == ["make", rule]
    assert said in reasons[rule]


def test_threads_of_its_own():
    word, reasons = of(OWN_THREADS, threads_used=1.9)
    assert word == "runs threads of its own"
    assert "1.9 cores" in reasons["own-threads"]
    assert of(OWN_THREADS, threads_used=1.0)[0] == "holds the interpreter"


def test_the_time_is_told_in_its_parts():
    source = ({}, 36 * MS, 34 * MS, costs(together=1.0))
    said = of(source, nbytes=19_267_584)[1]["make"]
    assert said == "making a batch of 19 MB takes 36 ms: the processor is busy for 34 ms, for 2.0 ms it waits"


def test_more_processor_time_than_time_is_not_told_as_waiting_less_than_nothing():
    said = of(({}, 20 * MS, 25 * MS, costs(together=1.0)))[1]["make"]
    assert "busy for 20 ms, for 0 µs it waits" in said


@pytest.mark.parametrize(
    "its",
    [
        pytest.param(costs(together=None), id="two threads were not tried"),
        pytest.param(costs(together=1.0, pair=1.1), id="the machine was busy"),
        pytest.param(costs(together=1.0, cores=1, pair=1.0), id="one core"),
    ],
)
def test_where_two_threads_tell_nothing_nothing_is_said_of_the_interpreter(its):
    word, reasons = of(({}, 20 * MS, 20 * MS, its))
    assert word == ""
    assert list(reasons) == ["make"]


def test_what_two_threads_could_have_had_is_what_counts():
    # 1.45 of 2 is held up; 1.45 of the 1.6 that the machine had for two is not.
    assert of(({}, 20 * MS, 20 * MS, costs(together=1.45, pair=2.0)))[0] == "holds the interpreter"
    assert of(({}, 20 * MS, 20 * MS, costs(together=1.45, pair=1.6)))[0] == "releases the interpreter"


def test_what_was_not_clocked_has_no_nature():
    asked = question(*HOLDS)
    assert nature(asked, None) == ("", [])
    assert nature(asked, timing(20 * MS)) == ("", [])
