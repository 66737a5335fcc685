"""Real loaders whose epoch does not arrive, each with its healthy twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis import order
from batchaudit.analysis.walk import by_id
from batchaudit.diagnosis import stale_epoch
from tests.analysis.build import Batch, evidence, table

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

CAUSE = "stale-epoch"
N, EPOCHS = 24, 3


class Numbered(torch.utils.data.Dataset):
    """Its content depends on the epoch that its own copy believes in."""

    def __init__(self):
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return N

    def __getitem__(self, index):
        return np.array([index, self.epoch])


class Plain(torch.utils.data.Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        return np.array([index])


def report_of(folder, loader, begin=lambda loader, epoch: None):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(loader, name="train")
        for epoch in range(EPOCHS):
            begin(watched, epoch)
            for _ in watched:
                pass
    return audit.report()


def verdict(report):
    [run] = report.runs
    return next(one for one in run.verdicts if one.cause == "stale-epoch")


def set_on_dataset(loader, epoch):
    loader.dataset.set_epoch(epoch)


def set_on_sampler(loader, epoch):
    loader.sampler.set_epoch(epoch)


def shared(rank=1, shuffle=True):
    return torch.utils.data.distributed.DistributedSampler(
        Plain(), num_replicas=2, rank=rank, shuffle=shuffle, seed=5
    )


def test_workers_that_live_on_do_not_hear_of_the_epoch(tmp_path):
    loader = torch.utils.data.DataLoader(Numbered(), 4, num_workers=2, persistent_workers=True)
    report = report_of(tmp_path, loader, set_on_dataset)
    [finding] = report.findings
    assert (finding.cause, finding.severity, finding.scope) == ("stale-epoch", "error", "worker")
    assert finding.evidence["set_by_the_program"] == [0, 1, 2]
    assert finding.evidence["believed_by_workers"] == [0, 0, 0]
    assert finding.evidence["stale_epochs"] == [1, 2]
    assert "persistent_workers=False" in finding.fix


@pytest.mark.parametrize("settings", [{"num_workers": 2}, {"num_workers": 0}])
def test_workers_made_anew_each_epoch_have_it(tmp_path, settings):
    loader = torch.utils.data.DataLoader(Numbered(), 4, **settings)
    report = report_of(tmp_path, loader, set_on_dataset)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_workers_that_live_on_and_share_the_number_have_it(tmp_path):
    class Sharing(Numbered):
        def __init__(self):
            self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

        def set_epoch(self, epoch):
            self.epoch.fill_(epoch)

        def __getitem__(self, index):
            return np.array([index, int(self.epoch)])

    loader = torch.utils.data.DataLoader(Sharing(), 4, num_workers=2, persistent_workers=True)
    report = report_of(tmp_path, loader, set_on_dataset)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_a_sampler_that_is_never_told(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, sampler=shared()))
    [finding] = report.findings
    assert finding.cause == "stale-epoch" and "set_epoch was not called" in finding.summary
    assert "sampler.set_epoch(epoch)" in finding.fix


def test_a_sampler_that_is_told(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, sampler=shared()), set_on_sampler)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_a_sampler_that_shuffles_nothing_has_nothing_to_be_told(tmp_path):
    loader = torch.utils.data.DataLoader(Plain(), 4, sampler=shared(shuffle=False))
    report = report_of(tmp_path, loader)
    assert not report.findings and verdict(report).verdict == "ruled out"


def test_one_epoch_shows_nothing(tmp_path):
    with ba.Audit(tmp_path) as audit:
        list(audit.wrap(torch.utils.data.DataLoader(Plain(), 4, sampler=shared())))
    assert verdict(audit.report()).verdict == "not observable"


def test_shuffled_anew_each_epoch(tmp_path):
    report = report_of(tmp_path, torch.utils.data.DataLoader(Plain(), 4, shuffle=True, num_workers=2))
    assert not report.findings and verdict(report).verdict == "ruled out"


@pytest.mark.parametrize(("shuffle", "found"), [(True, ["stale-epoch"]), (False, [])])
def test_the_ranks_of_one_training_are_looked_at_each_for_itself(tmp_path, monkeypatch, shuffle, found):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        loader = torch.utils.data.DataLoader(Plain(), 4, sampler=shared(rank, shuffle))
        report = report_of(tmp_path, loader)
    assert report.ranks == (0, 1)
    assert [finding.cause for finding in report.findings] == found * 2


# -- what an audit can say of a sampler that it does not tell ---------------------------------------


def stale(report):
    return [finding for finding in report.findings if finding.cause == CAUSE]


def test_in_an_audit_nobody_calls_set_epoch():
    report = ba.audit(lambda: DataLoader(Plain(), 4, sampler=shared()), ["as-is"], probes=False)
    [finding] = stale(report)
    assert finding.severity == "info" and "this audit calls no set_epoch" in finding.summary


def test_an_audit_of_a_sampler_that_shuffles_nothing():
    report = ba.audit(lambda: DataLoader(Plain(), 4, sampler=shared(shuffle=False)), ["as-is"], probes=False)
    assert not stale(report)


def test_a_padded_share_in_the_order_of_the_data(tmp_path):
    sampler = torch.utils.data.distributed.DistributedSampler(
        list(range(9)), num_replicas=4, rank=1, shuffle=False
    )
    assert not stale(report_of(tmp_path, DataLoader(list(range(9)), 1, sampler=sampler)))


# -- one order, and who asked for another -----------------------------------------------------------


class OneOrder:
    """A sampler that gives one order again and again."""

    def __init__(self, order):
        self.order = order

    def __iter__(self):
        return iter(self.order)

    def __len__(self):
        return N


class OnePermutation(OneOrder):
    def __init__(self):
        super().__init__(torch.randperm(N, generator=torch.Generator().manual_seed(1)).tolist())


class NewPermutations(OnePermutation):
    def __iter__(self):
        return iter(torch.randperm(N).tolist())


SCRAMBLED = np.random.default_rng(3).permutation(N).tolist()


@pytest.mark.parametrize(
    ("sampler", "severities"),
    [
        (OnePermutation, ["warning"]),
        (NewPermutations, []),
        (lambda: OneOrder(SCRAMBLED), ["info"]),  # by length, or shuffled once: who knows
        (lambda: OneOrder([*range(0, N, 2), *range(1, N, 2)]), []),
        (lambda: OneOrder(range(N)), []),
    ],
)
def test_a_sampler_of_ones_own(tmp_path, sampler, severities):
    report = report_of(tmp_path, DataLoader(Plain(), 4, sampler=sampler()))
    assert [finding.severity for finding in stale(report)] == severities


def test_a_validation_may_stay_as_it_is(tmp_path):
    with ba.Audit(tmp_path) as audit:
        loader = audit.wrap(DataLoader(Plain(), 4, sampler=OnePermutation()), name="val")
        for _ in range(EPOCHS):
            list(loader)
    assert not stale(audit.report())


def test_a_part_that_was_drawn_once_and_is_not_shuffled(tmp_path):
    part = torch.utils.data.Subset(Plain(), SCRAMBLED)
    assert not stale(report_of(tmp_path, DataLoader(part, 4)))


def test_passes_that_are_too_small_agree_by_chance(tmp_path):
    loader = DataLoader(torch.utils.data.Subset(Plain(), [0, 1, 2]), 1, sampler=[2, 0, 1])
    assert not stale(report_of(tmp_path, loader))


# -- streams ----------------------------------------------------------------------------------------


class Counted(torch.utils.data.IterableDataset):
    """Each pass has an order of its own, by a count that the pass itself keeps."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        info = torch.utils.data.get_worker_info()
        order = np.random.default_rng([5, self.passes]).permutation(N)
        yield from order[info.id :: info.num_workers] if info else order


