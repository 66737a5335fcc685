"""Loaders whose augmentation belongs to the sample, a cache or a trace, each with its healthy twin."""

from __future__ import annotations

import random

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.diagnosis import frozen_augmentation
from tests.analysis.build import Batch, evidence, table

CAUSE = "frozen-augmentation"
N, SIZE = 32, 4
STORED = np.arange(N * 3, dtype=np.float32).reshape(N, 3)


def verdict(report, cause=CAUSE):
    [run] = report.runs
    return next(one for one in run.verdicts if one.cause == cause)


def found(report):
    """Cause and severity of what is worse than a remark."""
    [run] = report.runs
    return {finding.cause: finding.severity for finding in run.findings if finding.severity != "info"}


# -- hand-made tables ---------------------------------------------------------------------------------


def two_epochs(content, states=None, count=8):
    return [
        Batch(
            2,
            100 * epoch + step,
            epoch,
            samples=(content(epoch, step),),
            ids=(step,),
            states={} if states is None else {"numpy": states(epoch, step)},
        )
        for epoch in range(2)
        for step in range(count)
    ]


def judged(batches, **known):
    return frozen_augmentation.judge(evidence(batches, **known))


def test_one_epoch_shows_nothing():
    judgement = judged(two_epochs(lambda epoch, step: step)[:8])
    assert (judgement.verdict, "2 or more" in judgement.reason) == ("not observable", True)


def test_content_that_changes_is_not_frozen():
    judgement = judged(two_epochs(lambda epoch, step: 10 * epoch + step, lambda epoch, step: (1, 2 + step)))
    assert judgement.verdict == "ruled out"


def test_content_that_stays_without_a_draw_is_no_fault():
    judgement = judged(two_epochs(lambda epoch, step: step))
    assert judgement.verdict == "not observable"
    assert "ba.audit" in judgement.reason


def test_draws_of_the_first_epoch_alone_are_kept():
    kept = judged(two_epochs(lambda e, step: step, lambda e, step: (step, step + 1) if e == 0 else (8, 8)))
    assert kept.finding is not None
    assert kept.finding.severity == "warning"
    assert kept.finding.evidence["first_example"].startswith("sample 0 has content")


def test_a_validation_is_meant_to_stay():
    frozen = two_epochs(lambda e, step: step, lambda e, step: (step, step + 1) if e == 0 else (8, 8))
    assert judged(frozen, about={"split": "validation"}).verdict == "ruled out"
    assert judged(frozen, about={"split": "training"}).verdict == "found"


def test_a_reset_that_was_found_explains_it():
    frozen = evidence(two_epochs(lambda e, step: step, lambda e, step: (step, step + 1)))
    judgement = frozen_augmentation.judge(frozen, {"rng-epoch-reset"})
    assert (judgement.verdict, "rng-epoch-reset" in judgement.reason) == ("not observable", True)


def test_what_each_worker_keeps_for_itself():
    batches = [
        Batch(2 + pid, 100 * epoch + item, epoch, samples=(1000 * pid + item,), ids=(item,), states=moves)
        for epoch, turn in enumerate((0, 1, 0))
        for item in range(16)
        for pid in [(item + turn) % 2]
        for moves in [{"numpy": (1 + epoch * 100 + item, 2 + epoch * 100 + item)}]
    ]
    finding = judged(batches).finding
    assert finding is not None
    assert finding.evidence["bound_to"] == "sample and worker"


def test_replacement_that_draws_the_same_items_draws_no_content():
    # A stream that goes on, and contents that come again: it draws which items come.
    batches = [
        Batch(2, 100 * epoch + step, epoch, samples=((step * 7 + epoch) % 8,), states={"numpy": (n, n + 1)})
        for epoch in range(2)
        for step in range(8)
        for n in [1 + 8 * epoch + step]
    ]
    assert judged(batches).finding is None


# -- torch --------------------------------------------------------------------------------------------

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, IterableDataset  # noqa: E402


