"""`Audit` around loops of the user's own: what is made there is consumed there."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.errors import BatchauditWarning
from batchaudit.journal.layout import Flag

N = 6


def numbers(n=N, rows=4):
    for i in range(n):
        yield np.full((rows, 2), i)


class Shuffled:
    """Each pass has an order of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        for i in self.rng.permutation(N):
            yield np.full((4, 2), i)


class Rows:
    def __len__(self):
        return N

    def __getitem__(self, index):
        if index >= N:
            raise IndexError(index)
        return np.full((4, 2), index)


def delivered(report, source=None):
    epochs = report.epochs
    return (
        epochs[epochs["source"] == source]["delivered"].tolist() if source else epochs["delivered"].tolist()
    )


@pytest.fixture
def audit(tmp_path):
    with ba.Audit(tmp_path / "run") as audit:
        yield audit


def test_a_loop_over_a_generator_is_one_epoch(audit):
    seen = [batch[0, 0] for batch in audit.wrap(numbers())]
    report = audit.report()
    assert seen == list(range(N))
    assert delivered(report) == [N]
    assert report.epochs["unique"].tolist() == [N]
    assert not report.findings and not report.notes


def test_one_record_says_that_a_batch_was_made_and_consumed(audit, tmp_path):
    list(audit.wrap(numbers()))
    events = ba.load(tmp_path / "run").events
    made = events[events["stage"] == "produced"]
    assert (made["flags"] & int(Flag.CONSUMED)).astype(bool).all()
    assert made["step"].tolist() == list(range(N)) and not (events["stage"] == "delivered").any()


def test_each_pass_over_an_iterable_is_an_epoch(audit):
    train = audit.wrap(Shuffled(), name="train")
    for _ in range(3):
        list(train)
    report = audit.report()
    assert delivered(report) == [N] * 3
    assert report.epochs["new_unique"].tolist() == [N, 0, 0]


def test_an_endless_source_is_cut_by_the_steps_that_are_given(audit):
    def endless():
        while True:
            yield from numbers()

    batches = audit.wrap(endless(), steps_per_epoch=4)
    for _ in range(10):
        next(batches)
    assert delivered(audit.report()) == [4, 4, 2]


def test_one_look_before_the_training_is_a_probe(audit):
    train = audit.wrap(Shuffled())
    next(iter(train))
    for _ in range(2):
        list(train)
    epochs = audit.report().epochs
    assert epochs["epoch"].tolist() == [0, 1]
    assert epochs["delivered"].tolist() == [N, N]


def test_passes_that_all_stop_at_their_start_are_what_was_consumed(audit):
    train = audit.wrap(Shuffled())
    for _ in range(5):
        next(iter(train))
    assert delivered(audit.report()) == [1] * 5


def test_a_short_source_that_is_walked_to_its_end_is_no_look(audit):
    class Short:
        def __iter__(self):
            return numbers(2)

    train = audit.wrap(Short())
    list(train)
    for _ in range(2):
        list(train)
    assert delivered(audit.report()) == [2, 2, 2]


def test_two_passes_at_once_are_two_epochs(audit):
    class Fixed:
        def __iter__(self):
            return numbers()

    train = audit.wrap(Fixed())
    assert all((a == b).all() for a, b in zip(train, train, strict=True))
    report = audit.report()
    assert delivered(report) == [N, N]
    assert report.epochs["unique"].tolist() == [N, N]


@pytest.mark.parametrize("order", [range(N), [3, 1, 5, 0, 2, 4]])
def test_an_indexed_source_begins_anew_when_an_index_comes_again(audit, order):
    train = audit.wrap(Rows())
    for _ in range(3):
        for index in order:
            train[index]
    assert delivered(audit.report()) == [N] * 3


def test_validation_is_a_source_of_its_own(audit):
    train, val = audit.wrap(Shuffled(), name="train"), audit.wrap(Rows(), name="val")
    for _ in range(2):
        list(train)
        list(val)
    report = audit.report()
    assert delivered(report, "train") == delivered(report, "val") == [N, N]


