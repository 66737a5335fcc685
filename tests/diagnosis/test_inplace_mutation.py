"""Stored data that drifts, under strategies that show it and under those that hide it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import batchaudit as ba
from batchaudit.analysis.baseline import Baseline
from batchaudit.diagnosis import inplace_mutation
from tests.analysis.build import Batch, evidence, table

ROWS = np.random.default_rng(0).random((32, 8))


class Images(Dataset):
    """Adds 10 to an image, in place or to a copy."""

    def __init__(self, copy: bool, noise: bool = False):
        self.images = np.random.default_rng(0).random((32, 4, 4))
        self.copy, self.noise = copy, noise

    def __len__(self):
        return 32

    def __getitem__(self, i):
        image = self.images[i].copy() if self.copy else self.images[i]
        image += torch.rand(4, 4).numpy() if self.noise else 10
        return image.copy()


class Batches:
    """The same, of batches."""

    def __init__(self, copy: bool):
        self.images, self.copy = np.random.default_rng(0).random((32, 4)), copy

    def __len__(self):
        return 8

    def __getitem__(self, i):
        rows = self.images[4 * i : 4 * i + 4]
        rows = rows.copy() if self.copy else rows
        rows /= 2
        return rows.copy()


class ByEpoch(Batches):
    """Every epoch's content is another, and no access changes it."""

    def __init__(self, copy: bool = True):
        super().__init__(copy)
        self.epoch = 0

    def __getitem__(self, i):
        return self.images[4 * i : 4 * i + 4] * (1 + self.epoch)

    def on_epoch_end(self):
        self.epoch += 1


def loader(copy: bool, **options):
    noise = options.pop("noise", False)
    return lambda: DataLoader(Images(copy, noise), 8, shuffle=True, **options)


def judged(make, strategy: str, **options):
    run = ba.audit(make, [strategy], epochs=3, probes=["stored"], **options).runs[-1]
    verdict = next(it for it in run.verdicts if it.cause == inplace_mutation.CAUSE)
    return verdict, next((it for it in run.findings if it.cause == inplace_mutation.CAUSE), None)


@pytest.mark.parametrize(
    ("strategy", "severity"),
    [("serial", "error"), ("torch:2,persistent", "error"), ("torch:2", "warning")],
)
@pytest.mark.parametrize("noise", [False, True])
def test_images_that_are_changed_where_they_are_stored(strategy, severity, noise):
    _, finding = judged(loader(False, noise=noise), strategy)
    assert finding is not None
    assert finding.severity == severity
    assert finding.evidence["written"] == "images"
    assert finding.evidence["hidden_by_workers_that_end"] == (severity == "warning")
    assert "as it had left it" in finding.evidence["first_example"]
    verdict, none = judged(loader(True, noise=noise), strategy)
    assert verdict.verdict == "ruled out"
    assert none is None


def test_without_noise_the_example_names_an_image():
    _, finding = judged(loader(False), "serial")
    assert finding.evidence["items_that_changed"] == finding.evidence["items_seen_again"] == 32
    assert "in epoch 0 and" in finding.evidence["first_example"]


@pytest.mark.parametrize(
    ("strategy", "severity"), [("serial", "error"), ("threads:2", "error"), ("fork:2", "warning")]
)
def test_batches_of_a_sequence(strategy, severity):
    _, finding = judged(lambda: Batches(False), strategy)
    assert finding is not None
    assert finding.severity == severity
    verdict, _ = judged(lambda: Batches(True), strategy)
    assert verdict.verdict == "ruled out"


def test_a_generator_over_what_all_sources_share():
    def make(copy=False):
        for i in range(0, 32, 8):
            rows = ROWS[i : i + 8].copy() if copy else ROWS[i : i + 8]
            rows *= 1.01
            yield rows

    _, finding = judged(make, "serial")
    assert finding is not None
    assert finding.evidence["fresh_sources_agree"] is False
    verdict, _ = judged(lambda: make(copy=True), "serial")
    assert verdict.verdict == "ruled out"


def test_an_epoch_s_number_is_no_drift():
    verdict, _ = judged(ByEpoch, "serial")
    assert verdict.verdict == "ruled out"


def test_a_training_shows_no_cause(tmp_path):
    with ba.Audit(tmp_path) as audit:
        watched = audit.wrap(loader(False)())
        for _ in range(3):
            for _ in watched:
                pass
    verdict = next(it for it in audit.report().runs[0].verdicts if it.cause == inplace_mutation.CAUSE)
    assert verdict.verdict == "not observable"
    assert "ba.audit" in verdict.reason


def test_without_probes_what_never_changes_is_ruled_out():
    def verdict_of(make):
        run = ba.audit(make, ["serial"], epochs=2, probes=False).runs[0]
        return next(it for it in run.verdicts if it.cause == inplace_mutation.CAUSE)

    assert verdict_of(lambda: Batches(True)).verdict == "ruled out"
    drifting = verdict_of(lambda: Batches(False))
    assert drifting.verdict == "not observable"
    assert "probes" in drifting.reason


def accesses(*contents: int):
    """Item 1 alone; then item 0 three times and item 1."""
    items = [(1, 0), (0, 1), (0, 1), (0, 1), (1, 1)]
    rows = zip(items, contents, strict=True)
    return table([Batch(2 + epoch, content, epoch, index=item) for (item, epoch), content in rows])


DRAWN = Baseline(*(table([Batch(1, 10 * n + m, index=m) for m in range(3)]) for n in range(3)))


@pytest.mark.parametrize(
    ("contents", "verdict"),
    [
        ((5, 6, 6, 6, 5), "ruled out"),
        ((5, 6, 7, 8, 5), "not observable"),
        ((5, 6, 7, 8, 9), "not observable"),
    ],
)
def test_accesses_alone_find_nothing(contents, verdict):
    run = evidence([Batch(1, 0)], DRAWN, probes={"accesses": accesses(*contents)})
    assert inplace_mutation.judge(run).verdict == verdict
