"""What judges the faults must itself see each way in which a promise can be broken."""

from __future__ import annotations

import os

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.journal.writer import JournalWriter
from tests.faults import contents, plain_reader
from tests.faults.judging import judge
from tests.faults.ledger import Ledger

SEED, COUNT = 5, 40


def logged(folder, ledger, events=None) -> JournalWriter:
    ledger.starts(0)
    writer = JournalWriter(folder, source="s", strategy="t", run="r")
    for number in range(COUNT):
        ledger.begins(0)
        assert writer.append((events or {}).get(number) or contents.event(SEED, 0, number))
        ledger.finishes(0)
    return writer


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger", 2)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def test_a_log_as_it_was_written_holds(run, ledger):
    logged(run, ledger).close()
    tally = judge(run, ledger, SEED, events=True)
    assert tally.holds and (tally.begun, tally.finished, tally.read) == (COUNT, COUNT, COUNT)


@pytest.mark.parametrize("name", [*contents.FIELDS, "streams_after", "samples", "ids"])
def test_a_record_that_differs_in_one_field_is_wrong(run, ledger, name):
    number = next(n for n in range(COUNT) if np.size(contents.event(SEED, 0, n).ids) > 1)
    right = contents.event(SEED, 0, number)
    other = contents.event(SEED + 1, 1, number + COUNT)
    changed = {"framework_worker": 1, "text": right.text + "x", "flags": right.flags ^ 1,
               "samples": right.samples + np.uint64(1), "ids": right.ids[::-1]}  # fmt: skip
    value = changed.get(name, getattr(other, name))
    logged(run, ledger, {number: right._replace(**{name: value})})
    tally = judge(run, ledger, SEED, events=True)
    assert (tally.wrong, tally.missing, tally.holds) == (1, 1, False)


def test_a_finished_record_that_is_not_there_is_missing(run, ledger):
    logged(run, ledger)
    ledger.begins(0)
    ledger.finishes(0)
    tally = judge(run, ledger, SEED, events=True)
    assert (tally.missing, tally.wrong, tally.holds) == (1, 0, False)


def test_a_record_that_nobody_began_is_wrong(run, ledger):
    logged(run, ledger).append(contents.event(SEED, 0, COUNT))
    tally = judge(run, ledger, SEED, events=True)
    assert (tally.missing, tally.wrong, tally.holds) == (0, 1, False)


def test_a_record_that_is_there_twice_is_counted(run, ledger):
    logged(run, ledger).append(contents.event(SEED, 0, 3))
    assert judge(run, ledger, SEED, events=True).twice == 1


def test_a_torn_end_is_in_flight_and_counted_to_the_byte(run, ledger):
    writer = logged(run, ledger)
    (path,) = run.glob("*.baj")
    last = max(plain_reader.read(path).events.items())[1]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    tally = judge(run, ledger, SEED, events=True)
    assert (tally.missing, tally.torn, tally.dropped, tally.dropped_told) == (1, 1, last - 8, last - 8)
    assert tally.miscounted == 0 and not writer.closed


def test_a_count_that_is_wrong_is_seen(run, ledger, monkeypatch):
    logged(run, ledger)
    monkeypatch.setattr(plain_reader.Found, "gaps", 1)
    assert judge(run, ledger, SEED, events=True).miscounted == 2  # the gaps, and whether it is complete


def test_a_watched_batch_with_another_content_is_wrong_and_its_own_is_missing(run, ledger):
    with ba.Audit(run) as audit:
        rows = audit.wrap(contents.Rows(SEED))
        ledger.starts(0)
        for index in (0, 1, 5):
            ledger.begins(0)
            assert rows[index] is not None
            ledger.finishes(0)
    tally = judge(run, ledger, SEED, events=False, consumers={os.getpid()})
    assert (tally.read, tally.wrong, tally.missing) == (3, 1, 1)
    assert judge(run, ledger, SEED, events=False).wrong == 3  # it expects another flag
