"""tf_keras' own `fit`, `evaluate` and `predict`: what the log says was delivered is what the model was given."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf_keras")

import tensorflow as tf
import tf_keras
from tf_keras.src.engine import data_adapter
from tf_keras.src.utils import data_utils

import batchaudit as ba
from batchaudit.analysis.tables import tables
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.errors import BatchauditWarning
from tests.consumers.tf_keras_fits import ROWS, Table, dataset, model, numbered, stream, stream_of_two

SERIAL = {"workers": 1}
THREADS = {"workers": 3}
PROCESSES = {"workers": 2, "use_multiprocessing": True}


@pytest.fixture(autouse=True)
def no_pools_are_left():
    """tf_keras leaves the pool of a generator running: its queue never ends."""
    yield
    for enqueuer in list(_enqueuers):
        if enqueuer.is_running():
            enqueuer.stop(timeout=10)
    _enqueuers.clear()
    for pool in list(data_utils._DATA_POOLS):
        pool.terminate()
        pool.join()
    assert multiprocessing.active_children() == []


_enqueuers: list = []


@pytest.fixture(autouse=True)
def enqueuers_are_known(monkeypatch):
    start = data_utils.SequenceEnqueuer.start

    def started(self, *args, **kwargs):
        _enqueuers.append(self)
        return start(self, *args, **kwargs)

    monkeypatch.setattr(data_utils.SequenceEnqueuer, "start", started)


class Seen:
    """The log of a closed audit."""

    def __init__(self, folder):
        self.log = ba.load(folder)
        self.events = self.log.events

    def tables(self, source):
        rows = self.events[self.events["source"].astype(str) == source]
        return tables(rows, self.log.samples)

    def epochs(self, source):
        """What the log says was delivered: a digest a batch, epoch by epoch."""
        delivered = self.tables(source).delivered
        return [list(group["digest_lo"]) for _, group in delivered.groupby("epoch")]

    def produced(self, source):
        return self.tables(source).produced


def digests(given):
    """The digests of the batches that a model says it was given."""
    return [fingerprint(numbered(number)).digest_lo for number in given]


def in_epochs(given, steps):
    return [given[start : start + steps] for start in range(0, len(given), steps)]


def agree(seen, source, given, steps):
    assert seen.epochs(source) == [digests(epoch) for epoch in in_epochs(given, steps)]


@pytest.mark.parametrize("how", [SERIAL, THREADS, PROCESSES], ids=["serial", "threads", "processes"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_sequence(tmp_path, how, shuffle):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(audit.wrap(Table(), name="train"), epochs=3, verbose=0, shuffle=shuffle, **how)
    seen = Seen(tmp_path)
    assert len(trained.given["fit"]) == 18
    agree(seen, "train", trained.given["fit"], 6)
    produced = seen.produced("train")
    assert list(produced["probe"]).count(True) == 1
    assert (produced["delivered"] | produced["probe"]).all()


@pytest.mark.parametrize("how", [SERIAL, {"workers": 1, "use_multiprocessing": True}, PROCESSES])
def test_a_generator(tmp_path, how):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(audit.wrap(stream(), name="train"), epochs=3, steps_per_epoch=5, verbose=0, **how)
    seen = Seen(tmp_path)
    assert len(trained.given["fit"]) == 15
    agree(seen, "train", trained.given["fit"], 5)
    delivered = seen.tables("train").delivered
    assert (delivered["made"] >= 0).all()  # every one is known by its ticket
    assert not delivered["changed"].any()


def test_replicas_of_a_generator_are_found(tmp_path):
    trained = model()
    source = stream_of_two(multiprocessing.get_context("fork").Barrier(2))
    with ba.Audit(tmp_path) as audit:
        trained.fit(audit.wrap(source, name="train"), epochs=2, steps_per_epoch=12, verbose=0, **PROCESSES)
    given = trained.given["fit"]
    assert len(set(given)) < len(given)  # the defect is real
    report = audit.report()
    assert "unsharded-replica" in {finding.cause for finding in report.findings}
    assert list(report.epochs["unique"]) == [len(set(epoch)) for epoch in in_epochs(given, 12)]


def test_its_healthy_twin_has_no_finding(tmp_path):
    with ba.Audit(tmp_path) as audit:
        model().fit(audit.wrap(Table(12), name="train"), epochs=2, verbose=0, **PROCESSES)
    assert [finding.cause for finding in audit.report().findings] == []


def test_what_was_drawn_ahead_and_left_is_produced_and_not_delivered(tmp_path):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(audit.wrap(stream(), name="train"), epochs=1, steps_per_epoch=5, verbose=0)
    seen = Seen(tmp_path)
    agree(seen, "train", trained.given["fit"], 5)
    produced = seen.produced("train")
    assert len(produced) > 5
    assert int(produced["delivered"].sum()) == 5


@pytest.mark.parametrize("options", [{}, {"steps_per_epoch": 4}])
def test_a_dataset(tmp_path, options):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        watched = audit.wrap(dataset(12 if options else 6), name="train")
        trained.fit(watched, epochs=3, verbose=0, **options)
    given = trained.given["fit"]
    assert len(given) == (12 if options else 18)
    agree(Seen(tmp_path), "train", given, 4 if options else 6)


def test_steps_in_one_execution(tmp_path):
    trained = model()
    trained.compile("sgd", "mse", steps_per_execution=3)
    with ba.Audit(tmp_path) as audit:
        trained.fit(audit.wrap(dataset(), name="train"), epochs=2, verbose=0)
    agree(Seen(tmp_path), "train", trained.given["fit"], 6)


def test_arrays(tmp_path):
    x = np.repeat(np.arange(6, dtype=np.float32), ROWS)[:, None] * np.ones(3, np.float32)
    trained = model()
    with ba.Audit(tmp_path) as audit:
        rows, targets = audit.wrap((x, x[:, :1]), name="train")
        trained.fit(rows, targets, batch_size=ROWS, shuffle=False, epochs=2, verbose=0)
    assert trained.given["fit"] == [0, 1, 2, 3, 4, 5] * 2
    agree(Seen(tmp_path), "train", trained.given["fit"], 6)


@pytest.mark.parametrize("make", [Table, dataset, lambda: stream()], ids=["sequence", "dataset", "generator"])
@pytest.mark.parametrize("how", [SERIAL, PROCESSES], ids=["serial", "processes"])
def test_validation_is_a_source_of_its_own(tmp_path, make, how):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(
            audit.wrap(Table(), name="train"),
            validation_data=audit.wrap(make(), name="val"),
            validation_steps=4,
            epochs=3,
            verbose=0,
            **how,
        )
    seen = Seen(tmp_path)
    assert len(trained.given["evaluate"]) == 12
    agree(seen, "train", trained.given["fit"], 6)
    agree(seen, "val", trained.given["evaluate"], 4)


def test_generators_for_training_and_validation_are_not_mixed_up(tmp_path):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(
            audit.wrap(stream(), name="train"),
            validation_data=audit.wrap(stream(base=5000), name="val"),
            steps_per_epoch=6,
            validation_steps=4,
            epochs=2,
            verbose=0,
            **PROCESSES,
        )
    seen = Seen(tmp_path)
    assert min(trained.given["evaluate"]) >= 5000 > max(trained.given["fit"])
    agree(seen, "train", trained.given["fit"], 6)
    agree(seen, "val", trained.given["evaluate"], 4)
    for name in ("train", "val"):
        assert (seen.tables(name).delivered["made"] >= 0).all()


@pytest.mark.parametrize("how", [SERIAL, PROCESSES], ids=["serial", "processes"])
def test_what_nobody_watches_is_as_it_was(tmp_path, how):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        trained.fit(
            stream(base=700),
            validation_data=audit.wrap(Table(), name="val"),
            steps_per_epoch=6,
            epochs=2,
            verbose=0,
            **how,
        )
        trained.predict(Table(), verbose=0, **how)
    seen = Seen(tmp_path)
    assert min(trained.given["fit"]) == 700
    assert trained.given["predict"] == list(range(6))
    assert set(seen.events["source"].astype(str)) == {"val"}
    agree(seen, "val", trained.given["evaluate"], 6)


def using(watched):
    """A source that merely uses a watched one."""
    for x, y in watched:
        yield x + 100, y + 100


@pytest.mark.parametrize("how", [SERIAL, PROCESSES], ids=["serial", "processes"])
def test_a_source_that_uses_a_watched_one_gives_its_own_batches(tmp_path, how):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        watched = audit.wrap(stream(), name="inner")
        trained.fit(using(watched), steps_per_epoch=4, epochs=1, verbose=0, **how)
    assert len(trained.given["fit"]) == 4
    assert min(trained.given["fit"]) >= 100


def test_several_fits_go_on(tmp_path):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        table, batches = audit.wrap(Table(), name="table"), audit.wrap(stream(), name="stream")
        trained.fit(table, epochs=2, verbose=0)
        trained.fit(table, epochs=1, verbose=0)
        of_table = trained.given["fit"].copy()
        trained.given["fit"].clear()
        trained.fit(batches, steps_per_epoch=3, epochs=2, verbose=0)
        trained.fit(batches, steps_per_epoch=3, epochs=1, verbose=0)
    seen = Seen(tmp_path)
    agree(seen, "table", of_table, 6)
    agree(seen, "stream", trained.given["fit"], 3)


def test_evaluate_and_predict(tmp_path):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        table = audit.wrap(Table(), name="table")
        trained.evaluate(table, verbose=0)
        trained.predict(table, verbose=0)
        trained.evaluate(audit.wrap(dataset(), name="dataset"), steps=4, verbose=0)
    seen = Seen(tmp_path)
    given = trained.given["evaluate"][:6] + trained.given["predict"]
    agree(seen, "table", given, 6)
    agree(seen, "dataset", trained.given["evaluate"][6:], 4)


def test_adapting_a_layer_trains_no_model(tmp_path):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        watched = audit.wrap(dataset(), name="train")
        layer = tf_keras.layers.Normalization()
        layer.adapt(watched.map(lambda x, y: x))  # what is made of it is another dataset
        for _, batches in data_adapter.DataHandler(watched, epochs=1).enumerate_epochs():
            next(batches)  # as `adapt` takes them from one that is given to it as it is
        trained.fit(watched, epochs=2, verbose=0)
    agree(Seen(tmp_path), "train", trained.given["fit"], 6)


def test_an_image_iterator(tmp_path):
    images = np.repeat(np.arange(6, dtype=np.float32), ROWS)[:, None, None, None] * np.ones((1, 2, 2, 1))
    given = []

    class Flat(tf_keras.Sequential):
        def train_step(self, data):
            kept = tf.py_function(lambda x: given.append(sorted(x.numpy().ravel()[::4])), [data[0]], [])
            with tf.control_dependencies([kept]):
                return super().train_step(data)

    trained = Flat([tf_keras.layers.Flatten(), tf_keras.layers.Dense(1)])
    trained.compile("sgd", "mse")
    with ba.Audit(tmp_path) as audit:
        flow = tf_keras.preprocessing.image.ImageDataGenerator().flow(
            images, images[:, 0, 0], batch_size=ROWS
        )
        trained.fit(audit.wrap(flow, name="train"), epochs=2, verbose=0)
    found = Seen(tmp_path).tables("train")
    ids = found.samples[found.samples["event"].isin(found.delivered.index)].groupby("event")["id"]
    theirs = {event: sorted(np.asarray(its, int) // ROWS) for event, its in ids}
    assert [theirs[event] for event in found.delivered.index] == [
        [int(row) for row in each] for each in given
    ]


def drawn(count=6):
    """It draws from NumPy's stream."""
    for _ in range(count * 3 + 20):  # tf_keras reads ahead
        x = np.random.normal(size=(ROWS, 3)).astype(np.float32)
        yield x, x[:, :1]


