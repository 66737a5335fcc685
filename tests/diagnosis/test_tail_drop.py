"""Ends of the data that never arrive, each with its healthy twin."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.ranks import Ranks
from batchaudit.diagnosis import tail_drop
from tests.analysis.build import Batch, evidence, table

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info  # noqa: E402
from torch.utils.data.distributed import DistributedSampler  # noqa: E402

N = 46
ROWS = torch.arange(float(N))


def verdict(report, cause="tail-drop"):
    [run] = report.runs
    return next(one.verdict for one in run.verdicts if one.cause == cause)


def tails(report):
    return [finding for finding in report.findings if finding.cause == "tail-drop"]


def audited(make, strategy="as-is", epochs=3, **options):
    return ba.audit(make, [strategy], epochs=epochs, probes=False, **options)


def watched(folder, source, passes, name="train", **options):
    """A live audit: each of `passes` is how many batches are taken, None for all."""
    with ba.Audit(folder) as audit:
        source = audit.wrap(source, name=name, **options)
        for steps in passes:
            for _ in islice(source, steps):
                pass
    return audit.report()


# -- a remainder ------------------------------------------------------------------------------------


def loader(**settings):
    return DataLoader(TensorDataset(ROWS), 8, **settings)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"drop_last": True}, True),
        ({"drop_last": True, "num_workers": 2}, True),
        ({"drop_last": True, "shuffle": True}, False),
        ({"drop_last": False}, False),
    ],
)
def test_a_remainder_is_lost_where_the_order_stays(settings, found):
    report = audited(lambda: loader(**settings))
    assert bool(tails(report)) == found
    assert verdict(report) == ("found" if found else "ruled out")
    if found:
        [finding] = tails(report)
        assert (finding.severity, finding.scope) == ("error", "pipeline")  # 6 of 46
        assert finding.evidence["never_seen"] == [40, 41, 42, 43, 44, 45]
        assert "drop_last=False" in finding.fix


def test_less_than_a_twentieth_is_a_warning():
    [finding] = tails(audited(lambda: DataLoader(TensorDataset(torch.arange(401.0)), 8, drop_last=True)))
    assert finding.severity == "warning"


def test_nothing_is_left_where_it_divides():
    report = audited(lambda: DataLoader(TensorDataset(ROWS), 23, drop_last=True))
    assert verdict(report) == "ruled out"


def test_sampling_with_replacement_leaves_nothing_out_for_good():
    def make():
        data = TensorDataset(ROWS)
        sampler = torch.utils.data.WeightedRandomSampler([1.0] * N, N, replacement=True)
        return DataLoader(data, 8, sampler=sampler, drop_last=True)

    assert not tails(audited(make))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_loop_of_ones_own(tmp_path, split):
    report = watched(tmp_path, loader(drop_last=True), [None] * 2, name=split)
    assert verdict(report) == "found"


tf = pytest.importorskip("tensorflow")


def pipeline(shuffle, remainder):
    data = tf.data.Dataset.range(N)
    data = data.shuffle(N) if shuffle else data
    return data.batch(8, drop_remainder=not remainder)


@pytest.mark.parametrize(
    ("shuffle", "remainder", "found"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_tf_data(shuffle, remainder, found):
    report = audited(lambda: pipeline(shuffle, remainder))
    assert verdict(report) == ("found" if found else "ruled out")
    assert bool(tails(report)) == found


def test_batches_that_are_shuffled_leave_out_the_same_samples(tmp_path):
    data = tf.data.Dataset.range(N).batch(8, drop_remainder=True).shuffle(5)
    assert verdict(watched(tmp_path, data, [None] * 3)) == "found"


keras = pytest.importorskip("keras")


class Floored(keras.utils.PyDataset):
    def __init__(self, shuffles=False, rounds=np.floor):
        super().__init__()
        self.x, self.order = np.arange(float(N))[:, None], np.arange(N)
        self.shuffles, self.rounds = shuffles, rounds
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return int(self.rounds(N / 8))

    def __getitem__(self, index):
        rows = self.order[index * 8 : (index + 1) * 8]
        return self.x[rows], self.x[rows, 0]

    def on_epoch_end(self):
        if self.shuffles:
            self.rng.shuffle(self.order)


def fit(framework, source, epochs=3, **options):
    model = framework.Sequential([framework.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(source, epochs=epochs, verbose=0, **options)


@pytest.mark.parametrize(
    ("settings", "found"),
    [({}, True), ({"shuffles": True}, False), ({"rounds": np.ceil}, False)],
)
def test_a_length_that_is_rounded_down(tmp_path, settings, found):
    with ba.Audit(tmp_path) as audit:
        fit(keras, audit.wrap(Floored(**settings), name="train"), shuffle=False)
    assert bool(tails(audit.report())) == found


def test_what_lies_behind_the_last_index():
    def run(number, *contents):
        return Batch(1, number, number // 2, samples=contents, index=number % 2)

    passes = [run(0, 1, 2), run(1, 3, 4), run(2, 1, 2), run(3, 3, 4)]
    serial = table(passes)
    known = {"kind": "indexed", "about": {"hooks": []}}
    baseline = Baseline(serial, table(passes[:2]), table(passes[:2]))

    def judged(*contents):
        behind = table([Batch(1, 9, 0, samples=contents, index=2)])
        return tail_drop.judge(evidence(passes, baseline, probes={"beyond": behind}, **known))

    found = judged(5)
    assert found.finding is not None and found.finding.evidence["never_seen"] == 1
    assert judged(1).verdict == "ruled out"  # from the start again
    assert judged(5, 6).finding is None  # made up for any index


# -- workers ----------------------------------------------------------------------------------------


class Stream(IterableDataset):
    def __iter__(self):
        worker = get_worker_info()
        rows = range(N)
        yield from rows[worker.id :: worker.num_workers] if worker else rows


class ShuffledStream(Stream):
    def __iter__(self):
        order = np.random.default_rng(get_worker_info().seed if get_worker_info() else None).permutation(N)
        worker = get_worker_info()
        mine = [row for row in order if worker is None or row % worker.num_workers == worker.id]
        yield from mine


# Of the shares 0, 3 ... 45; 1, 4 ... 43; 2, 5 ... 44 the whole batches of 8.
_SEEN = {*range(0, 46, 3), *range(1, 24, 3), *range(2, 24, 3)}


@pytest.mark.parametrize(
    ("dataset", "drop", "found"),
    [(Stream, True, True), (Stream, False, False), (ShuffledStream, True, False)],
)
def test_each_worker_drops_the_end_of_its_share(dataset, drop, found):
    report = audited(
        lambda: DataLoader(dataset(), 8, num_workers=3, drop_last=drop),
        epochs=4,
        key=lambda batch: batch.numpy(),
    )
    if not found:
        assert not tails(report)
        return
    [finding] = tails(report)
    assert (finding.scope, finding.evidence["workers"]) == ("worker", 3)
    assert finding.evidence["samples_alone"] == 40
    assert finding.evidence["samples_with_workers"] == 32
    assert finding.evidence["never_seen"] == [row for row in range(40) if row not in _SEEN]


def test_a_stream_that_drops_cannot_be_judged_in_the_training_itself(tmp_path):
    report = watched(tmp_path, DataLoader(Stream(), 8, num_workers=3, drop_last=True), [None] * 2)
    assert verdict(report) == "not observable"


# -- an iterator made anew --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [loader, lambda: pipeline(False, True)])
def test_next_of_iter_at_each_step(tmp_path, make):
    report = watched(tmp_path, make(), [1] * 12)
    [finding] = tails(report)
    assert (finding.severity, finding.evidence["samples_seen"]) == ("error", 8)
    assert finding.evidence["batches_of_the_source"] == 6


@pytest.mark.parametrize(
    ("make", "passes", "name"),
    [
        (lambda: loader(shuffle=True), [1] * 12, "train"),  # sampling
        (loader, [None] * 3, "train"),
        (loader, [1, None, None], "train"),  # a look
        (loader, [1] * 12, "val"),  # the same pictures are drawn after each hundred steps
        (lambda: DataLoader(TensorDataset(ROWS), N), [1] * 12, "train"),  # one batch is all there is
        (lambda: pipeline(True, True), [1] * 12, "train"),
    ],
)
def test_short_passes_that_are_none(tmp_path, make, passes, name):
    assert not tails(watched(tmp_path, make(), passes, name=name))


def test_a_stream_of_unknown_length(tmp_path):
    [finding] = tails(watched(tmp_path, DataLoader(Stream(), 8), [1] * 12))
    assert finding.severity == "warning"


def test_passes_that_are_cut_at_one_place(tmp_path):
    [finding] = tails(watched(tmp_path, loader(), [4, 4, 4]))
    assert finding.severity == "warning" and "first 4 batches of 6" in finding.summary


@pytest.mark.parametrize(
    ("settings", "passes", "name"), [({"shuffle": True}, [4, 4, 4], "train"), ({}, [4, 4], "val")]
)
def test_cuts_that_lose_nothing(tmp_path, settings, passes, name):
    assert not tails(watched(tmp_path, loader(**settings), passes, name=name))


def test_a_cut_of_the_audits_own_is_none_of_the_sources():
    assert not tails(audited(loader, steps_per_epoch=4))


def test_a_training_that_goes_on_where_it_was_cut(tmp_path):
    with ba.Audit(tmp_path) as audit:
        source = Floored(rounds=np.ceil)
        fit(keras, audit.wrap(source, name="train"), steps_per_epoch=4, shuffle=False)
    assert not tails(audit.report())


# -- ranks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told", "found"),
    [
        ({"drop_last": True, "shuffle": False}, False, True),
        ({"drop_last": True, "shuffle": True}, False, True),
        ({"drop_last": True, "shuffle": True}, True, False),
        ({"drop_last": False, "shuffle": False}, False, False),
    ],
)
def test_ranks(tmp_path, monkeypatch, settings, told, found):
    monkeypatch.setenv("WORLD_SIZE", "4")
    rows = TensorDataset(torch.arange(43.0))
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        sampler = DistributedSampler(rows, num_replicas=4, rank=rank, **settings)
        with ba.Audit(tmp_path) as audit:
            train = audit.wrap(DataLoader(rows, 5, sampler=sampler), name="train")
            for epoch in range(4):
                if told:
                    train.sampler.set_epoch(epoch)
                list(train)
    report = audit.report()
    here = [finding for finding in report.across if finding.cause == "tail-drop"]
    assert [finding.scope for finding in here] == ["rank"] * found
    if found:
        assert len(here[0].evidence["never_seen"]) == 3


def test_ranks_that_miss_more_than_ends_are_no_matter_of_this_rule():
    parts = {
        rank: evidence(
            [Batch(1, step, 0, samples=(step,), ids=(4 * step + rank,)) for step in range(5)],
            about={"items": 40, "shuffles": False},
            rank=rank,
        )
        for rank in range(2)
    }
    pooled = parts[0].tables
    assert tail_drop.judge_ranks(Ranks("s", "live", parts, pooled)).finding is None


class Drawn(Dataset):
    """Augments: only the ids tell its samples apart."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return torch.randn(3)


def test_augmentation_hides_nothing_of_a_loader_with_indices():
    report = audited(lambda: DataLoader(Drawn(), 8, drop_last=True, num_workers=2))
    assert verdict(report) == "found"


class EqualShares(IterableDataset):
    """As many rows for each worker, `N // workers`; what is left over, the last worker may take."""

    def __init__(self, rest):
        self.rest = rest

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        share = N // workers
        end = N if self.rest and worker == workers - 1 else (worker + 1) * share
        yield from ROWS[worker * share : end]


@pytest.mark.parametrize(("rest", "found"), [(False, ["warning"]), (True, [])])
def test_equal_shares_leave_over_what_does_not_divide(rest, found):
    report = audited(lambda: DataLoader(EqualShares(rest), batch_size=4, num_workers=4))
    assert [finding.severity for finding in tails(report)] == found
    if found:
        [finding] = tails(report)
        assert "2 samples" in finding.summary and "nobody's" in finding.summary
        assert (finding.evidence["samples_alone"], finding.evidence["samples_with_workers"]) == (46, 44)