class Plain(torch.utils.data.Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return STORED[index] + np.float32(self.noise(index))

    def noise(self, index):
        return 0


class ByGenerator(Plain):
    def noise(self, index):
        return np.random.default_rng(index).normal()


class ByTorchGenerator(Plain):
    def noise(self, index):
        return torch.rand(1, generator=torch.Generator().manual_seed(index)).item()


class ByRandom(Plain):
    def noise(self, index):
        return random.Random(f"item {index}").random()


class ByNumpySeed(Plain):
    def noise(self, index):
        np.random.seed(index)
        return np.random.normal()


class OneSeedForAll(Plain):
    def noise(self, index):
        return np.random.RandomState(0).normal()


class SeededAndUnused(Plain):
    """Seeds "for reproducibility" and augments nothing."""

    def noise(self, index):
        np.random.seed(index)
        random.seed(index)
        np.random.default_rng(index).normal()
        return 0


class ByEpochAndItem(Plain):
    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def noise(self, index):
        return np.random.default_rng([7, self.epoch, index]).normal()


class Fresh(Plain):
    def noise(self, index):
        return torch.rand(1).item()


class DataMadeWhenFirstAsked(Plain):
    """Stored data, drawn in one go by the first item that is asked for."""

    data = None

    def __getitem__(self, index):
        if self.data is None:
            self.data = np.random.default_rng(0).normal(size=(N, 3))
        return self.data[index]


class DataMadeAtConstruction(Plain):
    def __init__(self):
        self.data = np.random.normal(size=(N, 3))

    def __getitem__(self, index):
        return self.data[index]


class Cached(Fresh):
    def __init__(self):
        self.cache = {}

    def __getitem__(self, index):
        if index not in self.cache:
            self.cache[index] = super().__getitem__(index)
        return self.cache[index]


class CachedBefore(Cached):
    def __getitem__(self, index):
        if index not in self.cache:
            self.cache[index] = STORED[index]
        return self.cache[index] + np.float32(self.noise(index))


def torch_report(dataset, **settings):
    settings = {"shuffle": True, "num_workers": 2} | settings
    return ba.audit(lambda: DataLoader(dataset(), SIZE, **settings), ["as-is"], epochs=3)


@pytest.mark.parametrize("dataset", [ByGenerator, ByTorchGenerator, ByRandom, ByNumpySeed, OneSeedForAll])
def test_draws_that_are_seeded_by_the_item(dataset):
    report = torch_report(dataset)
    assert found(report) == {CAUSE: "error"}
    [finding] = [one for run in report.runs for one in run.findings if one.cause == CAUSE]
    assert "seeded otherwise" in finding.evidence["first_example"]
    assert finding.fix


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dataset", [Plain, SeededAndUnused, ByEpochAndItem, Fresh, DataMadeAtConstruction])
def test_healthy_datasets(dataset, shuffle):
    report = torch_report(dataset, shuffle=shuffle)
    assert found(report) == {}
    assert verdict(report).verdict == "ruled out"


def test_stored_data_that_is_drawn_in_one_go():
    assert found(torch_report(DataMadeWhenFirstAsked)) == {}


def test_an_unshuffled_item_s_seed_is_no_reset():
    assert found(torch_report(ByNumpySeed, shuffle=False)) == {CAUSE: "error"}


def test_a_cache_of_what_was_drawn():
    report = torch_report(Cached, persistent_workers=True)
    assert found(report) == {CAUSE: "error"}


def test_a_cache_that_dies_with_its_workers_freezes_nothing():
    assert CAUSE not in found(torch_report(Cached))


def test_a_cache_of_what_is_augmented_afterwards():
    assert found(torch_report(CachedBefore, persistent_workers=True)) == {}


class Stream(IterableDataset):
    def __iter__(self):
        for index in range(N):
            yield STORED[index] + np.float32(self.noise(index))

    def noise(self, index):
        return np.random.default_rng(index).normal()


class StreamOfStoredData(Stream):
    """The stored data are drawn, with one seed, where the pass begins."""

    def __iter__(self):
        yield from np.random.default_rng(0).normal(size=(N, 3))


class StreamShuffledAlike(IterableDataset):
    """A shuffle buffer with one seed: the order repeats, and no content is drawn."""

    def __iter__(self):
        draw, buffer = random.Random(42), list(STORED)
        while buffer:
            yield buffer.pop(draw.randrange(len(buffer)))


def stream_report(dataset):
    return ba.audit(lambda: DataLoader(dataset(), SIZE), ["as-is"], epochs=3)


def test_a_stream_whose_items_seed_their_draws():
    assert found(stream_report(Stream)) == {CAUSE: "error"}


@pytest.mark.parametrize("dataset", [StreamOfStoredData, StreamShuffledAlike])
def test_streams_that_are_only_the_same_again(dataset):
    report = stream_report(dataset)
    assert CAUSE not in found(report)
    assert "rng-epoch-reset" not in found(report)


def test_in_a_live_training_the_seeding_is_seen(tmp_path):
    def live(dataset):
        with ba.Audit(tmp_path / dataset.__name__) as audit:
            loader = audit.wrap(DataLoader(dataset(), SIZE, shuffle=True), name="train")
            for _ in range(3):
                for _batch in loader:
                    pass
        return audit.report()

    assert found(live(ByNumpySeed)) == {CAUSE: "warning"}
    assert found(live(Fresh)) == {}


# -- tf.data ------------------------------------------------------------------------------------------


def tf_report(make):
    return ba.audit(make, ["as-is"], epochs=3)


def traced(tf):
    def noisy(row):
        return row + np.float32(np.random.normal())

    return tf.data.Dataset.from_tensor_slices(STORED).map(noisy).batch(SIZE)


def traced_with_a_constant_seed(tf):
    def noisy(row):
        return row + np.float32(np.random.default_rng(0).normal())

    return tf.data.Dataset.from_tensor_slices(STORED).map(noisy).batch(SIZE)


def noisy_in_the_graph(tf):
    def noisy(row):
        return row + tf.random.normal([])

    return noisy


def cached_after(tf):
    data = tf.data.Dataset.from_tensor_slices(STORED)
    return data.map(noisy_in_the_graph(tf)).cache().shuffle(N).batch(SIZE)


def stateless(tf):
    def noisy(index, row):
        return row + tf.random.stateless_normal([], seed=[tf.cast(index, tf.int32), 1])

    return tf.data.Dataset.from_tensor_slices(STORED).enumerate().map(noisy).shuffle(N).batch(SIZE)


def cached_before(tf):
    data = tf.data.Dataset.from_tensor_slices(STORED)
    return data.cache().shuffle(N).map(noisy_in_the_graph(tf)).batch(SIZE)


def random_data_cached(tf):
    return tf.data.Dataset.from_tensor_slices(np.random.normal(size=(N, 3))).cache().batch(SIZE)


def by_numpy_function(tf):
    def drawn(row):
        return row + np.float32(np.random.normal())

    def noisy(row):
        return tf.ensure_shape(tf.numpy_function(drawn, [row], tf.float32), [3])

    return tf.data.Dataset.from_tensor_slices(STORED).map(noisy).batch(SIZE)


def generator_of_tf(tf):
    generator = tf.random.Generator.from_seed(1)

    def noisy(row):
        return row + generator.normal([])

    return tf.data.Dataset.from_tensor_slices(STORED).map(noisy).batch(SIZE)


@pytest.mark.parametrize("make", [traced, traced_with_a_constant_seed, cached_after, stateless])
def test_pipelines_that_draw_once(make):
    tf = pytest.importorskip("tensorflow")
    assert found(tf_report(lambda: make(tf))) == {CAUSE: "error"}


@pytest.mark.parametrize("make", [cached_before, random_data_cached, by_numpy_function, generator_of_tf])
def test_healthy_pipelines(make):
    tf = pytest.importorskip("tensorflow")
    assert found(tf_report(lambda: make(tf))) == {}


def test_the_tables_of_a_run_are_read_by_sample():
    from batchaudit.analysis.drawn import repeats

    again = repeats(table(two_epochs(lambda epoch, step: step)))
    assert again is not None
    assert (again.compared, again.equal, again.bound) == (8, 1.0, True)
