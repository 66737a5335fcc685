from __future__ import annotations

import copy
import gc
import itertools
import math
import multiprocessing
import pickle
import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import (  # noqa: E402
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    WeightedRandomSampler,
    get_worker_info,
)
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter  # noqa: E402

from batchaudit import sources  # noqa: E402
from batchaudit.capture.passes import Passes  # noqa: E402
from batchaudit.capture.recorder import Recorder  # noqa: E402
from batchaudit.journal.layout import Flag  # noqa: E402
from batchaudit.journal.reader import load  # noqa: E402
from batchaudit.journal.writer import JournalWriter  # noqa: E402
from batchaudit.sources.kinds import Kind  # noqa: E402
from batchaudit.sources.subclass import untwin  # noqa: E402

CONSUMED = int(Flag.CONSUMED)

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Draws(Dataset):
    """Items that show the state of every global stream, and their own."""

    def __init__(self, length: int = 24) -> None:
        self.length = length
        self.rng = np.random.default_rng(3)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Any:
        drawn = [i, random.random(), np.random.rand(), self.rng.random()]
        return torch.tensor(drawn, dtype=torch.float64), torch.rand(2)


class Stream(IterableDataset):
    """Shares nothing out: every worker gives all of it."""

    def __init__(self, length: int = 18) -> None:
        self.length = length

    def __iter__(self):
        for i in range(self.length):
            yield torch.tensor([i, np.random.rand(), random.random()])


class Sharded(Stream):
    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        info = get_worker_info()
        for i in range(info.id if info else 0, self.length, info.num_workers if info else 1):
            yield torch.tensor([i, torch.rand(()).item()])


class Whole(Dataset):
    """A map-style dataset that is asked for whole batches."""

    def __getitem__(self, indices):
        return np.array(indices, np.float64) + np.random.rand()

    def __len__(self) -> int:
        return 20


class Fetching(Draws):
    def __getitems__(self, indices):
        return [self[i] for i in reversed(indices)]


class Epochs(Dataset):
    """Says in which epoch it thinks it is."""

    def __init__(self) -> None:
        self.epoch = 0

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> int:
        return self.epoch * 100 + i


class Fails(Draws):
    def __getitem__(self, i: int) -> Any:
        if i == 13:
            raise LookupError("no such item")
        return super().__getitem__(i)


class Mine(DataLoader):
    """A loader with an `__iter__` of the user's own."""

    def __iter__(self):
        yield from enumerate(super().__iter__())