class Drawn(Table):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.normal(size=x.shape).astype(np.float32), y


def shuffled(count=6):
    return dataset(count).unbatch().shuffle(100).batch(ROWS).map(lambda x, y: (x + tf.random.uniform([]), y))


KINDS = {
    "generator": lambda: (drawn(), {"steps_per_epoch": 6}),
    "sequence": lambda: (Drawn(), {"workers": 1, "shuffle": True}),
    # tf_keras' feeding thread shuffles once more whenever its consumer stalls: no two such runs are alike.
    "processes": lambda: (Table(), {**PROCESSES, "shuffle": False}),
    "dataset": lambda: (shuffled(), {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_those_of_an_unwatched_training(tmp_path, kind):
    def trained(wrap):
        tf_keras.utils.set_random_seed(5)
        source, options = KINDS[kind]()
        made = model()
        made.fit(wrap(source), epochs=3, verbose=0, **options)
        return [weights.tobytes() for weights in made.get_weights()], made.given["fit"]

    plain = trained(lambda source: source)
    with ba.Audit(tmp_path) as audit:
        watched = trained(lambda source: audit.wrap(source, name="train"))
    assert watched == plain
    assert len(Seen(tmp_path).tables("train").delivered) == 18


def test_nothing_is_patched_once_it_is_closed(tmp_path):
    places = (
        (data_adapter.DataHandler, "__init__"),
        (data_adapter.DataHandler, "enumerate_epochs"),
        (data_adapter.DataHandler, "_configure_dataset_and_inferred_steps"),
        (data_adapter.GeneratorDataAdapter, "_handle_multiprocessing"),
        (data_adapter.KerasSequenceAdapter, "_handle_multiprocessing"),
        (data_utils.OrderedEnqueuer, "get"),
        (data_utils.GeneratorEnqueuer, "get"),
        (data_utils, "get_index"),
        (data_utils, "next_sample"),
    )
    before = [vars(owner)[name] for owner, name in places]
    with ba.Audit(tmp_path):
        assert all(vars(owner)[name] is not old for (owner, name), old in zip(places, before, strict=True))
    assert [vars(owner)[name] for owner, name in places] == before


@pytest.mark.parametrize("make", [Table, dataset], ids=["sequence", "dataset"])
def test_after_the_audit_the_source_goes_on_with_one_warning(tmp_path, make):
    trained = model()
    with ba.Audit(tmp_path) as audit:
        watched = audit.wrap(make(), name="train")
        trained.fit(watched, epochs=1, verbose=0, shuffle=False)
    with pytest.warns(BatchauditWarning, match="goes on as it is") as warned:
        trained.fit(watched, epochs=2, verbose=0, shuffle=False)
    assert len([each for each in warned if each.category is BatchauditWarning]) == 1
    assert trained.given["fit"] == list(range(6)) * 3
    agree(Seen(tmp_path), "train", trained.given["fit"][:6], 6)


def test_an_error_of_the_source_is_the_users(tmp_path):
    def broken():
        yield numbered(0)
        yield numbered(1)
        raise ValueError("the third batch is broken")

    with ba.Audit(tmp_path) as audit, pytest.raises(Exception, match="the third batch is broken"):
        model().fit(audit.wrap(broken(), name="train"), epochs=1, verbose=0)
    events = Seen(tmp_path).events
    assert "ValueError" in set(events.loc[events["stage"] == "raised", "text"])


def sources_in(folder):
    log = ba.load(folder)
    return {str(source) for source in log.events["source"].unique()}


def test_an_unchanged_program(taking_everything):
    trained = model()
    trained.fit(Table(), validation_data=Table(4), epochs=2, verbose=0)
    trained.predict(dataset(), verbose=0)
    assert trained.given["predict"] == list(range(6))
    names = sources_in(taking_everything)
    assert len(names) == 3
    assert len([name for name in names if name.endswith(" (validation)")]) == 1
    assert all("test_tf_keras.py:" in name or "tf_keras_fits.py:" in name for name in names)
    seen = Seen(taking_everything)
    (validation,) = (name for name in names if name.endswith(" (validation)"))
    agree(seen, validation, trained.given["evaluate"], 4)
    agree(seen, validation.removesuffix(" (validation)"), trained.given["fit"], 6)
    (predicted,) = (name for name in names if "tf_keras_fits.py:" in name)  # where the dataset was made
    assert seen.epochs(predicted) == [digests(range(6))]
    splits = {run.source: run.about["split"] for run in seen.log.runs} if hasattr(seen.log, "runs") else {}
    assert splits.get(predicted, "prediction") == "prediction"


def test_arrays_of_an_unchanged_program(taking_everything):
    x = np.repeat(np.arange(6, dtype=np.float32), ROWS)[:, None] * np.ones(3, np.float32)
    trained = model()
    for _ in range(2):
        trained.fit(x, x[:, :1], batch_size=ROWS, verbose=0)
    (name,) = sources_in(taking_everything)
    (rows,) = {len(epoch) for epoch in in_epochs(trained.given["fit"], 6)}
    assert [len(epoch) for epoch in Seen(taking_everything).epochs(name)] == [rows, rows]
