"""The advice as plain values, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from batchaudit.advice import Advice, advise
from batchaudit.advice.document import from_plain, to_plain
from tests.advice.made import HOLDS, WAITS, question
from tests.advice.test_advise import QUESTIONS


@given(QUESTIONS, QUESTIONS)
def test_it_comes_back_from_json(one, other):
    advice = Advice(tuple(found for found in map(advise, (one, other)) if found is not None))
    assert from_plain(json.loads(json.dumps(to_plain(advice)))) == advice


def test_nothing_comes_back_as_nothing():
    assert from_plain(to_plain(Advice())) == Advice()


@pytest.mark.parametrize("damage", ["reasons", "compared"])
def test_what_lacks_a_part_is_refused(damage):
    plain = to_plain(Advice((advise(question(*WAITS)),)))
    del plain[0][damage]
    with pytest.raises(KeyError):
        from_plain(plain)


def test_what_has_a_part_too_many_is_refused():
    plain = to_plain(Advice((advise(question(*WAITS)),)))
    plain[0]["mood"] = "good"
    with pytest.raises(TypeError):
        from_plain(plain)


def test_one_source_is_found_by_its_name():
    waits, holds = advise(question(*WAITS)), advise(question(*HOLDS))
    several = Advice((waits, holds))
    assert several["s"] is waits
    assert (several.best, len(several), list(several)) == (None, 2, [waits, holds])
    assert Advice((waits,)).best == "threads:4"
    assert Advice().best is None
    with pytest.raises(KeyError):
        several["other"]


def test_it_reads_as_its_summary():
    waits = advise(question(*WAITS))
    assert str(Advice((waits,))) == repr(Advice((waits,))) == f"s: {waits.summary}"
    assert str(Advice()) == "nothing was measured that advice could be given from"
