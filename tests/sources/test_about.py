"""What sources say of themselves before they are driven."""

from __future__ import annotations

import numpy as np
import pytest

from batchaudit.sources import about

torch = pytest.importorskip("torch")
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, Subset  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

ROWS = torch.arange(21)


def of(source, *names):
    said = about(source)
    return tuple(said.get(name) for name in names)


# -- torch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shuffle", "drop", "batches"), [(True, True, 5), (False, False, 6)])
def test_a_loader(shuffle, drop, batches):
    loader = DataLoader(ROWS, 4, shuffle=shuffle, drop_last=drop)
    known = ("items", "drawn", "batch_size", "drop_last", "batches", "shuffles", "set_epoch")
    assert of(loader, *known) == (21, 21, 4, drop, batches, shuffle, False)


def test_a_part_of_a_dataset_has_its_own_length():
    assert of(DataLoader(Subset(ROWS, range(9)), 4), "items", "drawn") == (9, 9)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_distributed_sampler(shuffle):
    sampler = DistributedSampler(ROWS, num_replicas=2, rank=0, shuffle=shuffle, drop_last=True)
    loader = DataLoader(ROWS, 4, sampler=sampler)
    assert of(loader, "items", "drawn", "shuffles", "set_epoch") == (21, 10, shuffle, True)


class Stored:
    """A sampler that gives what it was given."""

    def __init__(self, order):
        self.order = order

    def __iter__(self):
        return iter(self.order)

    def __len__(self):
        return len(self.order)


class Permuted(Stored):
    def __init__(self):
        super().__init__(torch.randperm(21).tolist())


class Drawing(Stored):
    def __init__(self):
        super().__init__(range(21))
        self.rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("sampler", "shuffles"),
    [(Permuted, True), (Drawing, True), (lambda: Stored(list(range(21))), None), (lambda: range(21), False)],
)
def test_a_sampler_of_the_users(sampler, shuffles):
    assert of(DataLoader(ROWS, 4, sampler=sampler()), "shuffles") == (shuffles,)


def test_batches_that_were_drawn_once():
    loader = DataLoader(ROWS, 4, shuffle=True)
    object.__setattr__(loader, "batch_sampler", Stored(list(loader.batch_sampler)))
    assert of(loader, "shuffles", "batches") == (True, 6)


def test_a_batch_sampler_of_the_users_over_a_random_one():
    class Own(BatchSampler):
        pass

    assert of(DataLoader(ROWS, batch_sampler=Own(RandomSampler(ROWS), 4, False)), "shuffles") == (True,)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(5))

    def __len__(self):
        raise AssertionError("torch would remember that it was asked")


def test_a_stream_is_not_asked_for_its_length():
    assert of(DataLoader(Stream(), 2), "items", "batches", "shuffles", "batch_size") == (None, None, None, 2)


def test_a_shuffled_hugging_face_stream():
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_dict({"x": list(range(8))}).to_iterable_dataset(num_shards=2)
    shuffled = stream.shuffle(seed=1).map(lambda row: row)
    for source, shuffles in ((stream, False), (shuffled, True)):
        assert of(source, "shuffles", "set_epoch") == (shuffles, True)
        assert of(DataLoader(source, 2), "shuffles", "set_epoch") == (shuffles, True)


def test_a_webdataset():
    wds = pytest.importorskip("webdataset")
    plain = wds.DataPipeline(wds.SimpleShardList("a.tar"), wds.tarfile_to_samples())
    for stage in (wds.shuffle(10), wds.detshuffle()):
        shuffled = wds.DataPipeline(wds.SimpleShardList("a.tar"), stage, wds.tarfile_to_samples())
        assert of(shuffled, "shuffles") == (True,)
        assert of(DataLoader(shuffled, None), "shuffles") == (True,)
    assert of(plain, "shuffles") == (False,)


def test_grain():
    grain = pytest.importorskip("grain")
    plain = grain.MapDataset.range(10).batch(4)
    assert of(plain, "batches", "shuffles") == (3, False)
    assert of(grain.MapDataset.range(10).shuffle(seed=1).batch(4), "shuffles") == (True,)
    assert of(grain.MapDataset.range(10).shuffle(seed=1).to_iter_dataset(), "shuffles") == (True,)


