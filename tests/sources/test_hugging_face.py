from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
datasets = pytest.importorskip("datasets")

from torch.utils.data import DataLoader, IterableDataset  # noqa: E402

import batchaudit as ba  # noqa: E402
from batchaudit import sources  # noqa: E402
from batchaudit.sources.kinds import Kind  # noqa: E402
from tests.sources.delivered import epochs, flat, given, ids, logged  # noqa: E402

ROWS, SIZE = 32, 8

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def columns():
    """Real digits, with their row."""
    from sklearn.datasets import load_digits

    return {"image": load_digits().data[:ROWS].tolist(), "row": list(range(ROWS))}


def table():
    return datasets.Dataset.from_dict(columns())


def stream(shards=4):
    return table().to_iterable_dataset(num_shards=shards)


def rows(batches):
    return [np.asarray(batch["row"]).tolist() for batch in batches]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


# -- through a DataLoader -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_the_rows_of_a_table_are_the_ids_through_a_loader(folder, workers):
    def make():
        order = torch.Generator().manual_seed(4)
        return DataLoader(
            table().with_format("torch"), SIZE, shuffle=True, generator=order, num_workers=workers
        )

    unwatched = make()
    plain = [rows(unwatched) for _ in range(2)]
    with ba.Audit(folder) as audit:
        watched = audit.wrap(make(), name="digits")
        seen = [list(watched) for _ in range(2)]
    assert [rows(each) for each in seen] == plain
    assert isinstance(seen[0][0]["image"], torch.Tensor)
    found = logged(folder, "digits")
    assert epochs(found) == given(*seen)
    assert ids(found) == [flat(each) for each in plain]


def test_a_streams_shards_are_split_between_the_workers(folder):
    def make():
        return DataLoader(stream().with_format("torch"), SIZE, num_workers=2)

    plain = rows(make())
    with ba.Audit(folder) as audit:
        seen = list(audit.wrap(make(), name="digits"))
        report = audit.report()
    assert rows(seen) == plain
    assert sorted(flat(plain)) == list(range(ROWS))
    found = logged(folder, "digits")
    assert epochs(found) == given(seen)
    assert found.produced.groupby("framework_worker").size().tolist() == [2, 2]
    assert report.epochs["unique_samples"].tolist() == [ROWS]


def test_workers_without_a_shard_are_idle(folder):
    with ba.Audit(folder) as audit:
        list(audit.wrap(DataLoader(stream(2).with_format("torch"), SIZE, num_workers=3), name="digits"))
        report = audit.report()
    assert sorted(set(logged(folder, "digits").produced["framework_worker"])) == [0, 1]
    assert report.epochs["workers_configured"].tolist() == [3]
    assert report.epochs["unique_samples"].tolist() == [ROWS]


@pytest.mark.parametrize(("sets_epoch", "same"), [(False, True), (True, False)])
def test_a_shuffled_stream_has_one_order_until_its_epoch_is_set(folder, sets_epoch, same):
    with ba.Audit(folder) as audit:
        dataset = stream().shuffle(seed=3, buffer_size=ROWS).with_format("torch")
        loader = DataLoader(dataset, SIZE, num_workers=1, persistent_workers=True)
        watched = audit.wrap(loader, name="digits")
        seen = []
        for epoch in range(2):
            if sets_epoch:
                dataset.set_epoch(epoch)
            seen.append(list(watched))
        del watched, loader
    assert (rows(seen[0]) == rows(seen[1])) is same
    found = logged(folder, "digits")
    assert epochs(found) == given(*seen)
    assert (epochs(found)[0] == epochs(found)[1]) is same
    # What the worker believes, though it was there before the epoch was set.
    assert sorted(set(found.produced["believed"])) == ([0, 1] if sets_epoch else [0])


# -- wrapped itself -------------------------------------------------------------------------------