def test_wrapping_twice_gives_the_same_and_one_record_a_batch(audit, tmp_path):
    source = Shuffled()
    train = audit.wrap(source)
    assert audit.wrap(train) is train and audit.wrap(source) is train
    generator = numbers()
    watched = audit.wrap(generator, name="g")
    assert audit.wrap(generator) is watched and audit.wrap(watched) is watched
    list(train), list(watched)
    events = ba.load(tmp_path / "run").events
    assert (events["stage"] == "produced").sum() == 2 * N


def test_sources_of_one_type_get_names_of_their_own(audit):
    for source in (audit.wrap(Rows()), audit.wrap(Rows())):
        [source[i] for i in range(N)]
    assert sorted(run.source for run in audit.report().runs) == ["Rows", "Rows #2"]


def test_a_name_that_is_taken_is_refused(audit):
    audit.wrap(Rows(), name="train")
    with pytest.raises(ba.UsageError, match="named 'train' is being watched already"):
        audit.wrap(Shuffled(), name="train")


@pytest.mark.parametrize("thing", [3, "text", None, {"a": 1}, object()])
def test_what_is_no_source_is_refused_with_a_list_of_what_is(audit, thing):
    with pytest.raises(ba.UsageError, match=r"not a source of batches.*generator.*PyDataset.*DataLoader"):
        audit.wrap(thing)


def test_bad_settings_are_refused(audit):
    with pytest.raises(ba.UsageError, match="split='trian'"):
        audit.wrap(Rows(), split="trian")
    with pytest.raises(ba.UsageError, match="steps_per_epoch=0"):
        audit.wrap(Rows(), steps_per_epoch=0)


def test_a_closed_audit_wraps_nothing(tmp_path):
    with ba.Audit(tmp_path) as audit:
        pass
    with pytest.raises(ba.UsageError, match="this audit is closed"):
        audit.wrap(Rows())


@pytest.mark.parametrize("make", [numbers, Shuffled, Rows], ids=["generator", "iterable", "indexed"])
def test_a_source_goes_on_after_its_audit_with_one_warning(tmp_path, make):
    with ba.Audit(tmp_path / "run") as audit:
        train = audit.wrap(make())
        first = iter(train)
        next(first)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rest = list(first)
        for _ in train:
            pass
    assert len(rest) == N - 1
    assert [one.category for one in said] == [BatchauditWarning]
    assert "unwatched" in str(said[0].message)
    assert (ba.load(tmp_path / "run").events["stage"] == "produced").sum() == 1


def test_a_source_of_which_nothing_was_seen_is_in_the_report(audit):
    audit.wrap(Rows(), name="train")
    list(audit.wrap(numbers(), name="other"))
    runs = {run.source: run for run in audit.report().runs}
    assert "no batch of it was seen" in runs["train"].skipped
    assert runs["other"].skipped is None


def test_starting_again_is_another_attempt_and_the_report_sees_both(tmp_path):
    for passes in (2, 1):
        with ba.Audit(tmp_path / "run") as audit:
            train = audit.wrap(Shuffled(), name="train")
            for _ in range(passes):
                list(train)
            report = audit.report()
    assert report.attempts == (0, 1)
    assert [(run.source, run.attempt) for run in report.runs] == [("train", 0), ("train", 1)]
    assert [len(report.epochs_of(run)) for run in report.runs] == [2, 1]
    assert [run["attempt"] for run in report.to_dict()["runs"]] == [0, 1]
    assert "attempt 1" in str(report)


def test_what_a_forked_worker_makes_is_made_for_somebody_else(audit):
    train = audit.wrap(Shuffled(), name="train")
    child = os.fork()
    if child == 0:
        list(train)
        os._exit(0)
    os.waitpid(child, 0)
    report = audit.report()
    assert "no consumer of train was watched" in report.notes[0]


