from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from batchaudit.errors import BatchauditWarning, UsageError
from batchaudit.journal.layout import Event
from batchaudit.journal.reader import load
from batchaudit.journal.room import LEAST, check
from batchaudit.journal.writer import JournalWriter

LIMIT = 1 << 20
EVENT = Event(0, samples=np.arange(32, dtype=np.uint64))


def writer_in(folder, limit=LIMIT):
    return JournalWriter(folder, source="s", strategy="t", run="r", max_bytes=limit)


def fill(writer):
    """Appends until nothing is written any more; how many were."""
    written = 0
    while writer.append(EVENT):
        written += 1
    writer.close()
    return written


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("*.baj"))


def test_at_the_limit_logging_stops_cleanly_and_says_so(tmp_path):
    writer = writer_in(tmp_path)
    with pytest.warns(BatchauditWarning, match=r"max_bytes=1,048,576") as caught:
        written = fill(writer)
    assert [one.message.slug for one in caught] == ["log-full"] and writer.off
    assert 0.9 * LIMIT < size_of(tmp_path) <= LIMIT
    log = load(tmp_path)
    assert len(log.events) == written
    health = log.health
    assert (health.bytes_dropped, health.gaps, health.files_not_ended, health.complete) == (0, 0, (), False)
    assert "max_bytes" in health.lost


def test_what_an_earlier_attempt_wrote_counts(tmp_path):
    with pytest.warns(BatchauditWarning):
        fill(writer_in(tmp_path))
    before = size_of(tmp_path)
    later = JournalWriter(tmp_path, source="s", strategy="t", run="r", attempt=1, max_bytes=LIMIT)
    with pytest.warns(BatchauditWarning, match="log-full"):
        assert later.append(EVENT) == 0
    assert size_of(tmp_path) == before


@pytest.mark.parametrize("processes", [2, 16])
def test_processes_keep_the_limit_together(tmp_path, processes):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=fill, args=(writer_in(tmp_path),)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert 0.8 * LIMIT < size_of(tmp_path) <= LIMIT
    assert len(list(tmp_path.glob("*.failed"))) == 1


def test_a_record_that_is_larger_than_what_is_left_is_not_written(tmp_path):
    writer = writer_in(tmp_path, LEAST)
    with pytest.warns(BatchauditWarning, match="log-full"):
        assert writer.append(Event(0, samples=np.zeros(LEAST, np.uint64))) == 0
    writer.close()
    assert load(tmp_path).health.gaps == 0


@pytest.mark.parametrize("limit", [-1, 0, LEAST - 1])
def test_a_limit_that_is_too_small_is_refused(limit):
    with pytest.raises(UsageError, match="65,536"):
        check(limit)
