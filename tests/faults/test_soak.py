"""A long run takes no more than a short one. `python -m tests.faults soak` watches 10 million batches."""

from __future__ import annotations

import pytest

from batchaudit.journal.reader import load
from tests.faults import soak

BATCHES = 30_000


@pytest.fixture(
    scope="module", params=[("generator", False), ("indexed", False), ("generator", True)], ids=str
)
def soaked(request, tmp_path_factory):
    kind, with_ids = request.param
    run = tmp_path_factory.mktemp("soak") / "run"
    return run, kind, with_ids, soak.measure_in_new_process(run, BATCHES, kind, with_ids=with_ids)


def test_memory_and_descriptors_stay_level(soaked):
    *_, points = soaked
    assert len(points) > 100 and points[-1].batches == BATCHES
    assert soak.fitted_growth(points) <= soak.MOST_GROWTH
    after = {point.descriptors for point in points}
    assert len(after) == 1


def test_the_log_is_as_large_as_the_format_says_to_the_byte(soaked):
    run, kind, with_ids, points = soaked
    path = soak.log_file(run)
    header = soak.header_size(path)
    said = [
        soak.size_of_log(point.batches, header, kind=kind, with_ids=with_ids, ended=False) for point in points
    ]
    assert [point.logged for point in points] == said
    assert path.stat().st_size == soak.size_of_log(BATCHES, header, kind=kind, with_ids=with_ids)


def test_each_batch_is_there(soaked):
    run, _, with_ids, _ = soaked
    log = load(run)
    assert log.health.complete and not log.health.files_not_ended
    assert (log.events["stage"] == "produced").sum() == BATCHES
    assert len(log.samples) == BATCHES * soak.SAMPLES
    assert log.samples["id"].notna().all() == with_ids


def test_a_leak_of_one_small_object_a_batch_would_be_seen():
    points = [soak.Point(n, 10**8 + 32 * n, 9, 0, 0.0) for n in range(0, BATCHES + 1, BATCHES // 200)]
    assert soak.fitted_growth(points) > soak.MOST_GROWTH
