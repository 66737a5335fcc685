"""Loops over `tf.data` datasets: what the log says was delivered is what the loop was given."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import tensorflow as tf
from tensorflow.python.autograph.operators import py_builtins
from tensorflow.python.data.ops import dataset_autograph, dataset_ops

import batchaudit as ba
from batchaudit.analysis.tables import tables
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.errors import BatchauditWarning

ROWS = np.arange(24, dtype=np.int64)


def batches(rows=ROWS, size=4):
    return tf.data.Dataset.from_tensor_slices(rows).batch(size)


def ahead():
    """A pipeline that runs ahead of its consumer."""
    return batches().map(lambda x: x, num_parallel_calls=2).prefetch(3)


def endless():
    return batches().repeat()


class Seen:
    """The log of a closed audit."""

    def __init__(self, folder):
        self.log = ba.load(folder)
        self.sources = {str(source) for source in self.log.events["source"].unique()}

    def tables(self, source="train"):
        events = self.log.events
        return tables(events[events["source"].astype(str) == source], self.log.samples)

    def epochs(self, source="train"):
        delivered = self.tables(source).delivered
        return [list(group["digest_lo"]) for _, group in delivered.groupby("epoch")]


def digests(given):
    return [fingerprint(np.asarray(batch)).digest_lo for batch in given]


@pytest.mark.parametrize("make", [batches, ahead])
def test_each_loop_is_an_epoch(tmp_path, make):
    given = []
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(make(), name="train")
        for _ in range(3):
            given.append([batch.numpy() for batch in train])
    seen = Seen(tmp_path)
    assert [len(epoch) for epoch in given] == [6, 6, 6]
    assert seen.epochs() == [digests(epoch) for epoch in given]
    assert (seen.tables().delivered["worker"] == 0).all()


@pytest.mark.parametrize("make", [batches, ahead, endless])
def test_no_more_is_noted_than_the_loop_has_taken(tmp_path, make):
    given = []
    with ba.Audit(tmp_path) as audit:
        for batch in audit.wrap(make(), name="train"):
            given.append(batch.numpy())
            if len(given) == 4:
                break
    assert Seen(tmp_path).epochs() == [digests(given)]


def test_a_look_before_the_training_is_a_look(tmp_path):
    given = []
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(batches(), name="train")
        next(iter(train))
        for _ in range(2):
            given.append([batch.numpy() for batch in train])
    assert Seen(tmp_path).epochs() == [digests(epoch) for epoch in given]


def test_steps_end_the_epochs_of_an_endless_dataset(tmp_path):
    given = []
    with ba.Audit(tmp_path) as audit:
        iterator = iter(audit.wrap(endless(), name="train", steps_per_epoch=5))
        for _ in range(3):
            given.append([next(iterator).numpy() for _ in range(5)])
    assert Seen(tmp_path).epochs() == [digests(epoch) for epoch in given]


def test_two_iterators_at_once_are_two_passes(tmp_path):
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(batches(), name="train")
        pairs = [(one.numpy(), other.numpy()) for one, other in zip(train, train, strict=True)]
    expected = [digests(one for one, _ in pairs), digests(other for _, other in pairs)]
    assert Seen(tmp_path).epochs() == expected


def compiled(given, closed_over=None):
    keep = lambda batch: given.append(batch.numpy())  # noqa: E731

    @tf.function
    def over(dataset):
        for batch in dataset:
            tf.py_function(keep, [batch], [])

    @tf.function
    def closure(_):
        for batch in closed_over:
            tf.py_function(keep, [batch], [])

    @tf.function
    def left_early(dataset):
        for batch in dataset:
            tf.py_function(keep, [batch], [])
            if batch[0] == 20:
                break

    @tf.function
    def counted(dataset):
        for _, batch in enumerate(dataset):
            tf.py_function(keep, [batch], [])

    @tf.function
    def zipped(dataset):
        for batch, _ in zip(dataset, tf.data.Dataset.range(100)):  # noqa: B905 - TensorFlow has no strict
            tf.py_function(keep, [batch], [])

    @tf.function
    def by_iterator(dataset):
        iterator = iter(dataset)
        for _ in tf.range(6):
            tf.py_function(keep, [next(iterator)], [])

    def reduced(dataset):
        def step(state, batch):
            with tf.control_dependencies([tf.py_function(keep, [batch], [])]):
                return state + 1

        dataset.reduce(tf.constant(0), step)

    def as_numpy(dataset):
        given.extend(dataset.as_numpy_iterator())

    loops = [over, closure, left_early, counted, zipped, by_iterator, reduced, as_numpy]
    return {getattr(loop, "python_function", loop).__name__: loop for loop in loops}


LOOPS = list(compiled([]))


@pytest.mark.parametrize("loop", LOOPS)
def test_other_ways_to_loop(tmp_path, loop):
    given = []
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(ahead(), name="train")
        run = compiled(given, closed_over=train)[loop]
        run(train)
        run(train)
    assert len(given) == 12
    assert Seen(tmp_path).epochs() == [digests(given[:6]), digests(given[6:])]


def test_a_compiled_step_that_pulls_from_the_iterator(tmp_path):
    given = []

    @tf.function
    def step(iterator):
        batch = next(iterator)
        tf.py_function(lambda batch: given.append(batch.numpy()), [batch], [])

    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(ahead(), name="train")
        for _ in range(2):
            iterator = iter(train)
            for _ in range(6):
                step(iterator)
    assert Seen(tmp_path).epochs() == [digests(given[:6]), digests(given[6:])]


def test_what_is_made_of_a_watched_dataset_is_another(tmp_path):
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(batches(), name="train")
        for made in (
            train.take(3),
            train.map(lambda x: x + 1).shuffle(4).repeat(2),
            train.unbatch().batch(2),
        ):
            plain = [element.numpy().shape for element in made]
        assert [element.numpy().tolist() for element in train.take(1)] == [[0, 1, 2, 3]]
        assert len(plain) == 12
        for _ in train:
            pass
    assert [len(epoch) for epoch in Seen(tmp_path).epochs()] == [6]


def test_a_shuffle_is_the_shuffle_of_the_unwatched(tmp_path):
    def orders(wrap):
        tf.random.set_seed(4)
        train = wrap(tf.data.Dataset.from_tensor_slices(ROWS).shuffle(24).batch(4))
        drawn = [tf.random.uniform([]).numpy()]
        orders = [np.concatenate([batch.numpy() for batch in train]).tolist() for _ in range(3)]
        later = tf.data.Dataset.from_tensor_slices(ROWS).shuffle(24)
        return orders, drawn, [tf.random.uniform([]).numpy()], [int(row) for row in later]

    plain = orders(lambda dataset: dataset)
    with ba.Audit(tmp_path) as audit:
        watched = orders(lambda dataset: audit.wrap(dataset, name="train"))
    assert watched == plain
    assert plain[0][0] != plain[0][1]  # it does shuffle, anew each epoch
    report = audit.report()
    assert list(report.epochs["effective_ratio"]) == [1.0, 1.0, 1.0]
    assert [finding.cause for finding in report.findings] == []


def test_an_iterator_can_be_saved_and_restored(tmp_path):
    def resumed(dataset):
        iterator = iter(dataset)
        next(iterator)
        path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "saved"))
        next(iterator), next(iterator)
        tf.train.Checkpoint(iterator=iterator).restore(path)
        return [batch.numpy().tolist() for batch in iterator]

    with ba.Audit(tmp_path / "run") as audit:
        assert resumed(audit.wrap(batches(), name="train")) == resumed(batches())


def test_waiting_is_the_consumers(tmp_path):
    def made():
        for number in range(3):
            time.sleep(0.05)
            yield number

    slow = tf.data.Dataset.from_generator(made, output_signature=tf.TensorSpec([], tf.int64))
    with ba.Audit(tmp_path) as audit:
        for _ in audit.wrap(slow, name="slow"):
            pass
        for _ in audit.wrap(batches(), name="fast"):
            time.sleep(0.05)
    seen = Seen(tmp_path)
    waited = {
        name: (rows["ended_ns"] - rows["began_ns"]).sum() / 1e9
        for name in ("slow", "fast")
        for rows in [seen.tables(name).delivered]
    }
    assert waited["slow"] >= 0.14
    assert waited["fast"] < waited["slow"]


def test_after_the_audit_a_dataset_goes_on_with_one_warning(tmp_path):
    with ba.Audit(tmp_path) as audit:
        train = audit.wrap(batches(), name="train")
        iterator = iter(train)
        next(iterator)
    with pytest.warns(BatchauditWarning, match="goes on as it is") as warned:
        assert [len(list(train)), len(list(train)), len(list(iterator))] == [6, 6, 5]
    assert len([each for each in warned if each.category is BatchauditWarning]) == 1
    assert Seen(tmp_path).epochs() == [digests([ROWS[:4]])]


def test_nothing_is_patched_once_it_is_closed(tmp_path):
    def places():
        dataset = vars(dataset_ops.DatasetV2)
        return [
            *(dataset[name] for name in ("__init__", "__iter__", "as_numpy_iterator")),
            dataset_autograph._general_purpose_scan,
            py_builtins.enumerate_registry._registry[dataset_ops.DatasetV2],
            py_builtins.zip_registry._registry[dataset_ops.DatasetV2],
        ]

    before = places()
    with ba.Audit(tmp_path):
        assert all(new is not old for new, old in zip(places(), before, strict=True))
    assert places() == before


def test_a_loop_of_an_unchanged_program(taking_everything):
    made = batches()
    made = made.prefetch(2)
    given = [[batch.numpy() for batch in made] for _ in range(2)]
    looped = []
    compiled(looped)["over"](batches(ROWS * 2).prefetch(1))
    seen = Seen(taking_everything)
    in_graph, eager = sorted(seen.sources, key=lambda name: int(name.rpartition(":")[2]), reverse=True)
    assert "test_tf_data.py:" in eager
    assert seen.epochs(eager) == [digests(epoch) for epoch in given]
    assert seen.epochs(in_graph) == [digests(looped)]


def test_a_loop_of_a_library_is_not_the_programs(taking_everything):
    made = batches()
    iterator = iter(tf.data.Dataset.zip((made, made)))
    list(iterator)  # the program's own, and the only one
    made.reduce(0, lambda state, _: state)
    assert len(Seen(taking_everything).sources) == 1


def test_an_audit_of_what_is_wrapped_watches_no_other(tmp_path):
    with ba.Audit(tmp_path) as audit:
        for _ in audit.wrap(batches(), name="train"):
            pass
        for _ in batches():
            pass
    assert Seen(tmp_path).sources == {"train"}