@pytest.mark.parametrize(("settings", "found"), [({}, True), ({"persistent_workers": True}, False)])
def test_a_count_that_dies_with_the_workers(settings, found):
    report = ba.audit(lambda: DataLoader(Counted(), 4, num_workers=2, **settings), ["as-is"], probes=False)
    assert [(each.severity, each.scope) for each in stale(report)] == [("error", "worker")] * found


def test_the_probe_says_it_where_no_serial_pass_does():
    samples = [tuple(range(start, start + 4)) for start in (0, 4)]

    def passes(*orders):
        return [
            Batch(1, epoch, epoch, samples=part, ids=part)
            for epoch, order in enumerate(orders)
            for part in (samples[number] for number in order)
        ]

    still, moving = passes((1, 0), (1, 0), (1, 0)), passes((1, 0), (0, 1), (1, 0))

    def judged(probe):
        return stale_epoch.judge(evidence(still, probes={"persistent": table(probe)})).finding

    found = judged(moving)
    assert found is not None and found.evidence["moves"] == "persistent"
    assert judged(still) is None


@pytest.mark.parametrize("told", [False, True])
def test_a_hugging_face_stream(tmp_path, told):
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_dict({"x": list(range(N))}).to_iterable_dataset().shuffle(seed=1)
    with ba.Audit(tmp_path) as audit:
        loader = audit.wrap(DataLoader(stream, 4), name="train")
        for epoch in range(EPOCHS):
            if told:
                loader.dataset.set_epoch(epoch)
            list(loader)
    assert [each.severity for each in stale(audit.report())] == ([] if told else ["error"])


def test_an_unshuffled_hugging_face_stream(tmp_path):
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_dict({"x": list(range(N))}).to_iterable_dataset()
    assert not stale(report_of(tmp_path, DataLoader(stream, 4)))


def test_a_generator_that_the_audit_makes_anew_for_each_epoch():
    def made():
        yield from np.random.default_rng(0).permutation(N).reshape(-1, 4)

    report = ba.audit(made, ["serial"], key=lambda rows: rows, probes=False)
    assert not stale(report) and verdict(report).verdict == "not observable"


# -- hooks ------------------------------------------------------------------------------------------

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")