def test_arrays():
    assert of((np.zeros((7, 2)), np.zeros(7)), "items") == (7,)


# -- sources with an index --------------------------------------------------------------------------


class Batches:
    """Reshuffles between epochs."""

    def __init__(self, order=range(21)):
        self.x, self.order = np.zeros((21, 3)), np.array(order)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return self.x[self.order[index * 4 : index * 4 + 4]]

    def on_epoch_end(self):
        np.random.shuffle(self.order)


class Switched(Batches):
    shuffle = False

    def on_epoch_end(self):
        if self.shuffle:
            super().on_epoch_end()


class Talking(Batches):
    def on_epoch_end(self):
        print("an epoch has ended")


class Counting(Batches):
    epoch = 0

    def on_epoch_end(self):
        self.count()

    def count(self):
        self.epoch += 1

    def __getitem__(self, index):
        return self.augmented(super().__getitem__(index))

    def augmented(self, rows):
        return rows + self.epoch


@pytest.mark.parametrize(
    ("make", "hooks", "order"),
    [
        (Batches, ["on_epoch_end"], "sorted"),
        (lambda: Batches(range(20, -1, -1)), ["on_epoch_end"], "shuffled"),
        (Switched, [], None),
        (Talking, [], None),
        (Counting, ["on_epoch_end"], None),
    ],
)
def test_the_hooks_that_matter(make, hooks, order):
    assert of(make(), "hooks", "order", "batches", "rows") == (hooks, order, 5, 21)


def test_a_hook_of_the_frameworks_does_nothing():
    keras = pytest.importorskip("keras")

    class Plain(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return self.workers

    assert of(Plain(), "hooks", "batches", "rows") == ([], 2, None)


def test_arrays_of_several_lengths_say_nothing_of_the_samples():
    source = Batches()
    source.weights = np.ones(3)
    assert of(source, "rows") == (None,)


# -- tf.data ----------------------------------------------------------------------------------------

tf = pytest.importorskip("tensorflow")
TAIL = ("items", "batch_size", "drop_last", "batches", "shuffles", "fixed_tail")


def same(x):
    return x


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.batch(4, drop_remainder=True), (10, 4, True, 2, False, True)),
        (lambda d: d.batch(4).prefetch(1), (10, 4, False, 3, False, True)),
        (lambda d: d.shuffle(10).batch(4, drop_remainder=True), (10, 4, True, 2, True, False)),
        (
            lambda d: d.shuffle(10, reshuffle_each_iteration=False).map(same).batch(4, drop_remainder=True),
            (10, 4, True, 2, False, True),
        ),
        (lambda d: d.batch(4, drop_remainder=True).shuffle(2), (10, 4, True, 2, True, True)),
        (lambda d: d.take(9).batch(4, drop_remainder=True).repeat(), (9, 4, True, None, False, True)),
        (lambda d: d.shard(2, 0).batch(2, drop_remainder=True), (5, 2, True, 2, False, True)),
        (lambda d: d.filter(lambda x: x > 3).batch(4), (None, 4, False, None, False, True)),
    ],
)
def test_a_pipeline(change, said):
    assert of(change(tf.data.Dataset.range(10)), *TAIL) == said


def test_nothing_is_said_of_what_a_generator_does():
    data = tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=tf.TensorSpec([], tf.int32))
    assert of(data.batch(4, drop_remainder=True), *TAIL) == (None, 4, True, None, None, False)


@pytest.mark.parametrize(("kind", "hooks"), [(Batches, ["on_epoch_end"]), (Talking, None)])
def test_the_hooks_of_what_a_generator_holds(kind, hooks):
    batches = kind()

    def walk():
        for index in range(len(batches)):
            yield batches[index]

    for given in (walk, lambda: batches):
        data = tf.data.Dataset.from_generator(given, output_signature=tf.TensorSpec([None, 3], tf.float64))
        assert of(data.prefetch(1), "hooks") == (hooks,)
