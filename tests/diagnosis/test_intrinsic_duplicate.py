"""`intrinsic-duplicate`: copies that the data or its sampling holds, told from those that something makes; always info."""

from __future__ import annotations

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import intrinsic_duplicate
from tests.analysis.build import Batch, evidence, table

torch = pytest.importorskip("torch")
data = torch.utils.data

DIGEST = 1 << 40


def batches(epochs, size=8, contents=None, pid=1):
    """Batches of these ids, epoch by epoch; an item's content is its own, or what `contents` says."""
    made = []
    for number, items in enumerate(epochs):
        for at in range(0, len(items), size):
            its = tuple(int(item) for item in items[at : at + size])
            what = tuple((contents(item, number) if contents else item) + DIGEST for item in its)
            made.append(Batch(pid, len(made), number, samples=what, ids=its))
    return made


def serially(epochs, contents=None, earlier=()):
    """What is said of a run of which a serial pass gave this."""
    serial = table(batches(epochs, contents=contents))
    run = evidence(batches(epochs, contents=contents), Baseline(serial, serial, serial))
    return intrinsic_duplicate.judge(run, earlier)


def lively(epochs, contents=None, earlier=(), workers=0, **about):
    run = evidence(batches(epochs, contents=contents), workers_configured=workers, about=about)
    return intrinsic_duplicate.judge(run, earlier)


RNG = np.random.default_rng(0)
SHUFFLED = [RNG.permutation(64) for _ in range(3)]
REPLACED = list(RNG.integers(0, 64, (3, 64)))
THRICE = [np.repeat(RNG.permutation(24), 3) for _ in range(2)]
STREAM = list(np.concatenate([RNG.permutation(61) for _ in range(4)])[:192].reshape(3, 64))


def held_twice(item, epoch):
    """Items 60 to 63 have the content of items 0 to 3."""
    return item % 60


@pytest.mark.parametrize("judge", [serially, lively])
def test_an_item_that_is_sampled_with_replacement(judge):
    finding = judge(REPLACED).finding
    assert (finding.severity, finding.scope) == ("info", "pipeline")
    assert "sampled with replacement" in finding.summary
    most = max(REPLACED, key=lambda epoch: 64 - len(set(epoch)))
    assert finding.evidence["different"] == len(set(most))
    assert sum(often * count for often, count in finding.evidence["copies"].items()) == 64
    assert finding.evidence["first_example"].startswith("id ")


@pytest.mark.parametrize("judge", [serially, lively])
def test_a_content_that_several_items_have(judge):
    finding = judge(SHUFFLED, held_twice).finding
    assert finding.severity == "info"
    assert "4 of the 64 samples" in finding.summary and "holds it twice" in finding.summary
    assert finding.evidence["copies"] == {1: 56, 2: 4}
    assert finding.evidence["first_example"].startswith("ids ")


def test_a_uniform_spike_is_repetition_by_design():
    finding = serially(THRICE).finding
    assert finding.evidence["repeats_by_design"] == 3
    assert "each of the 24 different samples" in finding.summary


@pytest.mark.parametrize("judge", [serially, lively])
@pytest.mark.parametrize("epochs", [SHUFFLED, [np.arange(64)] * 3, STREAM, [np.arange(61)] * 2])
def test_what_holds_no_copies(judge, epochs):
    judgement = judge(epochs)
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)


def test_copies_that_were_explained_before():
    assert serially([[*range(61), 0, 1, 2]] * 2, earlier=("padding-duplicate",)).verdict == "ruled out"
    assert serially(THRICE, earlier=("unsharded-replica",)).verdict == "ruled out"
    # A replica of workers does not explain what the serial pass holds.
    assert serially(REPLACED, earlier=("unsharded-replica",)).verdict == "found"
    assert lively(THRICE, earlier=("unsharded-replica",)).finding is None
    assert lively(SHUFFLED, held_twice, earlier=("rng-clone",)).finding is None


def test_few_equal_items_in_much_data_are_not_worth_a_word():
    many = [np.arange(4000)]
    judgement = serially(many, lambda item, epoch: item if item != 7 else 8)
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)
    assert "only 1 of 4,000" in judgement.reason


def test_draws_that_are_equal_are_not_the_data_s():
    def drawn(item, epoch):
        return int(np.random.default_rng([item, epoch]).integers(0, 16))

    judgement = lively(SHUFFLED, drawn)
    assert judgement.finding is None


