from __future__ import annotations

import copy
import multiprocessing
import sys
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wds = pytest.importorskip("webdataset")

from torch.utils.data import DataLoader, IterableDataset  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit import sources  # noqa: E402
from batchaudit.capture.ids import sample_ids  # noqa: E402
from batchaudit.sources.kinds import Kind  # noqa: E402
from tests.sources.delivered import epochs, flat, given, ids, logged  # noqa: E402

SHARDS, ROWS, SIZE = 4, 12, 4
ALL = SHARDS * ROWS

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Real digits in tar files on this machine."""
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.float32)
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(SHARDS):
        with wds.TarWriter(str(folder / f"digits-{shard}.tar")) as tar:
            for row in range(shard * ROWS, (shard + 1) * ROWS):
                tar.write({"__key__": f"digit{row:03d}", "image.npy": images[row], "row.cls": row})
    return [str(folder / f"digits-{shard}.tar") for shard in range(SHARDS)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def pipeline(urls, *, fields=("image.npy", "row.cls"), **kwargs):
    return wds.WebDataset(urls, shardshuffle=False, **kwargs).decode().to_tuple(*fields).batched(SIZE)


def as_dicts(urls):
    return wds.WebDataset(urls, shardshuffle=False).decode().batched(SIZE, collation_fn=side_by_side)


def side_by_side(samples):
    """What many write for batches of dicts."""
    return {
        "__key__": [sample["__key__"] for sample in samples],
        "image": np.stack([sample["image.npy"] for sample in samples]),
    }


def rows(batches):
    return [np.asarray(batch[1]).tolist() for batch in batches]


def test_a_pipeline_is_what_it_is_unwatched_and_what_the_log_says(urls, folder):
    plain = rows(pipeline(urls))
    with ba.Audit(folder) as audit:
        source = pipeline(urls)
        watched = audit.wrap(source, name="digits")
        assert isinstance(watched, wds.WebDataset)
        assert isinstance(watched, IterableDataset)
        assert audit.wrap(watched) is watched
        assert audit.wrap(source) is watched
        seen = [list(watched) for _ in range(3)]
        report = audit.report()
    assert [rows(each) for each in seen] == [plain] * 3
    assert epochs(logged(folder, "digits")) == given(*seen)
    assert report.epochs["delivered"].tolist() == [ALL // SIZE] * 3


def test_keys_that_a_batch_carries_are_its_ids(urls, folder):
    with ba.Audit(folder) as audit:
        seen = list(audit.wrap(as_dicts(urls), name="digits"))
    keys = [key for batch in seen for key in batch["__key__"]]
    assert ids(logged(folder, "digits")) == [sample_ids(list, keys).tolist()]


def test_a_batch_without_keys_has_no_ids(urls, folder):
    with ba.Audit(folder) as audit:
        list(audit.wrap(pipeline(urls), name="digits"))
    assert not logged(folder, "digits").ids_known


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loaders_workers_are_watched_and_what_leaves_it_is_delivered(urls, folder, workers):
    def make():
        return wds.WebLoader(pipeline(urls), num_workers=workers, batch_size=None)

    plain = rows(make())
    with ba.Audit(folder) as audit:
        source = make()
        watched = audit.wrap(source, name="digits")
        assert isinstance(watched, wds.WebLoader)
        assert watched.pipeline is source.pipeline
        seen = [list(watched) for _ in range(2)]
    assert [rows(each) for each in seen] == [plain] * 2
    found = logged(folder, "digits")
    assert epochs(found) == given(*seen)
    assert found.produced["delivered"].all()
    assert len(found.produced) == 2 * ALL // SIZE
    if workers:
        assert sorted(set(found.produced["framework_worker"])) == [0, 1]
        assert set(found.delivered["pid"]).isdisjoint(found.produced["pid"])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_put_together_anew_after_the_workers_are_delivered_of_no_one(urls, folder, workers):
    def make():
        loading = wds.WebLoader(pipeline(urls), num_workers=workers, batch_size=None)
        return loading.unbatched().shuffle(100, seed=5, initial=100).batched(6)

    plain = rows(make())
    with ba.Audit(folder) as audit:
        seen = list(audit.wrap(make(), name="digits"))
    assert rows(seen) == plain
    found = logged(folder, "digits")
    assert epochs(found) == given(seen)
    assert (found.delivered["made"] < 0).all()
    assert len(found.produced) == ALL // SIZE
    assert len(found.delivered) == ALL // 6


def test_in_a_loader_of_torchs_each_worker_has_shards_of_its_own(urls, folder):
    plain = rows(DataLoader(pipeline(urls), batch_size=None, num_workers=2))
    with ba.Audit(folder) as audit:
        loader = DataLoader(pipeline(urls), batch_size=None, num_workers=2)
        seen = [list(audit.wrap(loader, name="digits")) for _ in range(2)]
        report = audit.report()
    assert [rows(each) for each in seen] == [plain] * 2
    assert sorted(flat(plain)) == list(range(ALL))
    assert epochs(logged(folder, "digits")) == given(*seen)
    assert report.epochs["unique"].tolist() == [ALL // SIZE] * 2


def test_without_the_splitter_each_worker_gives_all_of_it(urls, folder):
    with ba.Audit(folder) as audit:
        whole = pipeline(urls, workersplitter=None)
        seen = list(audit.wrap(wds.WebLoader(whole, num_workers=2, batch_size=None), name="digits"))
        report = audit.report()
    assert len(seen) == 2 * ALL // SIZE
    assert report.epochs["effective_ratio"].tolist() == [0.5]
    assert "unsharded-replica" in [finding.cause for finding in report.findings]


def test_an_endless_one_has_the_epochs_that_it_is_given(urls, folder):
    with ba.Audit(folder) as audit:
        endless = pipeline(urls, resampled=True, seed=1).with_epoch(5)
        watched = audit.wrap(endless, name="digits")
        seen = [list(watched) for _ in range(3)]
    assert [len(each) for each in seen] == [5, 5, 5]
    assert epochs(logged(folder, "digits")) == given(*seen)


def test_an_epoch_of_a_loader_is_so_many_batches_of_each_worker(urls, folder):
    with ba.Audit(folder) as audit:
        endless = pipeline(urls, resampled=True, seed=1).with_epoch(5)
        watched = audit.wrap(wds.WebLoader(endless, num_workers=2, batch_size=None), name="digits")
        assert len(list(watched)) == 10
        assert audit.report().epochs["delivered"].tolist() == [10]


def test_stages_can_be_appended_to_a_watched_pipeline(urls, folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(wds.WebDataset(urls, shardshuffle=False), name="digits")
        seen = list(watched.decode().to_tuple("image.npy", "row.cls").batched(6))
    assert rows(seen) == np.arange(ALL).reshape(-1, 6).tolist()
    assert epochs(logged(folder, "digits")) == given(seen)


def test_a_loop_that_is_left_ends_the_workers(urls, folder):
    before = multiprocessing.active_children()
    with ba.Audit(folder) as audit:
        iterator = iter(
            audit.wrap(wds.WebLoader(pipeline(urls), num_workers=2, batch_size=None), name="digits")
        )
        assert len(list(islice(iterator, 3))) == 3
        assert len(multiprocessing.active_children()) == len(before) + 2
        del iterator
        assert multiprocessing.active_children() == before


def test_what_a_stage_raises_comes_through(urls, folder):
    def refuse(sample):
        raise LookupError("no such digit")

    source = wds.WebDataset(urls, shardshuffle=False).map(refuse)
    with ba.Audit(folder) as audit, pytest.raises(LookupError, match="no such digit"):
        list(audit.wrap(source, name="digits"))
    assert logged(folder, "digits").raised["text"].tolist() == ["LookupError"]


def test_after_the_audit_a_loader_goes_on_unwatched(urls, folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(wds.WebLoader(pipeline(urls), num_workers=0, batch_size=None), name="digits")
        list(watched)
    with pytest.warns(ba.errors.BatchauditWarning):
        assert rows(watched) == rows(pipeline(urls))
    assert len(epochs(logged(folder, "digits"))) == 1


def test_a_copy_is_watched_as_well(urls, folder):
    with ba.Audit(folder) as audit:
        watched = copy.copy(audit.wrap(pipeline(urls), name="digits"))
        seen = list(watched)
    assert epochs(logged(folder, "digits")) == given(seen)


def test_the_kind_is_told_without_loading_webdataset(urls, monkeypatch):
    source = pipeline(urls)
    assert sources.kind_of(source) is Kind.ITERABLE
    monkeypatch.delitem(sys.modules, "webdataset")
    assert sources.kind_of(source) is Kind.ITERABLE  # as any iterable