class Endless(DataLoader):
    """Keeps one iterator from epoch to epoch, as timm's and YOLO's loaders do."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.iterator = super().__iter__()

    def __iter__(self):
        for _ in range(3):
            yield next(self.iterator)


def reverse_columns(items):
    return torch.stack([item[0].flip(0) for item in items])


def collate_that_fails(items):
    raise ArithmeticError("these do not fit together")


def init_that_fails(worker_id):
    raise FileNotFoundError(f"worker {worker_id} has no disk")


def init_that_reseeds(worker_id):
    info = get_worker_info()
    info.dataset.rng = np.random.default_rng([info.seed, worker_id])


def init_that_checks(worker_id):
    info = get_worker_info()
    assert type(info.dataset) is Draws
    assert info.id == worker_id
    info.dataset.length = 1000 + worker_id  # seen by what the worker fetches


def shows_length(items):
    return torch.tensor([get_worker_info().dataset.length, len(items)])


LOADERS = {
    "plain": lambda **kw: DataLoader(Draws(), batch_size=5, **kw),
    "shuffled": lambda **kw: DataLoader(Draws(), batch_size=4, shuffle=True, **kw),
    "drop_last": lambda **kw: DataLoader(Draws(), batch_size=5, shuffle=True, drop_last=True, **kw),
    "own generator": lambda **kw: DataLoader(
        Draws(), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5), **kw
    ),
    "weighted": lambda **kw: DataLoader(
        Draws(), batch_size=4, sampler=WeightedRandomSampler([1.0] * 24, 16), **kw
    ),
    "distributed": lambda **kw: DataLoader(
        Draws(), batch_size=4, sampler=DistributedSampler(Draws(), num_replicas=2, rank=1), **kw
    ),
    "batch_sampler": lambda **kw: DataLoader(Draws(), batch_sampler=[[3, 1], [5, 7, 9], [0]], **kw),
    "no batching": lambda **kw: DataLoader(Draws(), batch_size=None, **kw),
    "sampler of batches": lambda **kw: DataLoader(
        Whole(), batch_size=None, sampler=BatchSampler(range(20), 6, False), **kw
    ),
    "collate_fn": lambda **kw: DataLoader(Draws(), batch_size=4, collate_fn=reverse_columns, **kw),
    "getitems": lambda **kw: DataLoader(Fetching(), batch_size=4, **kw),
    "list": lambda **kw: DataLoader([np.float32(i) for i in range(10)], batch_size=4, shuffle=True, **kw),
    "subset": lambda **kw: DataLoader(
        Subset(Subset(Draws(), range(20, 0, -1)), [1, 3, 5, 7]), batch_size=3, **kw
    ),
    "concat": lambda **kw: DataLoader(ConcatDataset([Draws(6), Draws(5)]), batch_size=4, shuffle=True, **kw),
    "iterable": lambda **kw: DataLoader(Stream(), batch_size=4, **kw),
    "iterable, drop_last": lambda **kw: DataLoader(Stream(), batch_size=4, drop_last=True, **kw),
    "iterable, no batching": lambda **kw: DataLoader(Sharded(), batch_size=None, **kw),
    "iterable, sharded": lambda **kw: DataLoader(Sharded(), batch_size=4, **kw),
    "user's class": lambda **kw: Mine(Draws(), batch_size=4, shuffle=True, **kw),
}


@pytest.fixture
def watch(tmp_path):
    """Watches a loader as a live audit does; `.log()` reads what was noted."""

    class Watch:
        def __init__(self) -> None:
            self.writer = JournalWriter(tmp_path, source="s", strategy="live", run="r")

        def __call__(self, loader, *, live=True, key=None):
            self.recorder = Recorder(self.writer, key, Passes() if live else None)
            return sources.watch(loader, self.recorder)

        def log(self):
            self.writer.close()
            return load(tmp_path)

        def stage(self, name):
            events = self.log().events
            return events[events.stage == name]

    made = Watch()
    yield made
    made.writer.close()


def flat(lists: Any) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def content(batch: Any) -> Any:
    if isinstance(batch, torch.Tensor):
        return ("tensor", batch.dtype, batch.tolist())
    if isinstance(batch, np.ndarray):
        return ("array", batch.dtype, batch.tolist())
    if isinstance(batch, (list, tuple)):
        return (type(batch), [content(each) for each in batch])
    return batch


def run(loader, epochs: int = 2) -> Any:
    """All batches of some epochs, and what the global streams give afterwards."""
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    batches = [[content(batch) for batch in loader] for _ in range(epochs)]
    after = torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()
    return batches, after


def same(watch, make, **kw) -> Any:
    plain, watched = run(make(**kw)), run(watch(make(**kw)))
    assert watched == plain
    return plain


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_gives_what_the_loader_gives(watch, name, workers):
    batches, _ = same(watch, LOADERS[name], num_workers=workers)
    events = watch.log().events
    delivered = events[events.stage == "delivered"]
    if not workers:
        delivered = events[events["flags"] & CONSUMED != 0]
    assert delivered.groupby("epoch").size().tolist() == [len(epoch) for epoch in batches]
    assert delivered.step.tolist() == [step for epoch in batches for step in range(len(epoch))]
    if workers:
        produced = events[events.stage == "produced"].set_index("ticket")
        made = produced.loc[delivered.ticket]
        assert made.digest_lo.tolist() == delivered.digest_lo.tolist()
        assert set(produced.framework_worker) <= {0, 1}
        assert delivered.ticket.is_unique
    assert (events.text == "exhausted").sum() == 2
    assert (events.text == "iterator").sum() == 2


@pytest.mark.parametrize("name", ["shuffled", "iterable"])
def test_with_four_workers(watch, name):
    same(watch, LOADERS[name], num_workers=4)
    assert set(watch.stage("produced").framework_worker) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["own generator", "iterable, sharded"])
def test_with_spawned_workers(watch, name):
    same(watch, LOADERS[name], num_workers=2, multiprocessing_context="spawn", worker_init_fn=None)
    produced = watch.stage("produced")
    assert set(produced.framework_worker) == {0, 1}
    assert (produced.framework_seed > 0).all()


def test_spawned_workers_do_without_a_key_that_does_not_pickle(watch):
    loader = DataLoader(Draws(8), batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert len(list(watch(loader, key=lambda batch: batch[0][:, 0].long()))) == 2
    log = watch.log()
    delivered = log.events.index[log.events.stage == "delivered"]
    assert log.samples[log.samples.event.isin(delivered)].id.tolist() == list(range(8))


def test_with_persistent_workers(watch):
    same(watch, LOADERS["shuffled"], num_workers=2, persistent_workers=True)
    produced = watch.stage("produced")
    assert produced.pid.nunique() == 2
    assert watch.stage("delivered").groupby("epoch").size().tolist() == [6, 6]


@pytest.mark.parametrize("prefetch", [1, 5])
def test_with_another_prefetch_factor(watch, prefetch):
    same(watch, LOADERS["shuffled"], num_workers=2, prefetch_factor=prefetch)


@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
def test_with_pin_memory(watch):
    same(watch, LOADERS["shuffled"], num_workers=2, pin_memory=True)


def test_seeds_are_those_that_torch_gave(watch):
    torch.manual_seed(9)
    list(watch(DataLoader(Draws(8), num_workers=2)))
    seeds = watch.stage("produced").groupby("framework_worker").framework_seed.unique()
    assert seeds[0][0] + 1 == seeds[1][0]
    assert all(len(each) == 1 for each in seeds)


# -- ids ------------------------------------------------------------------------------------------


def ids(watch, stage="produced"):
    log = watch.log()
    rows = log.samples[log.samples.event.isin(log.events.index[log.events.stage == stage])]
    return rows.sort_values(["event", "position"]).id


@pytest.mark.parametrize("workers", [0, 2])
def test_ids_are_the_indices(watch, workers):
    loader = watch(DataLoader(Draws(), batch_size=5, shuffle=True, num_workers=workers))
    seen = [batch[0][:, 0].long().tolist() for batch in loader]
    assert sorted(ids(watch)) == sorted(flat(seen))
    assert sorted(ids(watch).tolist()) == list(range(24))
    if not workers:
        assert ids(watch).tolist() == flat(seen)


def test_ids_of_subsets_are_those_of_the_whole(watch):
    whole = Draws()
    loader = watch(
        DataLoader(Subset(Subset(whole, np.arange(20, 0, -1)), torch.tensor([1, 3, 5])), batch_size=2)
    )
    seen = [batch[0][:, 0].long().tolist() for batch in loader]
    assert ids(watch).tolist() == flat(seen) == [19, 17, 15]


def test_subsets_of_one_dataset_share_their_ids():
    whole, other = Draws(), Draws()
    train, val = DataLoader(Subset(whole, [0, 1])), DataLoader(Subset(whole, [2, 3]))
    assert sources.id_space(train) == sources.id_space(val) == sources.id_space(DataLoader(whole)) != ""
    assert sources.id_space(DataLoader(other)) != sources.id_space(train)
    assert sources.id_space(DataLoader(Stream())) == ""


def test_a_sampler_of_batches_gives_ids(watch):
    list(watch(LOADERS["sampler of batches"]()))
    assert ids(watch).tolist() == list(range(20))


@pytest.mark.parametrize("sampler", [["a", "b"], [slice(0, 2)], [(0, 1)]])
def test_keys_are_no_ids(watch, sampler):
    class Keyed(Dataset):
        def __getitem__(self, key):
            return np.zeros(3)

    assert len(list(watch(DataLoader(Keyed(), batch_size=None, sampler=sampler)))) == len(sampler)
    assert ids(watch).isna().all()


# -- epochs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("persistent", [True, False])
def test_an_epoch_set_in_the_parent_does_not_reach_persistent_workers(watch, persistent):
    dataset = Epochs()
    loader = watch(DataLoader(dataset, batch_size=4, num_workers=2, persistent_workers=persistent))
    seen = []
    for epoch in range(3):
        dataset.epoch = epoch
        seen.append([int(batch[0]) // 100 for batch in loader])
    believed = watch.stage("produced").sort_values("began_ns").epoch.tolist()
    hooks = watch.stage("hook")
    assert hooks[hooks.text == "iterator"].epoch.tolist() == [0, 1, 2]
    assert believed == flat(seen)  # what the batches hold is what the workers believed
    assert believed == ([0] * 6 if persistent else [0, 0, 1, 1, 2, 2])


def test_the_epoch_of_the_sampler_is_noted(watch):
    dataset = Draws()
    loader = watch(
        DataLoader(dataset, sampler=DistributedSampler(dataset, num_replicas=1, rank=0), batch_size=8)
    )
    for epoch in (0, 5):
        loader.sampler.set_epoch(epoch)
        list(loader)
    hooks = watch.stage("hook")
    assert hooks[hooks.text == "sampler"].epoch.tolist() == [0, 5]
    assert hooks[hooks.text == "iterator"].epoch.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "epoch",
    [
        7,
        np.int64(7),
        torch.tensor(7),
        torch.tensor([7]),
        multiprocessing.Value("i", 7),
        multiprocessing.RawValue("i", 7),
    ],
    ids=["int", "numpy", "tensor", "tensor of one", "Value", "RawValue"],
)
def test_an_epoch_may_be_shared(watch, epoch):
    dataset = Epochs()
    dataset._epoch = epoch
    del dataset.epoch
    dataset.__class__ = type("Shared", (Dataset,), {"__len__": lambda s: 1, "__getitem__": lambda s, i: i})
    list(watch(DataLoader(dataset)))
    hooks = watch.stage("hook")
    assert hooks[hooks.text == "iterator"].epoch.tolist() == [7]


# -- passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_two_iterators_at_once_are_two_epochs(watch, workers):
    make = lambda: DataLoader(Draws(8), batch_size=2, num_workers=workers)  # noqa: E731
    loader = watch(make())
    assert run_zipped(loader) == run_zipped(make())
    rows = watch.log().events
    rows = rows[(rows.stage == "delivered") | (rows["flags"] & CONSUMED != 0)].sort_values("ended_ns")
    assert list(zip(rows.epoch, rows.step, strict=True)) == [(e, s) for s in range(4) for e in (0, 1)]


def run_zipped(loader):
    torch.manual_seed(2)
    np.random.seed(2)
    random.seed(2)
    return [content(pair) for pair in zip(loader, loader, strict=True)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_that_is_left_early_is_an_epoch(watch, workers):
    loader = watch(DataLoader(Draws(24), batch_size=2, num_workers=workers))
    for _ in range(2):
        for step, _batch in enumerate(loader):
            if step == 2:
                break
    rows = watch.log().events
    assert (rows.text == "exhausted").sum() == 0
    rows = rows[(rows.stage == "delivered") | (rows["flags"] & CONSUMED != 0)]
    assert rows.groupby("epoch").size().tolist() == [3, 3]


@pytest.mark.parametrize("workers", [0, 2])
def test_who_drives_gets_the_tickets(watch, workers):
    loader = watch(DataLoader(Draws(8), batch_size=2, num_workers=workers), live=False)
    tickets = [watch.recorder.take_ticket() for _ in loader]
    produced = watch.stage("produced")
    assert sorted(tickets) == sorted(produced.ticket)
    assert watch.stage("delivered").empty
    assert (produced["flags"] & CONSUMED == 0).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_who_claims_the_loader_says_what_was_delivered(watch, workers):
    loader = watch(DataLoader(Draws(8), batch_size=2, num_workers=workers))
    watch.recorder.claim()
    tickets = [watch.recorder.take_ticket() for _ in loader]
    watch.recorder.release()
    assert sorted(tickets) == sorted(watch.stage("produced").ticket)
    assert watch.stage("delivered").empty


def test_an_epoch_belongs_to_who_takes_a_batch(watch):
    loader = watch(DataLoader(Draws(8), batch_size=4, num_workers=1))
    unused = iter(loader)
    list(loader)
    del unused
    assert watch.stage("delivered").epoch.tolist() == [0, 0]


# -- what stays the user's ------------------------------------------------------------------------


def test_a_loader_stays_a_loader(watch):
    plain = DataLoader(Draws(), batch_size=4, shuffle=True, num_workers=2, worker_init_fn=init_that_reseeds)
    loader = watch(plain)
    assert sources.kind_of(loader) is Kind.ITERABLE
    assert isinstance(loader, DataLoader)
    assert type(loader).__name__ == "DataLoader"
    assert len(loader) == 6
    assert loader.dataset is plain.dataset
    assert loader.batch_sampler is plain.batch_sampler
    assert untwin(loader) is plain
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader"):
        loader.batch_size = 8
    iterator = iter(loader)
    assert isinstance(iterator, _MultiProcessingDataLoaderIter)
    assert iterator._worker_init_fn is init_that_reseeds
    assert loader.worker_init_fn is init_that_reseeds
    assert len(iterator) == 6
    with pytest.raises(NotImplementedError):
        pickle.dumps(iterator)


def test_the_user_s_own_loader_is_not_watched(watch):
    plain = DataLoader(Draws(), batch_size=4, num_workers=1)
    watch(plain)
    assert len(list(plain)) == 6
    assert watch.writer._file is None


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_init_fn_sees_the_user_s_dataset(watch, start):
    loader = DataLoader(
        Draws(8), batch_size=4, num_workers=2, worker_init_fn=init_that_checks, collate_fn=shows_length,
        multiprocessing_context=start,
    )  # fmt: skip
    assert [batch.tolist() for batch in watch(loader)] == [[1000, 4], [1001, 4]]


def test_a_lambda_goes_to_forked_workers(watch):
    loader = DataLoader(
        Draws(8), batch_size=4, num_workers=2, multiprocessing_context="fork",
        collate_fn=lambda items: len(items), worker_init_fn=lambda number: None,
    )  # fmt: skip
    assert list(watch(loader)) == [4, 4]
    assert len(watch.stage("produced")) == 2


@pytest.mark.filterwarnings("ignore:Got pickle error")
def test_a_lambda_is_refused_by_spawned_workers_as_without_us(watch):
    def refused(loader):
        with pytest.raises((AttributeError, pickle.PicklingError)) as info:
            next(iter(loader))
        return type(info.value), str(info.value).split(" at 0x")[0]

    init = lambda number: None  # noqa: E731
    make = lambda: DataLoader(Draws(), num_workers=1, worker_init_fn=init, multiprocessing_context="spawn")  # noqa: E731
    loader = watch(make())
    assert refused(loader) == refused(make())
    assert loader.worker_init_fn is init


FAILING = {
    "dataset": {"dataset": Fails()},
    "collate_fn": {"dataset": Draws(), "collate_fn": collate_that_fails},
    "worker_init_fn": {"dataset": Draws(), "worker_init_fn": init_that_fails},
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", FAILING)
def test_exceptions_are_the_user_s(watch, name, workers):
    def failing(loader):
        taken = 0
        try:  # not pytest.raises, which keeps the frames, and with them the workers
            for _ in loader:
                taken += 1
        except Exception as error:
            lines = str(error).splitlines()
            return taken, type(error), lines[0], lines[-1]
        raise AssertionError("nothing was raised")

    make = lambda: DataLoader(**FAILING[name], batch_size=4, num_workers=workers)  # noqa: E731
    if name == "worker_init_fn" and not workers:
        assert len(list(watch(make()))) == 6  # called in workers only
        return
    assert failing(watch(make())) == failing(make())
    gc.collect()  # torch's exception keeps its iterator, also where nobody watches
    assert multiprocessing.active_children() == []
    assert len(watch.stage("raised")) >= 1
    assert {"dataset": "LookupError", "collate_fn": "ArithmeticError", "worker_init_fn": "FileNotFoundError"}[
        name
    ] in watch.stage("raised").text.iloc[0]


def test_a_loader_of_the_user_s_class_is_watched_below_what_it_makes(watch):
    loader = watch(Mine(Draws(8), batch_size=4))
    assert [number for number, _ in loader] == [0, 1]
    assert len(watch.stage("produced")) == 2


def test_an_iterator_from_before_the_audit_is_noted_where_it_is_taken_from(watch):
    plain, loader = Endless(Draws(), batch_size=2), watch(Endless(Draws(), batch_size=2))
    assert run(loader) == run(plain)
    rows = watch.log().events
    assert rows[rows["flags"] & CONSUMED != 0].groupby("epoch").size().tolist() == [3, 3]


def test_persistent_workers_from_before_the_audit(watch):
    plain = DataLoader(Draws(8), batch_size=2, num_workers=1, persistent_workers=True)
    list(plain)
    assert len(list(watch(plain))) == 4
    rows = watch.log().events
    assert rows[rows["flags"] & CONSUMED != 0].step.tolist() == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:a source is used after its audit was closed")
@pytest.mark.parametrize("persistent", [True, False])
def test_goes_on_unwatched_after_the_audit(watch, persistent):
    loader = watch(DataLoader(Draws(8), batch_size=2, num_workers=2, persistent_workers=persistent))
    list(loader)
    noted = len(watch.log().events)
    assert len(list(loader)) == 4
    assert len(watch.log().events) == noted


# -- copies and their like ------------------------------------------------------------------------


def rebuilt(loader):
    """As Lightning does it."""
    return type(loader)(loader.dataset, batch_size=2, collate_fn=loader.collate_fn)


@pytest.mark.parametrize(
    "made", [rebuilt, copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
    ids=["rebuilt", "copy", "deepcopy", "pickle"],
)  # fmt: skip
def test_what_is_made_of_a_twin_is_watched(watch, made):
    loader = watch(DataLoader(Draws(8), batch_size=4), live=False)
    other = made(loader)
    assert other.__dict__ is not loader.__dict__
    count = 4 if made is rebuilt else 2
    assert len(other) == len(list(other)) == count
    assert type(untwin(other)) is DataLoader
    assert len(untwin(other)) == count
    assert len(watch.stage("produced")) == count


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_what_is_made_of_a_rebuilt_one_is_like_it(watch, made):
    other = made(rebuilt(watch(DataLoader(Draws(8), batch_size=4), live=False)))
    assert len(list(other)) == 4
    assert len(watch.stage("produced")) == 4


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_end_with_the_last_reference(watch, persistent):
    gc.disable()
    try:
        loader = watch(DataLoader(Draws(40), batch_size=2, num_workers=2, persistent_workers=persistent))
        iterator = iter(loader)
        next(iterator)
        workers = list(iterator._workers)
        assert all(worker.is_alive() for worker in workers)
        del iterator
        if persistent:
            assert all(worker.is_alive() for worker in workers)
            del loader
        assert not any(worker.is_alive() for worker in workers)
    finally:
        gc.enable()


def test_batches_are_not_kept(watch):
    import weakref

    gc.disable()
    try:
        for workers in (0, 2):
            loader = watch(DataLoader(Draws(8), batch_size=2, num_workers=workers))
            iterator = iter(loader)
            batch = next(iterator)
            held = weakref.ref(batch[0])
            del batch
            assert held() is None
    finally:
        gc.enable()


def test_half_a_batch_more(watch):
    loader = watch(DataLoader(Draws(21), batch_size=4, num_workers=2))
    assert len(loader) == math.ceil(21 / 4) == len(list(loader))
    assert watch.stage("delivered").nbytes.nunique() == 2
