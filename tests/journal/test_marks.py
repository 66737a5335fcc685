from __future__ import annotations

import multiprocessing
import shutil
import warnings

import pytest

from batchaudit.errors import BatchauditWarning
from batchaudit.journal import marks
from batchaudit.journal.layout import Event
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter


def failing(folder, **metadata):
    """A writer whose folder takes marks and no journal."""
    return JournalWriter(folder, source="x" * 70, strategy="live", run="r", **metadata)


def test_the_first_leaves_the_mark_and_the_others_find_it(tmp_path):
    path = marks.path_of(tmp_path, 2, 3, "log-stopped")
    assert path == str(tmp_path / "attempt-0002-rank-0003-log-stopped.failed")
    assert (marks.leave(path, "disk full"), marks.leave(path, "again")) == (True, False)
    assert (tmp_path / "attempt-0002-rank-0003-log-stopped.failed").read_text() == "disk full"


def test_where_none_can_be_left_nobody_is_first(tmp_path):
    assert marks.leave(str(tmp_path / "gone" / "x.failed"), "disk full") is None


def _append_unreadable(writer, caught):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        writer.append(Event(0, samples=object()))
    caught.put([one.message.slug for one in seen])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_fault_that_hits_all_workers_warns_once_a_rank(tmp_path, method):
    context = multiprocessing.get_context(method)
    writers = [failing(tmp_path, rank=rank) for rank in (0, 0, 0, 1)]
    caught = context.Queue()
    workers = [context.Process(target=_append_unreadable, args=(it, caught)) for it in writers]
    for worker in workers:
        worker.start()
    slugs = [caught.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(slugs) == [[], [], ["record-lost"], ["record-lost"]]
    assert len(list(tmp_path.glob("*.failed"))) == 2


def test_where_the_folder_is_gone_whoever_opened_it_warns_and_no_worker(tmp_path):
    context = multiprocessing.get_context("spawn")
    writer = failing(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    caught = context.Queue()
    worker = context.Process(target=_append_unreadable, args=(writer, caught))
    worker.start()
    assert caught.get(timeout=120) == []
    worker.join()
    with pytest.warns(BatchauditWarning) as seen:
        writer.append(Event(0))
        failing(tmp_path / "gone" / "run").append(Event(0))
    assert [one.message.slug for one in seen] == ["log-stopped"]


def test_a_lost_record_is_a_gap_and_logging_goes_on(tmp_path):
    writer = JournalWriter(tmp_path, source="s", strategy="t", run="r")
    with pytest.warns(BatchauditWarning, match="could not write"):
        tickets = [writer.append(Event(0, step=n, samples=object() if n == 1 else None)) for n in range(3)]
    assert tickets[1] == 0 and not writer.off
    writer.close()
    log = load(tmp_path)
    assert log.events["step"].tolist() == [0, 2]
    assert (log.health.gaps, log.health.complete) == (1, False)
