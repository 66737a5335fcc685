from __future__ import annotations

import gc
import json
import sys

from batchaudit.consumers import places


class Made:
    def __init__(self):
        places.note(self)


class OfTheUsers(Made):
    def __init__(self):
        super().__init__()


def line():
    return sys._getframe(1).f_lineno


def test_the_line_that_makes_it():
    made, here = OfTheUsers(), line()
    assert places.of(made).endswith(f"test_places.py:{here}")


def test_a_librarys_lines_are_passed_over():
    here = line() + 1
    [place] = json.loads("[{}]", object_hook=lambda _: places.caller())
    assert place.endswith(f"test_places.py:{here}")


def test_nothing_is_kept_and_no_number_is_taken_for_another():
    made = Made()
    number = id(made)
    assert number in places._made
    del made
    gc.collect()
    assert number not in places._made
    assert places.of(object()) == ""


def test_what_takes_no_weak_reference_is_not_remembered():
    places.note(3)
    assert places.of(3) == ""