def test_workers_may_have_made_the_copies_of_a_live_run():
    assert lively(REPLACED, workers=2, ids="key").verdict == "not observable"
    assert lively(REPLACED, workers=2, ids="dataset-1").verdict == "found"  # one sampler chose them


def test_contents_alone_say_nothing_in_a_live_run():
    contents = [Batch(1, 0, 0, samples=(1, 1, 2)), Batch(1, 1, 0, samples=(3, 4, 5))]
    judgement = intrinsic_duplicate.judge(evidence(contents))
    assert judgement.verdict == "not observable" and "ba.audit" in judgement.reason


def test_contents_of_a_serial_pass():
    def of(rows):
        made = [Batch(1, at, 0, samples=tuple(rows[at : at + 8])) for at in range(0, len(rows), 8)]
        serial = table(made)
        return intrinsic_duplicate.judge(evidence(made, Baseline(serial, serial, serial)))

    finding = of([*range(60), 0, 1, 2, 3]).finding
    assert finding.evidence["compared_by"] == "equal content"
    assert of(list(range(64))).verdict == "ruled out"
    constant = of([5] * 64).finding
    assert constant.evidence["repeats_by_design"] == 0 and "63 of the 64" in constant.summary


# -- real loaders -------------------------------------------------------------------------------------


class Rows(data.Dataset):
    def __init__(self, copies=0, noise=False):
        self.rows = np.random.default_rng(0).normal(size=(128, 16))
        self.rows = np.concatenate([self.rows, self.rows[:copies]])
        self.noise = noise

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index] + (np.random.normal(size=16) if self.noise else 0), 0


def sampled(rows):
    return data.DataLoader(rows, 16, sampler=data.RandomSampler(rows, replacement=True), num_workers=2)


def shuffled(rows):
    return data.DataLoader(rows, 16, shuffle=True, num_workers=2)


def weighted(rows):
    sampler = data.WeightedRandomSampler(np.linspace(1, 9, len(rows)), len(rows))
    return data.DataLoader(rows, 16, sampler=sampler)


def said(make, **kwargs):
    report = ba.audit(make, epochs=2, **kwargs)
    for run in report.runs:
        assert not [finding for finding in run.findings if finding.severity != "info"]
    ((run),) = report.runs
    verdict = next(it.verdict for it in run.verdicts if it.cause == "intrinsic-duplicate")
    return verdict, [finding for finding in run.findings if finding.cause == "intrinsic-duplicate"]


def test_a_dataset_with_copies():
    verdict, (finding,) = said(lambda: shuffled(Rows(13)))
    assert verdict == "found" and "13 of the 141 samples" in finding.summary
    assert said(lambda: shuffled(Rows())) == ("ruled out", [])


@pytest.mark.parametrize("make", [sampled, weighted])
@pytest.mark.parametrize("noise", [False, True])
def test_a_sampler_that_replaces(make, noise):
    verdict, (finding,) = said(lambda: make(Rows(noise=noise)))
    assert verdict == "found" and finding.evidence["compared_by"] == "id"


def test_a_generator_without_ids():
    def rows(copies):
        held = Rows(copies).rows
        order = np.random.default_rng(1).permutation(len(held))
        return lambda: (held[order[at : at + 16]] for at in range(0, len(held), 16))

    verdict, (finding,) = said(rows(16), strategies=["serial"])
    assert verdict == "found" and "16 of the 144 samples" in finding.summary
    assert said(rows(0), strategies=["serial"]) == ("ruled out", [])


def test_an_endless_shuffled_pipeline_that_runs_through_its_epochs():
    tf = pytest.importorskip("tensorflow")
    rows = Rows().rows[:61]

    def pipeline():
        return tf.data.Dataset.from_tensor_slices(rows).shuffle(61).repeat().batch(8)

    assert said(pipeline, strategies=["serial"], steps_per_epoch=8) == ("ruled out", [])


def test_a_live_training(tmp_path):
    def report(folder, make):
        with ba.Audit(folder) as audit:
            watched = audit.wrap(make(Rows(noise=True)), name="train")
            for _ in range(2):
                assert sum(1 for _ in watched) == 8
            return audit.report()

    assert [it.cause for it in report(tmp_path / "sampled", sampled).findings] == ["intrinsic-duplicate"]
    assert report(tmp_path / "shuffled", shuffled).findings == ()
