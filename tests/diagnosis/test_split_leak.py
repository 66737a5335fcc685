"""`split-leak` on runs that were really recorded: leaking splits, their repaired twins, and what hides a leak."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

import batchaudit as ba
from batchaudit.analysis.splits import Part
from batchaudit.analysis.tables import tables
from batchaudit.diagnosis import split_leak
from tests.analysis.build import Batch, frames

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES, LABELS = IMAGES[:200].astype(np.float32), LABELS[:200]


def batches(rows, size=16, noise=None):
    """Batches of these digits, as a generator; with `noise`, augmented anew at each access."""
    for at in range(0, len(rows), size):
        its = rows[at : at + size]
        images = IMAGES[its]
        yield images if noise is None else images + noise.normal(size=images.shape), LABELS[its], its


def recorded(folder, epochs, splits, key=None, passes=None):
    """Trains and validates in a loop; `splits(epoch)` gives the training and the validation batches."""
    with ba.Audit(folder) as audit:
        watched = {
            split: audit.wrap(_Source(splits, number), name=split, split=split, key=key)
            for number, split in enumerate(("training", "validation"))
        }
        for epoch in range(epochs):
            assert sum(1 for _ in watched["training"])
            if passes is None or epoch < passes:
                assert sum(1 for _ in watched["validation"])
    log = ba.load(folder)
    about = {writer["source"]: writer["about"] for writer in log.writers}
    parts = []
    for name, events in log.events.groupby("source", observed=True):
        samples = log.samples[log.samples["event"].isin(events.index)]
        its = about[name]
        parts.append(Part(str(name), its["split"], its["ids"], tables(events, samples), its["kind"]))
    return parts


class _Source:
    """One side of the splits: a new generator for each epoch."""

    def __init__(self, splits, side):
        self.splits, self.side, self.epoch = splits, side, 0

    def __iter__(self):
        self.epoch += 1
        return self.splits(self.epoch - 1)[self.side]


def judged(parts):
    ((finding, verdict),) = split_leak.between(parts)
    assert verdict.cause == "split-leak"
    assert verdict.reason.startswith("training and validation: ")
    return finding, verdict


def numbers(batch):
    return batch[2]


def shuffled(seed, rows):
    return np.random.default_rng(seed).permutation(rows)


def overlapping(epoch):
    return batches(shuffled(epoch, 160)), batches(np.arange(140, 200))


def apart(epoch):
    return batches(shuffled(epoch, 140)), batches(np.arange(140, 200))


def test_an_overlap(tmp_path):
    finding, verdict = judged(recorded(tmp_path, 3, overlapping))
    assert verdict.verdict == "found"
    assert (finding.severity, finding.scope) == ("error", "split")
    assert finding.summary == (
        "20 of the 60 samples of validation (33.3%) are trained on by training, by equal content."
    )
    assert finding.evidence["shared_by_epoch"] == [20, 20, 20]
    assert finding.evidence["trained_on_up_to_epoch"] == [20, 20, 20]
    assert finding.evidence["growth"] == "constant"
    assert "order[:k]" in finding.fix


def test_splits_that_are_apart(tmp_path):
    finding, verdict = judged(recorded(tmp_path, 3, apart))
    assert (finding, verdict.verdict) == (None, "ruled out")


@pytest.mark.parametrize(("splits", "expected"), [(overlapping, "found"), (apart, "ruled out")])
def test_with_ids_augmentation_hides_nothing(tmp_path, splits, expected):
    noise = np.random.default_rng(0)

    def augmented(epoch):
        seed_rows = shuffled(epoch, 160 if splits is overlapping else 140)
        return batches(seed_rows, noise=noise), batches(np.arange(140, 200))

    finding, verdict = judged(recorded(tmp_path, 2, augmented, key=numbers))
    assert verdict.verdict == expected
    if finding is not None:
        assert finding.evidence["compared_by"] == "id"
        assert finding.evidence["shared_samples"] == 20
        assert "id 1" in finding.evidence["first_example"]


def test_without_ids_augmentation_is_said_to_hide_a_leak(tmp_path):
    noise = np.random.default_rng(0)

    def augmented(epoch):
        # Of one size in bytes, so that only their content tells them apart.
        still = np.random.default_rng(1)
        return batches(shuffled(epoch, 160), noise=noise), batches(np.arange(140, 200), noise=still)

    finding, verdict = judged(recorded(tmp_path, 2, augmented))
    assert (finding, verdict.verdict) == (None, "not observable")
    assert "new in every epoch" in verdict.reason and "key=" in verdict.reason


def test_one_epoch_does_not_rule_out_augmentation(tmp_path):
    _, verdict = judged(recorded(tmp_path, 1, apart))
    assert verdict.verdict == "not observable"
    assert "2 epochs" in verdict.reason


def take_and_skip(data, epoch, anew):
    """What `data.shuffle(n).take(50)` and `.skip(50)` give: each iteration shuffles by itself, or once for all."""
    seeds = ((epoch, 0), (epoch, 1)) if anew else ((0, 0), (0, 0))
    validation, training = shuffled(seeds[0], data)[:50], shuffled(seeds[1], data)[50:]
    return batches(training), batches(validation)


def test_a_shuffle_before_take_and_skip_leaks_more_with_each_epoch(tmp_path):
    parts = recorded(tmp_path, 4, lambda epoch: take_and_skip(200, epoch, anew=True))
    finding, _ = judged(parts)
    grown = finding.evidence["trained_on_up_to_epoch"]
    assert finding.evidence["growth"] == "growing"
    assert grown == sorted(grown) and grown[-1] > grown[0] > 0
    assert finding.evidence["trained_on_of_the_epochs_own_pass"][-1] > 40
    assert finding.summary.endswith("what is validated on changes from pass to pass.")


def test_a_shuffle_once_for_all_does_not(tmp_path):
    finding, verdict = judged(recorded(tmp_path, 4, lambda epoch: take_and_skip(200, epoch, anew=False)))
    assert (finding, verdict.verdict) == (None, "ruled out")


def test_a_fixed_validation_of_which_more_and_more_is_reached(tmp_path):
    def windows(epoch):
        return batches(np.arange(50 * epoch, 50 * epoch + 100)), batches(np.arange(140, 200))

    finding, _ = judged(recorded(tmp_path, 3, windows))
    assert finding.evidence["trained_on_up_to_epoch"] == [0, 10, 60]
    assert "from pass to pass" not in finding.summary


def test_a_few_equal_contents_may_be_the_data_s_own(tmp_path):
    rows = np.arange(100, 200)
    finding, _ = judged(recorded(tmp_path, 2, lambda epoch: (batches(np.arange(101)), batches(rows))))
    assert finding.severity == "warning"
    assert "may be items that the data holds twice" in finding.summary
    by_id, _ = judged(
        recorded(tmp_path / "ids", 2, lambda epoch: (batches(np.arange(101)), batches(rows)), key=numbers)
    )
    assert by_id.severity == "error"


def test_a_validation_that_is_read_less_often(tmp_path):
    finding, _ = judged(recorded(tmp_path, 3, overlapping, passes=1))
    assert finding.evidence["shared_with_the_epochs_own_pass"] is None
    assert finding.evidence["shared_samples"] == 20


def test_samples_of_other_types_cannot_be_compared_by_content(tmp_path):
    def converted(epoch):
        training, validation = overlapping(epoch)
        return training, ((images.astype(np.float64), labels, its) for images, labels, its in validation)

    _, verdict = judged(recorded(tmp_path, 2, converted))
    assert verdict.verdict == "not observable"
    assert "bytes" in verdict.reason


def test_nothing_to_compare():
    assert split_leak.between([]) == []


# -- ranks --------------------------------------------------------------------------------------------------


def of_ranks(splits_of_ranks, batch=8):
    """The parts of a training in which each rank has these training and validation rows, in two epochs."""
    parts = []
    for side, split in enumerate(("training", "validation")):
        events, samples, begin = [], [], 0
        for rank, splits in enumerate(splits_of_ranks):
            made = [
                Batch(1, at, epoch, samples=tuple(map(int, splits[side][at : at + batch])))
                for epoch in range(2)
                for at in range(0, len(splits[side]), batch)
            ]
            its, theirs = frames(made)
            its["rank"] = rank
            its.index += begin
            theirs["event"] += begin
            begin += len(its)
            events.append(its)
            samples.append(theirs)
        parts.append(Part(split, split, "", tables(pd.concat(events), pd.concat(samples))))
    return parts


def split(seed):
    order = np.random.default_rng(seed).permutation(60)
    return order[:48], order[48:]


def test_a_split_of_its_own_in_each_rank():
    finding, _ = judged(of_ranks([split(0), split(1)]))
    assert (finding.severity, finding.scope) == ("error", "rank")
    assert "only across ranks: ranks 0, 1 train on what others validate on" in finding.summary
    met = [len(set(split(rank)[0]) & set(split(1 - rank)[1])) for rank in range(2)]
    assert finding.evidence["shared_by_ranks"] == [[0, 1, met[0]], [1, 0, met[1]]]
    assert "by rank" in finding.evidence["first_example"]


def test_one_split_for_all_ranks():
    finding, verdict = judged(of_ranks([split(0), split(0)]))
    assert (finding, verdict.verdict) == (None, "ruled out")
    training, validation = split(0)
    shards = [(training[rank::2], validation[rank::2]) for rank in range(2)]
    finding, verdict = judged(of_ranks(shards))
    assert (finding, verdict.verdict) == (None, "ruled out")


def test_an_overlap_within_each_rank_is_no_matter_of_ranks():
    training, validation = split(0)
    finding, _ = judged(of_ranks([(np.append(training, validation[:3]), validation)] * 2))
    assert finding.scope == "split" and "across ranks" not in finding.summary
    assert finding.evidence["shared_by_ranks"] == [[0, 0, 3], [0, 1, 3], [1, 0, 3], [1, 1, 3]]


@pytest.mark.parametrize("seeded", [False, True])
def test_random_split_of_torch_in_each_rank(tmp_path, monkeypatch, seeded):
    torch = pytest.importorskip("torch")
    data = torch.utils.data
    stored = data.TensorDataset(torch.from_numpy(IMAGES))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        torch.manual_seed(rank)  # what ranks that nobody seeds alike have
        generator = torch.Generator().manual_seed(0) if seeded else None
        train, val = data.random_split(stored, [160, 40], generator=generator)
        with ba.Audit(tmp_path) as audit:
            sampler = data.DistributedSampler(train, 2, rank)
            loaders = (
                audit.wrap(data.DataLoader(train, 16, sampler=sampler), name="train"),
                audit.wrap(data.DataLoader(val, 16), name="val"),
            )
            for epoch in range(2):
                sampler.set_epoch(epoch)
                assert [sum(1 for _ in loader) for loader in loaders] == [5, 3]
            report = audit.report()
    findings = [finding for finding in report.across if finding.cause == "split-leak"]
    assert [(it.severity, it.scope) for it in findings] == ([] if seeded else [("error", "rank")])
    assert all(finding.evidence["compared_by"] == "id" for finding in findings)
    (verdict,) = {it.verdict for it in report.across_verdicts if it.cause == "split-leak"}
    assert verdict == ("ruled out" if seeded else "found")


def test_sources_of_one_split_say_what_is_missing(tmp_path):
    for folder in ("one", "two"):
        with ba.Audit(tmp_path / folder) as audit:
            for name in ("train", "more")[: 1 if folder == "one" else 2]:
                assert sum(1 for _ in audit.wrap(_Source(apart, 0), name=name))
        verdicts = [it for it in audit.report().across_verdicts if it.cause == "split-leak"]
        assert [it.verdict for it in verdicts] == ["not observable"]
        assert "wrap both" in verdicts[0].reason