def test_key_gives_ids_and_a_live_audit_imports_neither_pandas_nor_a_framework(tmp_path):
    script = f"""
import sys
import batchaudit as ba
def numbers():
    for i in range(3):
        yield [i, i + 1]
with ba.Audit({str(tmp_path / "run")!r}) as audit:
    list(audit.wrap(numbers(), key=lambda batch: [batch[0] * 2, batch[1] * 2]))
heavy = {{"pandas", "numpy.random", "tensorflow", "torch", "keras", "tf_keras"}} & set(sys.modules)
sys.exit(f"loaded: {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_ranks_of_one_start_are_one_attempt(tmp_path, monkeypatch):
    for start in (0, 1):
        for rank in (1, 0):
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", "2")
            with ba.Audit(tmp_path / "run") as audit:
                list(audit.wrap(Shuffled(), name="train"))
        report = audit.report()
        assert report.attempts == tuple(range(start + 1))
        assert report.ranks == (0, 1) and report.missing_ranks == ()


def test_samples_in_both_splits_are_found(audit):
    train, val = audit.wrap(Shuffled(), name="train"), audit.wrap(Rows(), name="val")
    for _ in range(2):
        list(train)
        list(val)
    report = audit.report()
    [finding] = report.across
    assert (finding.cause, finding.scope, finding.severity) == ("split-leak", "split", "error")
    assert report.to_dict()["across"]["findings"][0]["cause"] == "split-leak"
    assert report.worst() == "error" and "split-leak" in str(report)


def test_splits_apart_are_clean(audit):
    class Others:
        def __iter__(self):
            for i in range(N):
                yield np.full((4, 2), 100 + i)

    train, val = audit.wrap(Shuffled(), name="train"), audit.wrap(Others(), name="val")
    for _ in range(2):
        list(train)
        list(val)
    report = audit.report()
    assert report.findings == ()
    verdicts = {one.cause: one.verdict for one in report.across_verdicts}
    assert verdicts == {"split-leak": "ruled out", "resume-replay": "not observable"}


@pytest.mark.parametrize("make", [numbers, Shuffled, Rows, lambda: [np.full((4, 2), i) for i in range(N)]])
def test_what_a_closed_audit_watched_is_watched_by_the_next(tmp_path, make):
    with ba.Audit(tmp_path / "first") as audit:
        train = audit.wrap(make(), name="train")
    with ba.Audit(tmp_path / "second") as audit, warnings.catch_warnings():
        warnings.simplefilter("error")
        again = audit.wrap(train, name="train")
        assert len([batch for batch, _ in zip(again, range(N), strict=False)]) == N
    assert delivered(audit.report()) == [N]


def test_repeated_batches_without_a_cause_are_no_clean_bill(audit):
    class Repeating:
        def __iter__(self):
            for i in (0, 1, 1, 2):
                yield np.full((4, 2), i)

    train = audit.wrap(Repeating(), name="train")
    list(train), list(train)
    said = str(audit.report())
    assert said.startswith("train: 3 of 4 batches are different in each epoch - no cause was found")


def test_hooks_that_fail_leave_the_program_alone_and_a_mark(tmp_path, monkeypatch):
    from batchaudit import consumers

    monkeypatch.setitem(consumers.HOOKS, "json", "no_such_file")
    monkeypatch.setattr(consumers, "_registered", {*consumers._registered, "json"})
    with pytest.warns(BatchauditWarning, match="no_such_file is not watched"):
        audit = ba.Audit(tmp_path / "run")
    list(audit.wrap(numbers()))
    audit.close()
    report = audit.report()
    assert not report.complete and "no_such_file is not watched" in report.notes[0]


@pytest.mark.parametrize("several", [False, True])
def test_a_tensor_is_refused(audit, several):
    torch = pytest.importorskip("torch")
    x = torch.zeros(4, 2)
    with pytest.raises(ba.UsageError, match="a tensor is no source of batches"):
        audit.wrap((x, x) if several else x)
