"""`resume-replay`: trainings that are stopped and started again, those that go on and those that start over."""

from __future__ import annotations

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.diagnosis import resume_replay
from tests.analysis.build import Batch, evidence

torch = pytest.importorskip("torch")
data = torch.utils.data

COUNT, SIZE = 64, 8
DIGEST = 1 << 40
AT_HEAD = "attempt 1 epoch 0 step 0 and attempt 0 epoch {} step {} delivered "


def order(epoch, seed=0):
    return np.random.default_rng([seed, epoch]).permutation(COUNT)


def straight(epoch):
    return np.arange(COUNT)


def start(epochs, size=SIZE, ids=True, content=lambda item: item, **known):
    """One start that is given these items, epoch by epoch."""
    made = []
    for number, items in enumerate(epochs):
        for at in range(0, len(items), size):
            its = tuple(int(item) for item in items[at : at + size])
            digests = tuple(content(item) + DIGEST for item in its)
            batch_s = hash(digests) % 2**60
            made.append(Batch(1, batch_s, number, samples=digests, ids=its if ids else ()))
    return evidence(made, workers_configured=0, **known)


def judged(*starts):
    return resume_replay.judge_attempts(starts)


def severity(*starts):
    finding = judged(*starts).finding
    return None if finding is None else finding.severity


# -- shuffled: an order of its own in each epoch -----------------------------------------------------------

KILLED = [order(0), order(1), order(2)[:40]]


def test_one_start_says_nothing():
    judgement = judged(start(KILLED))
    assert judgement.verdict == "not observable" and "same folder" in judgement.reason


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("before", [[order(0)[:40]], KILLED, [order(0), order(1)]])
def test_the_head_of_the_stream_again(before, ids):
    finding = judged(start(before, ids=ids), start([order(0), order(1)], ids=ids)).finding
    assert (finding.severity, finding.scope) == ("error", "attempt")
    assert finding.evidence["attempts"] == [0, 1]
    assert finding.evidence["replayed_items"] == min(len(before[0]), COUNT)
    assert finding.evidence["first_example"].startswith(AT_HEAD.format(0, 0))
    assert finding.evidence["compared_by"] == ("id" if ids else "equal content")
    assert finding.evidence["share_of_equal_content"] == 1.0


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("after", [[order(2)[40:], order(3)], [order(3)], [order(0, seed=1)]])
def test_going_on(after, ids):
    judgement = judged(start(KILLED, ids=ids), start(after, ids=ids))
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)


def test_an_epoch_that_was_over_comes_again():
    finding = judged(start(KILLED), start([order(1), order(2)])).finding
    assert finding.severity == "error"
    assert (finding.evidence["from_epoch"], finding.evidence["from_step"]) == (1, 0)


def test_the_epoch_in_which_it_stopped_begins_again():
    finding = judged(start(KILLED), start([order(2), order(3)])).finding
    assert finding.severity == "info" and finding.evidence["from_epoch"] == 2


def test_the_last_batches_come_again():
    finding = judged(start(KILLED), start([order(2)[16:], order(3)])).finding
    assert finding.severity == "info"
    assert "the last 24 samples before it stopped come again" in finding.summary


def test_going_on_in_the_order_of_epoch_0():
    finding = judged(start(KILLED), start([order(0)[32:], order(1)])).finding
    assert finding.severity == "error" and finding.evidence["from_step"] == 4


def test_other_batch_sizes_hide_nothing():
    assert severity(start(KILLED, size=8), start([order(0)], size=16)) == "error"


def test_draws_that_are_new_and_draws_that_come_again():
    again = judged(start(KILLED), start([order(0)], content=lambda item: item + 500)).finding
    assert again.evidence["share_of_equal_content"] == 0.0
    unknown = judged(start(KILLED, ids=False), start([order(0)], ids=False, content=lambda item: item + 500))
    assert unknown.verdict == "ruled out"  # the contents of attempt 0 do not change with the epoch
    drawn = start([range(64), range(64, 128)], ids=False), start([range(128, 192)], ids=False)
    judgement = judged(*drawn)
    assert judgement.verdict == "not observable" and "key=" in judgement.reason


# -- several starts ---------------------------------------------------------------------------------------


def test_the_third_start_replays_the_first():
    starts = start(KILLED), start([order(2)[40:], order(3)]), start([order(0)])
    assert judged(*starts).finding.evidence["attempts"] == [0, 2]


def test_two_starts_from_one_checkpoint():
    finding = judged(start(KILLED), start([order(3), order(4)[:24]]), start([order(3)])).finding
    assert finding.severity == "info" and finding.evidence["attempts"] == [1, 2]
    # But not where the second has started over itself.
    assert severity(start(KILLED), start([order(0), order(1)]), start([order(0)])) == "error"


def test_a_start_that_fails_at_once_proves_nothing():
    judgement = judged(start([order(0)[:16]]), start([order(0)]))
    assert judgement.verdict == "not observable" and "attempt 0" in judgement.reason
    assert severity(start(KILLED), start([order(0)[:16]]), start([order(0)])) == "error"


def test_a_start_without_a_batch():
    unused = evidence([Batch(1, 1, epoch=None, flags=1)], workers_configured=0)
    assert judged(unused, start(KILLED)).verdict == "not observable"


