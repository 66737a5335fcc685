from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.errors import UsageError
from batchaudit.strategies.spec import FAMILIES, START_METHODS, Strategy, parse, several

WITH_WORKERS = [family for family in FAMILIES if family not in ("serial", "as-is")]
PROCESSES = ["fork", "spawn", "forkserver"]


@given(st.sampled_from(WITH_WORKERS), st.integers(1, 10_000))
def test_family_and_workers_come_back(family, workers):
    assert parse(f"{family}:{workers}") == Strategy(family, workers)


@given(
    st.sampled_from(PROCESSES),
    st.integers(1, 64),
    st.one_of(st.sampled_from(["inherit", "fresh"]), st.integers(0, 10**9 - 1)),
    st.integers(1, 999_999),
)
def test_what_is_written_is_what_is_read(family, workers, seed, queue):
    strategy = parse(f" {family}:{workers} , seed={seed},queue={queue} ")
    assert (strategy.seed, strategy.queue, strategy.start) == (seed, queue, family)
    assert parse(str(strategy)) == strategy


@given(st.sampled_from(["keras-processes", "tf_keras-processes"]), st.sampled_from(START_METHODS))
def test_start_and_shuffle(family, start):
    strategy = parse(f"{family}:2,start={start},shuffle")
    assert (strategy.start, strategy.shuffle) == (start, True)
    assert parse(str(strategy)) == strategy


def test_defaults():
    assert [
        (it.seed, it.queue, it.shuffle, it.start) for it in (parse("serial"), parse("keras-threads:2"))
    ] == [("inherit", 10, False, None)] * 2


@given(st.text(string.printable, max_size=20))
def test_anything_else_is_bad_usage_and_nothing_worse(text):
    try:
        strategy = parse(text)
    except UsageError as error:
        assert repr(text) in str(error)
    else:
        assert parse(str(strategy)) == strategy


BAD = {
    "": "expected one of as-is, serial, threads:N",
    "sreial": "unknown strategy 'sreial'",
    "fork": "whole number from 1 on",
    "fork:": "whole number from 1 on",
    "fork:0": "whole number from 1 on",
    "fork:-1": "whole number from 1 on",
    "fork:x": "whole number from 1 on",
    "fork:1.5": "whole number from 1 on",
    "fork:٣": "whole number from 1 on",
    "serial:2": "takes no number of workers",
    "as-is:1": "takes no number of workers",
    "serial,queue=3": "no option 'queue'",
    "fork:2,": "no option ''",
    "fork:2,start=spawn": "no option 'start'",
    "fork:2,seed": "needs a value",
    "fork:2,seed=": "neither inherit, fresh",
    "fork:2,seed=-1": "neither inherit, fresh",
    "fork:2,seed=4294967296": "below 10^9",
    "threads:2,queue=0": "1 or more",
    "keras-processes:2,start=thread": "not one of fork, spawn, forkserver",
    "keras-threads:2,shuffle=yes": "takes no value",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_said(text):
    with pytest.raises(UsageError) as error:
        parse(text)
    assert BAD[text] in str(error.value)
    assert repr(text) in str(error.value)


def test_an_option_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse("fork:2,seed=1,seed=2")


@pytest.mark.parametrize(
    ("text", "strategies"),
    [
        ("fork:4", ["fork:4"]),
        ("serial fork:4", ["serial", "fork:4"]),
        ("serial,fork:4", ["serial", "fork:4"]),
        (" serial,  tf.data:2 , as-is,", ["serial", "tf.data:2", "as-is"]),
        ("torch:4,persistent,start=spawn,fork:2,seed=fresh", ["torch:4,persistent,start=spawn", "fork:2,seed=fresh"]),
        ("tf_keras-processes:2,start=fork fork:2", ["tf_keras-processes:2,start=fork", "fork:2"]),
        ("forc:2 serial", ["forc:2", "serial"]),
        ("", []),
    ],
)  # fmt: skip
def test_several_in_one_text(text, strategies):
    assert several(text) == strategies
