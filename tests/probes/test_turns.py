import multiprocessing
import os

import pytest

from batchaudit.probes.turns import Turns


def make(items, jobs):
    """As a worker of a pool: takes what there is for as long as there is something."""
    made = 0
    while jobs.get() is not None:
        items.wait()
        made += 1
    return os.getpid(), made


@pytest.fixture
def pool():
    with multiprocessing.Manager() as manager, multiprocessing.Pool(3) as workers:

        def run(items, count):
            jobs = manager.Queue()
            for job in [*range(count), None, None, None]:
                jobs.put(job)
            return dict(workers.starmap(make, [(items, jobs)] * 3, chunksize=1))

        yield run


def test_each_worker_makes_as_many_as_the_others(pool, tmp_path):
    assert sorted(pool(Turns(str(tmp_path), 3, 12), 12).values()) == [4, 4, 4]


def test_what_is_left_over_is_for_whoever_is_free(pool, tmp_path):
    made = pool(Turns(str(tmp_path), 3, 11), 11)
    assert sum(made.values()) == 11 and min(made.values()) >= 3


def test_nobody_is_waited_for_for_ever(pool, tmp_path):
    assert sum(pool(Turns(str(tmp_path), 4, 12, patience=0.0), 12).values()) == 12


def test_a_look_ahead_of_the_process_that_drives_waits_for_nobody(tmp_path):
    Turns(str(tmp_path), 2, 8).wait()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_with_its_probe_holds_nobody_up(pool, tmp_path):
    assert sum(pool(Turns(str(tmp_path / "gone"), 3, 6), 6).values()) == 6