def test_batches_of_a_stream_are_what_they_are_unwatched_and_what_the_log_says(folder):
    plain = rows(stream().batch(SIZE))
    with ba.Audit(folder) as audit:
        source = stream().batch(SIZE)
        watched = audit.wrap(source, name="digits")
        assert isinstance(watched, datasets.IterableDataset)
        assert isinstance(watched, IterableDataset)
        assert audit.wrap(watched) is watched
        assert audit.wrap(source) is watched
        seen = [list(watched) for _ in range(2)]
        report = audit.report()
    assert [rows(each) for each in seen] == [plain] * 2
    assert epochs(logged(folder, "digits")) == given(*seen)
    assert report.epochs["delivered"].tolist() == [ROWS // SIZE] * 2


@pytest.mark.parametrize("make", [table, stream])
def test_iter_gives_batches(folder, make):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(make(), name="digits")
        seen = [list(watched.iter(batch_size=SIZE)) for _ in range(2)]
    assert [rows(each) for each in seen] == [rows(make().iter(batch_size=SIZE))] * 2
    assert epochs(logged(folder, "digits")) == given(*seen)


def test_the_generator_of_iter_can_be_wrapped(folder):
    with ba.Audit(folder) as audit:
        seen = list(audit.wrap(table().iter(batch_size=SIZE), name="digits"))
    assert epochs(logged(folder, "digits")) == given(seen)


def test_a_stream_from_a_generator(folder):
    def numbers():
        yield from ({"row": row} for row in range(5))

    with ba.Audit(folder) as audit:
        watched = audit.wrap(datasets.IterableDataset.from_generator(numbers), name="digits")
        seen = list(watched)
    assert rows(seen) == list(range(5))
    assert epochs(logged(folder, "digits")) == given(seen)


def test_set_epoch_is_seen(folder):
    with ba.Audit(folder) as audit:
        source = stream().shuffle(seed=1, buffer_size=ROWS)
        watched = audit.wrap(source, name="digits")
        for epoch in (0, 3):
            watched.set_epoch(epoch)
            list(watched)
        assert source.epoch == watched.epoch == 3
    found = logged(folder, "digits")
    hooks = found.hooks[found.hooks["text"] == "set_epoch"]
    assert hooks["epoch"].tolist() == [0, 3]
    begun = found.hooks[found.hooks["text"] == "iterator"]
    assert begun["epoch"].tolist() == [0, 3]


def test_what_is_made_of_a_stream_is_not_watched(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(stream(), name="digits")
        for made in (
            watched.map(lambda row: row), watched.shuffle(seed=1), watched.take(3), watched.batch(SIZE)
        ):  # fmt: skip
            assert isinstance(made, datasets.IterableDataset)
            assert not sources.is_twin(made)
        assert rows(watched.take(3)) == [0, 1, 2]


def test_a_watched_stream_in_an_unwatched_loader_shows_what_the_workers_made(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(stream().with_format("torch"), name="digits")
        seen = rows(DataLoader(watched, SIZE, num_workers=2))
    assert sorted(flat(seen)) == list(range(ROWS))
    found = logged(folder, "digits")
    assert len(found.produced) == ROWS
    assert found.produced["pid"].nunique() == 2


def test_rows_of_a_table_that_are_asked_for_together_are_a_batch(folder):
    with ba.Audit(folder) as audit:
        source = table().with_format("numpy")
        watched = audit.wrap(source, name="digits")
        assert isinstance(watched, datasets.Dataset)
        assert len(watched) == ROWS
        seen = [watched[0:8], watched[[3, -1]], watched[4]]
        assert rows(seen[:2]) == [list(range(8)), [3, ROWS - 1]]
        assert list(watched["row"]) == list(range(ROWS))
    found = logged(folder, "digits")
    assert epochs(found) == given(seen)
    assert found.produced["index"].tolist() == [-1, -1, 4]
    known = found.samples.dropna(subset=["id"])
    assert known["id"].astype(int).tolist() == [*range(8), 3, ROWS - 1]


def test_a_watched_table_in_an_unwatched_loader_shows_what_was_asked_of_it(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(table().with_format("torch"), name="digits")
        assert rows(DataLoader(watched, SIZE)) == np.arange(ROWS).reshape(-1, SIZE).tolist()
    source = table().with_format("torch")
    asked = [source.__getitems__(list(range(begin, begin + SIZE))) for begin in range(0, ROWS, SIZE)]
    assert epochs(logged(folder, "digits")) == given(asked)


def test_what_is_made_of_a_table_is_not_watched(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(table(), name="digits")
        for made in (
            watched.with_format("torch"), watched.shuffle(seed=1), watched.select([1, 2]),
            watched.map(lambda row: row), watched.to_iterable_dataset(), copy.deepcopy(watched),
        ):  # fmt: skip
            assert not sources.is_twin(made)
        assert rows(watched.select([3, 1])) == [3, 1]
    assert len(logged(folder, "digits").produced) == 0


@pytest.mark.parametrize("make", [table, stream])
def test_one_that_was_sent_somewhere_is_watched_there(folder, make):
    with ba.Audit(folder) as audit:
        sent = pickle.loads(pickle.dumps(audit.wrap(make(), name="digits")))
        assert rows(sent) == list(range(ROWS))
    assert len(logged(folder, "digits").produced) == ROWS


def test_the_kind_is_told_without_loading_datasets(monkeypatch):
    rows_, elements = table(), stream()
    assert sources.kind_of(rows_) is Kind.INDEXED
    assert sources.kind_of(elements) is Kind.ITERABLE
    assert sources.id_space(rows_).startswith("rows-")
    monkeypatch.delitem(sys.modules, "datasets")
    assert sources.id_space(rows_) == ""


# -- through tf.data ------------------------------------------------------------------------------


def test_a_table_through_tf_data(folder):
    pytest.importorskip("tensorflow")

    def make():
        return table().to_tf_dataset(batch_size=SIZE, columns="image", label_cols="row", shuffle=False)

    plain = [batch[1].numpy().tolist() for batch in make()]
    with ba.Audit(folder) as audit:
        watched = audit.wrap(make(), name="digits")
        seen = [list(watched) for _ in range(2)]
    assert [[batch[1].numpy().tolist() for batch in each] for each in seen] == [plain] * 2
    numpy = [[(images.numpy(), labels.numpy()) for images, labels in each] for each in seen]
    assert epochs(logged(folder, "digits")) == given(*numpy)