class Reshuffling(tf_keras.utils.Sequence):
    def __init__(self, shuffled=True, on=True):
        self.rng, self.order, self.on = np.random.default_rng(3), np.arange(N), on
        if shuffled:
            self.rng.shuffle(self.order)

    def __len__(self):
        return N // 4

    def __getitem__(self, index):
        rows = self.order[index * 4 : index * 4 + 4].astype(np.float32)
        return rows[:, None], rows

    def on_epoch_end(self):
        if self.on:
            self.rng.shuffle(self.order)


class Talking(Reshuffling):
    def on_epoch_end(self):
        self.rng.random()


def loop(sequence, hook=False):
    for _ in range(EPOCHS):
        for index in range(len(sequence)):
            sequence[index]
        if hook:
            sequence.on_epoch_end()


def live(folder, source, train, name="train", **options):
    with ba.Audit(folder) as audit:
        train(audit.wrap(source, name=name, **options))
    return audit.report()


@pytest.mark.parametrize(
    ("sequence", "name", "severities"),
    [
        (Reshuffling, "train", ["error"]),
        (lambda: Reshuffling(shuffled=False), "train", ["warning"]),
        (lambda: Reshuffling(on=False), "train", []),  # its switch is off
        (Talking, "train", []),  # its hook changes nothing
        (Reshuffling, "val", ["info"]),
    ],
)
def test_a_hook_that_nobody_calls(tmp_path, sequence, name, severities):
    assert [each.severity for each in stale(live(tmp_path, sequence(), loop, name))] == severities


def test_a_hook_that_is_called(tmp_path):
    assert not stale(live(tmp_path, Reshuffling(), lambda sequence: loop(sequence, hook=True)))


def fit(framework, source, **options):
    model = framework.Sequential([framework.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(source, epochs=EPOCHS, verbose=0, **options)


@pytest.mark.parametrize("workers", [{}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}])
def test_tf_keras_calls_it(tmp_path, workers):
    report = live(tmp_path, Reshuffling(), lambda sequence: fit(tf_keras, sequence, shuffle=False, **workers))
    assert not stale(report)


def test_keras_calls_it(tmp_path):
    class OfKeras(Reshuffling, keras.utils.PyDataset):
        def __init__(self):
            keras.utils.PyDataset.__init__(self)
            Reshuffling.__init__(self)

    assert not stale(live(tmp_path, OfKeras(), lambda dataset: fit(keras, dataset, shuffle=False)))


def around(sequence, hook):
    def batches():
        yield from (sequence[index] for index in range(len(sequence)))
        if hook:
            sequence.on_epoch_end()

    signature = (tf.TensorSpec([None, 1], tf.float32), tf.TensorSpec([None], tf.float32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


@pytest.mark.parametrize("hook", [False, True])
def test_tf_data_around_a_sequence(tmp_path, hook):
    watched = live(tmp_path, around(Reshuffling(), hook), lambda data: fit(keras, data))
    assert bool(stale(watched)) == (not hook)
    audited = ba.audit(lambda: around(Reshuffling(), hook), ["as-is"], probes=False)
    assert bool(stale(audited)) == (not hook)


def test_tf_data_around_a_sequence_without_a_hook_that_matters(tmp_path):
    assert not stale(live(tmp_path, around(Talking(), False), lambda data: fit(keras, data)))


@pytest.mark.parametrize(
    ("change", "severities"),
    [
        (lambda data: data.shuffle(N).cache().batch(4), ["warning"]),
        (lambda data: data.cache().shuffle(N).batch(4), []),
        (lambda data: data.shuffle(N, reshuffle_each_iteration=False).batch(4), []),  # as it says
        (lambda data: data.batch(4), []),
    ],
)
def test_stages_that_shuffle(change, severities):
    report = ba.audit(lambda: change(tf.data.Dataset.range(N)), ["as-is"], probes=False)
    assert [each.severity for each in stale(report)] == severities


def test_a_hook_in_the_middle_of_an_epoch():
    def made(*parts):
        return [Batch(1, 0, 0, samples=part, ids=part) for part in parts]

    tables = table(made((1, 2), (3, 4), (3, 1), (2, 4)))
    hook = tables.produced.iloc[[0]].assign(text="on_epoch_end", began_ns=15)
    [mixed] = order.mixed(replace(tables, hooks=hook), by_id(tables))
    assert (mixed.epoch, mixed.step, mixed.twice) == (0, 2, 4)
    after = tables.produced.iloc[[0]].assign(text="on_epoch_end", began_ns=99)
    assert order.mixed(replace(tables, hooks=after), by_id(tables)) == []


@pytest.mark.parametrize(("steps", "found"), [(9, True), (N // 4, False)])
def test_tf_keras_with_steps_beyond_the_length(tmp_path, steps, found):
    report = live(
        tmp_path,
        Reshuffling(),
        lambda sequence: fit(tf_keras, sequence, shuffle=False, workers=2, steps_per_epoch=steps),
        key=lambda batch: np.asarray(batch[1]).astype(int),
    )
    assert [each.severity for each in stale(report)] == ["warning"] * found
    if found:
        assert "in the middle" in stale(report)[0].summary