# -- one order in every epoch ---------------------------------------------------------------------------

EVERY = [straight(epoch) for epoch in range(3)]


def test_an_unshuffled_source_that_goes_on_with_the_next_epoch():
    judgement = judged(start(EVERY), start(EVERY))
    assert (judgement.verdict, judgement.finding) == ("ruled out", None)


def test_an_unshuffled_source_that_goes_on_within_the_epoch():
    assert judged(start([*EVERY, straight(3)[:24]]), start([straight(3)[24:]])).verdict == "ruled out"


def test_an_unshuffled_source_that_begins_its_epoch_again():
    assert severity(start([*EVERY, straight(3)[:24]]), start(EVERY)) == "info"
    assert severity(start([straight(0)[:24]]), start(EVERY)) == "error"  # nothing was ever over


def test_one_epoch_each_of_an_order_that_is_not_known():
    one = [order(0)]
    judgement = judged(start(one, about={"items": COUNT}), start(one, about={"items": COUNT}))
    assert judgement.verdict == "not observable" and "2 epochs" in judgement.reason
    assert severity(*[start(one, about={"items": COUNT, "shuffles": True})] * 2) == "error"
    assert severity(*[start([straight(0)], about={"items": COUNT})] * 2) is None


def test_validation_begins_anew_each_time():
    about = {"split": "validation"}
    assert judged(start([order(0)[:40]], about=about), start([order(0)], about=about)).verdict == "ruled out"


@pytest.mark.parametrize("items", [[7] * COUNT, [0, 1, 2, 3] * 16])
def test_batches_that_repeat_within_an_epoch_say_nothing(items):
    judgement = judged(start([items[:40]]), start([items]))
    assert (judgement.verdict, judgement.finding) == ("not observable", None)


# -- real trainings ---------------------------------------------------------------------------------------


class Rows(data.Dataset):
    def __init__(self):
        self.rows = np.random.default_rng(0).normal(size=(COUNT, 16))

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return self.rows[index]


def shuffled(seed):
    generator = torch.Generator().manual_seed(seed)
    return data.DataLoader(Rows(), SIZE, shuffle=True, generator=generator, num_workers=1)


def train(folder, source, stop=(1, 4)):
    """Trains for two epochs, or is stopped before that."""
    with ba.Audit(folder) as audit:
        watched = audit.wrap(source, name="train")
        for epoch in range(2):
            for step, _ in enumerate(watched):
                if (epoch, step) == stop:
                    return audit.report()
        return audit.report()


def said(report):
    (verdict,) = [it for it in report.across_verdicts if it.cause == "resume-replay"]
    return verdict.verdict, [finding for finding in report.across if finding.cause == "resume-replay"]


def test_a_seed_that_each_start_sets_again(tmp_path):
    assert said(train(tmp_path, shuffled(1337)))[0] == "not observable"
    verdict, (finding,) = said(train(tmp_path, shuffled(1337)))
    assert (verdict, finding.severity) == ("found", "error")
    assert finding.evidence["stopped_in_epoch"] == 1 and finding.evidence["stopped_at_step"] == 4
    assert "checkpoint" in finding.fix


def test_a_seed_that_follows_the_place_in_the_training(tmp_path):
    train(tmp_path, shuffled(1337))
    assert said(train(tmp_path, shuffled(1338))) == ("ruled out", [])


def test_a_loader_that_does_not_shuffle(tmp_path):
    train(tmp_path, data.DataLoader(Rows(), SIZE), stop=None)
    assert said(train(tmp_path, data.DataLoader(Rows(), SIZE))) == ("ruled out", [])


def windows(seed):
    """As nanoGPT draws its batches: windows of a long text, for ever."""
    rng, text = np.random.default_rng(seed), np.random.default_rng(9).integers(0, 50, 10_000)
    while True:
        yield np.stack([text[at : at + 32] for at in rng.integers(0, 9_900, SIZE)])


@pytest.mark.parametrize("seeds", [(1337, 1337), (1337, 1338)])
def test_an_endless_stream_without_ids(tmp_path, seeds):
    for seed in seeds:
        report = train(tmp_path, windows(seed), stop=(0, 20))
    assert said(report)[0] == ("found" if seeds == (1337, 1337) else "not observable")


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_fit_of_keras(tmp_path, goes_on):
    keras = pytest.importorskip("keras")

    class Batches(keras.utils.PyDataset):
        def __init__(self, epoch):
            super().__init__()
            self.rows, self.epoch = Rows().rows, epoch - 1
            self.on_epoch_end()

        def on_epoch_end(self):
            self.epoch += 1
            self.order = order(self.epoch)

        def __len__(self):
            return COUNT // SIZE

        def __getitem__(self, index):
            its = self.order[SIZE * index : SIZE * index + SIZE]
            return self.rows[its], np.zeros(len(its))

    for begin in (0, 2):
        with ba.Audit(tmp_path) as audit:
            model = keras.Sequential([keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            source = audit.wrap(Batches(begin if goes_on else 0), name="train")
            model.fit(source, initial_epoch=begin, epochs=begin + 2, shuffle=False, verbose=0)
            report = audit.report()
    verdict, findings = said(report)
    assert [finding.severity for finding in findings] == ([] if goes_on else ["error"])
    assert verdict == ("ruled out" if goes_on else "found")
