"""`batchaudit.testing`, on real loaders: each assertion passes on a healthy one and fails on a sick one."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import cache
from itertools import islice

import numpy as np
import pytest

import batchaudit as ba
from batchaudit.auditing import report as read
from batchaudit.errors import JournalError, UsageError, WrongTypeError
from batchaudit.report.brief import MOST_LINES
from batchaudit.testing import (
    assert_deterministic,
    assert_no_findings,
    assert_no_split_leak,
    assert_same_stream,
    assert_sample_coverage,
    assert_seeds_diverge,
    assert_unique_batches,
)
from tests import loaders
from tests.loaders import batch

OF_REPORTS = (assert_no_findings, assert_unique_batches, assert_sample_coverage, assert_seeds_diverge)


def message(assertion, *args, **options):
    """What it fails with, which never is too long to be read."""
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **options)
    text = str(caught.value)
    assert len(text.splitlines()) <= MOST_LINES
    assert max(map(len, text.splitlines())) <= 120
    return text


def audited(source, *strategies, epochs=2, **options):
    return ba.audit(source, list(strategies), epochs=epochs, probes=False, advise=False, **options)


@cache
def healthy():
    return audited(loaders.Table, "serial", "threads:2")


@cache
def replicas():
    return audited(loaders.numbers, "fork:2", name="make_loader")


@cache
def torch_report(name):
    torch = pytest.importorskip("torch")

    class Walks(torch.utils.data.IterableDataset):
        """Every worker walks all of it."""

        def __iter__(self):
            return (torch.tensor(number) for number in range(16))

    class Overshard(Walks):
        """Every worker takes one of four parts, and there are two."""

        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            return islice(super().__iter__(), info.id if info else 0, None, 4 if info else 1)

    class Draws(torch.utils.data.Dataset):
        def __len__(self):
            return 16

        def __getitem__(self, index):
            return torch.rand(3) + index

    made = {"replicas": Walks, "overshard": Overshard, "healthy": Draws}[name]
    return audited(
        lambda: torch.utils.data.DataLoader(made(), batch_size=2, num_workers=2), "as-is", epochs=2
    )


@cache
def keras_report(seeded):
    keras = pytest.importorskip("keras")

    class Noisy(keras.utils.PyDataset):
        def __init__(self):
            super().__init__(workers=2, use_multiprocessing=True)

        def __len__(self):
            return 8

        def __getitem__(self, index):
            rng = np.random.default_rng(index) if seeded else np.random
            return batch(0)[0] + rng.normal(size=(4, 3))

    return audited(Noisy, "keras-processes:2", epochs=2)


# -- no findings ----------------------------------------------------------------------------------


def test_a_healthy_loader_has_no_findings():
    assert_no_findings(healthy())
    assert_no_findings(torch_report("healthy"))
    assert_no_findings(keras_report(seeded=True), ignore=["frozen-augmentation"])


def test_replicas_are_found_and_the_message_says_what_to_do():
    lines = message(assert_no_findings, replicas()).splitlines()
    assert lines[0] == "make_loader under fork:2: unsharded-replica was found"
    assert lines[1] == "  different batches: 8 of 16 in epoch 0, 8 of 16 in epoch 1"
    assert lines[2].startswith("  first equal batches: epoch 0: step ")
    assert "of worker 0" in lines[2]
    assert "of worker 1" in lines[2]
    assert lines[3] == "  who made them in epoch 0: worker 0 8, worker 1 8"
    assert lines[4].startswith("  likely cause: unsharded-replica (error, worker): ")
    assert "  what to change:" in lines
    assert lines[-1] == "  to see all of it: print(report), or batchaudit explain unsharded-replica"


def test_replicas_of_a_data_loader_are_found():
    assert "unsharded-replica was found" in message(assert_no_findings, torch_report("replicas"))


def test_clones_in_keras_are_found():
    text = message(assert_no_findings, keras_report(seeded=False))
    assert "rng-clone was found" in text or "rng-epoch-reset was found" in text
    assert "what to change:" in text


def test_a_cause_can_be_allowed():
    causes = {finding.cause for finding in replicas().findings}
    assert_no_findings(replicas(), ignore=causes)
    assert_no_findings(replicas(), ignore=tuple(causes))


def test_what_is_less_severe_passes_unless_it_is_asked_for():
    run = replicas().runs[0]
    findings = tuple(replace(finding, severity="warning") for finding in run.findings)
    report = replace(replicas(), runs=(replace(run, findings=findings),))
    assert_no_findings(report, fail_on="error")
    message(assert_no_findings, report)
    message(assert_no_findings, report, fail_on="info")


def test_a_finding_between_ranks_is_one():
    (finding,) = replicas().runs[0].findings[:1]
    report = replace(healthy(), across=(replace(finding, cause="split-leak"),))
    assert "split-leak was found between ranks, attempts or sources" in message(assert_no_findings, report)


@pytest.mark.parametrize("fail_on", ["never", "Error", None, ""])
def test_a_severity_that_there_is_none_of(fail_on):
    with pytest.raises(UsageError, match="expected one of error, warning, info"):
        assert_no_findings(healthy(), fail_on=fail_on)


@pytest.mark.parametrize("ignore", ["rng-clone", ["rng_clone"], [""]])
def test_a_cause_that_there_is_none_of(ignore):
    with pytest.raises(UsageError, match=r"expected a list of causes out of .*rng-clone"):
        assert_no_findings(replicas(), ignore=ignore)


# -- figures --------------------------------------------------------------------------------------


def test_batches_are_unique_or_not():
    assert_unique_batches(healthy())
    assert_unique_batches(replicas(), min_ratio=0.5)
    text = message(assert_unique_batches, replicas(), min_ratio=0.51)
    assert " ".join(text.split()).startswith(
        "make_loader under fork:2, epoch 0: 8 different batches of 16: effective_ratio 0.5, and min_ratio asks "
        "for 0.51"
    )
    assert "likely cause: unsharded-replica" in text


def test_it_says_so_where_one_batch_of_very_many_is_a_copy():
    ratio = 1 - 1e-6
    report = replace(replicas(), epochs=replicas().epochs.assign(effective_ratio=ratio))
    assert "effective_ratio 0.999999, and" in message(assert_unique_batches, report)


def test_rounding_fails_nobody():
    third = replicas().epochs.assign(effective_ratio=1 / 3)
    assert_unique_batches(replace(replicas(), epochs=third), min_ratio=1 - 2 / 3)


def test_samples_are_covered_or_not():
    assert_sample_coverage(healthy())
    short = audited(loaders.Table, "serial", "threads:2", steps_per_epoch=None)
    epochs = short.epochs.assign(sample_coverage=0.75)
    text = message(assert_sample_coverage, replace(short, epochs=epochs))
    assert "sample_coverage 0.75, and min_coverage asks for 1" in " ".join(text.split())
    assert_sample_coverage(replace(short, epochs=epochs), min_coverage=0.75)


def test_what_workers_leave_out_is_not_covered():
    report = torch_report("overshard")
    assert_unique_batches(report)
    text = " ".join(message(assert_sample_coverage, report).split())
    assert "epoch 0: 8 different samples: sample_coverage 0.5, and min_coverage asks for 1" in text
    assert_sample_coverage(report, min_coverage=0.5)


def test_seeds_diverge_or_not():
    assert_seeds_diverge(torch_report("healthy"))
    text = message(assert_seeds_diverge, keras_report(seeded=False))
    # Of an epoch that one worker made alone, only what it shares with the others is known.
    said = r"epoch \d: (workers|epochs) drew from equal random states: \w+ 0, and min_divergence asks for 1"
    assert re.search(said, " ".join(text.split()))


def test_seeds_that_nobody_saw_do_not_diverge():
    text = message(assert_seeds_diverge, healthy())
    assert "could not be seen" in text
    assert "no random stream moved" in text


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), 90])
def test_a_share_is_from_0_to_1(share):
    for assertion, option in zip(
        OF_REPORTS[1:], ("min_ratio", "min_coverage", "min_divergence"), strict=True
    ):
        with pytest.raises(UsageError, match=f"{option}=.*: expected a share from 0 to 1"):
            assertion(healthy(), **{option: share})


@pytest.mark.parametrize("share", ["0.9", None, [1]])
def test_a_share_is_a_number(share):
    for assertion, option in zip(
        OF_REPORTS[1:], ("min_ratio", "min_coverage", "min_divergence"), strict=True
    ):
        with pytest.raises(TypeError, match=f"{option}=.*: expected a number from 0 to 1"):
            assertion(healthy(), **{option: share})


# -- what could not be seen fails -----------------------------------------------------------------


@pytest.mark.parametrize("assertion", OF_REPORTS)
@pytest.mark.parametrize("given", ["runs/today", None, 3, [], loaders.numbers, {}])
def test_what_is_no_report_is_a_type_error(assertion, given):
    with pytest.raises(TypeError, match=r"report is of type \w+: expected what batchaudit.audit\(\)"):
        assertion(given)
    assert issubclass(WrongTypeError, UsageError)


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_an_incomplete_log_is_not_free_of_duplicates(assertion, tmp_path):
    clean = audited(loaders.Table, "serial", "threads:2", out=tmp_path)
    assert_no_findings(clean)
    log = max(tmp_path.glob("*.baj"), key=lambda file: file.stat().st_size)
    data = log.read_bytes()
    log.write_bytes(data[: len(data) * 2 // 3])  # in the middle of a record
    text = message(assertion, read(tmp_path))
    assert re.match(r"the log is INCOMPLETE: [\d,]+ bytes? dropped; .*what is missing\s+may hold dupl", text)


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_log_that_could_not_be_written_is_not_free_of_duplicates(assertion, tmp_path):
    audited(loaders.Table, "serial", out=tmp_path)
    (tmp_path / "lost.baj.failed").write_text("No space left on device")
    assert "No space left on device" in message(assertion, read(tmp_path))


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_training_of_which_the_log_was_cut_is_not_free_of_duplicates(assertion, tmp_path):
    with ba.Audit(tmp_path) as audit:
        for _ in audit.wrap(loaders.Passes(), name="train"):
            pass
    assert_no_findings(audit.report())
    (log,) = tmp_path.glob("*.baj")
    log.write_bytes(log.read_bytes()[:-7])
    message(assertion, audit.report())


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_strategy_that_was_skipped_was_not_audited(assertion):
    report = audited(loaders.numbers, "serial", "spawn:2", name="make_loader")
    text = message(assertion, report)
    assert text.startswith("make_loader under spawn:2 was not audited: ")
    assert "likely cause" not in text


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_run_that_ended_early_fails(assertion):
    report = audited(lambda: loaders.Broken("raise"), "fork:2", name="make_loader")
    text = message(assertion, report)
    assert text.startswith("make_loader under fork:2 ended early")
    assert "ValueError: the third batch is broken" in text


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_source_that_was_wrapped_and_never_used_fails(assertion, tmp_path):
    with ba.Audit(tmp_path) as audit:
        audit.wrap(loaders.Passes(), name="train")
    assert "train was not audited: no batch of it was seen" in message(assertion, audit.report())


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_a_source_that_yielded_nothing_fails(assertion, tmp_path):
    with ba.Audit(tmp_path) as audit:
        for _ in audit.wrap(loaders.Passes(0), name="train"):
            pass
    assert "train delivered no batch" in message(assertion, audit.report())


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_ranks_that_are_missing_fail(assertion):
    text = message(assertion, replace(healthy(), missing_ranks=(1, 3)))
    assert text.startswith("the logs of ranks 1, 3 are missing")


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_no_runs_at_all_fail(assertion):
    assert message(assertion, replace(healthy(), runs=())).startswith("nothing was audited")


def opaque():
    for _ in range(4):
        yield [object()]


@pytest.mark.parametrize("assertion", OF_REPORTS)
def test_batches_that_cannot_be_hashed_fail_and_are_not_called_equal(assertion):
    text = message(assertion, audited(opaque, "serial"))
    assert "not known" in text or "could not be seen" in text
    assert "first equal batches" not in text


# -- the same stream ------------------------------------------------------------------------------


def nine():
    return loaders.numbers(9)


def backwards():
    return reversed(list(loaders.numbers()))


def test_equal_streams_are_the_same():
    assert_same_stream(loaders.numbers, loaders.numbers)
    assert_same_stream(loaders.numbers, loaders.Table)
    assert_same_stream(loaders.numpy_noise, loaders.numpy_noise)  # from the same states of the global streams


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (loaders.numbers, nine, "A lacks 1 of 9 batches"),
        (nine, loaders.numbers, "B lacks 1 of 9 batches"),
        (loaders.numbers, backwards, "first difference: epoch 0 step 0"),
        (backwards, loaders.numbers, "first difference: epoch 0 step 0"),
        (loaders.numbers, loaders.numpy_noise, "first difference: epoch 0 step 0"),
    ],
)
def test_streams_that_differ_are_told_apart(a, b, said):
    text = message(assert_same_stream, a, b)
    assert text.startswith("the streams of a and b are not the same:\ndifferent: ")
    assert said in text


def test_runs_are_compared_with_sources_and_with_each_other(tmp_path):
    audited(loaders.numbers, "serial", out=tmp_path / "one", epochs=1)
    audited(nine, "serial", out=tmp_path / "two", epochs=1)
    assert_same_stream(tmp_path / "one", str(tmp_path / "one"))
    assert_same_stream(tmp_path / "one", loaders.numbers)
    assert_same_stream(nine, tmp_path / "two")
    assert "A lacks 1 of 9" in message(assert_same_stream, tmp_path / "one", tmp_path / "two")


def test_an_incomplete_run_is_never_the_same(tmp_path):
    for run in ("a", "b"):
        audited(loaders.numbers, "serial", out=tmp_path / run, epochs=1)
    (log,) = [file for file in (tmp_path / "b").glob("*.baj") if "baseline" not in file.name][:1]
    log.write_bytes(log.read_bytes()[:-7])
    for one, other, name in (("a", "b", "B"), ("b", "a", "A")):
        said = message(assert_same_stream, tmp_path / one, tmp_path / other)
        assert f"INCOMPLETE: the log of {name} is not whole" in said


def test_epochs_and_steps_are_those_that_are_asked_for():
    assert_same_stream(loaders.endless, loaders.endless, steps_per_epoch=3)
    assert_same_stream(loaders.endless, loaders.numbers, steps_per_epoch=8)
    message(assert_same_stream, loaders.endless, loaders.numbers, steps_per_epoch=9)


def test_sources_need_not_be_callables():
    batches = list(loaders.numbers())
    assert_same_stream(batches, loaders.numbers())
    assert "2 of 8 batches moved" in message(
        assert_same_stream, batches, [batches[1], batches[0], *batches[2:]]
    )


def test_reports_are_compared_by_their_strategies():
    both = audited(loaders.Table, "serial", "fork:2")
    assert_same_stream(both, audited(loaders.Table, "serial", "fork:2"))
    text = message(assert_same_stream, both, audited(loaders.Table, "serial"))
    assert text.startswith("Table under fork:2 is not in b")
    text = message(assert_same_stream, audited(loaders.Table, "serial"), both)
    assert text.startswith("Table under fork:2 is not in a")


def test_the_one_runs_of_two_reports_are_compared_whatever_drove_them():
    serial = audited(loaders.numbers, "serial")
    assert_same_stream(serial, audited(loaders.numbers, "threads:1"))
    text = message(assert_same_stream, serial, audited(backwards, "serial"))
    assert "numbers under serial and backwards under serial" in text
    places = r"a has batch \w{8} in epoch 0 at step 0, b has batch \w{8} in epoch 0 at step 0"
    assert re.search(places, " ".join(text.split()))
    assert "likely cause" not in text
    sick = message(assert_same_stream, serial, audited(loaders.numbers, "fork:2"))
    assert "likely cause: unsharded-replica" in sick
    assert len(sick.splitlines()) <= 25


def test_reports_whose_batches_are_not_known_are_not_the_same():
    text = message(assert_same_stream, audited(opaque, "serial"), audited(opaque, "serial"))
    assert "could not be hashed" in text


@pytest.mark.parametrize("given", [None, 3])
def test_what_is_no_source(given):
    for pair in ((given, loaders.numbers), (loaders.numbers, given)):
        with pytest.raises(UsageError, match="source"):
            assert_same_stream(*pair)


def test_a_report_and_something_else():
    report = audited(loaders.numbers, "serial")
    for pair in ((report, loaders.numbers), (loaders.numbers, report)):
        with pytest.raises(TypeError, match="only one of a and b is a report"):
            assert_same_stream(*pair)


def test_a_folder_that_holds_no_run(tmp_path):
    with pytest.raises(JournalError):
        assert_same_stream(tmp_path, loaders.numbers)
    with pytest.raises(JournalError):
        assert_same_stream(tmp_path / "none", loaders.numbers)


# -- deterministic --------------------------------------------------------------------------------


def test_a_factory_is_deterministic():
    assert_deterministic(loaders.numbers)
    assert_deterministic(loaders.private_noise)
    assert_deterministic(loaders.Table, strategy="fork:2")
    assert_deterministic(loaders.endless, steps_per_epoch=3)


@pytest.mark.parametrize("factory", [loaders.numpy_noise, loaders.python_noise, loaders.NoisyTable])
def test_a_factory_that_seeds_nothing_is_not(factory):
    text = message(assert_deterministic, factory)
    assert text.startswith("two sources of one factory give different streams under serial:\ndifferent: ")
    assert "first difference: epoch 0 step 0" in text


def test_a_factory_that_seeds_itself_is():
    def seeded():
        np.random.seed(7)
        random.seed(7)
        return loaders.numpy_noise()

    assert_deterministic(seeded, epochs=1)


def test_the_global_streams_of_the_test_go_on_as_they_were():
    np.random.seed(3)
    random.seed(3)
    expected = np.random.RandomState(3).normal(), random.Random(3).random()
    assert_deterministic(loaders.numbers)
    assert_same_stream(loaders.numpy_noise, loaders.numpy_noise)
    assert_no_split_leak(lambda: some(0, 4), lambda: some(4, 6))
    with pytest.raises(AssertionError):
        assert_no_split_leak(loaders.numpy_noise, loaders.NoisyTable)
    assert (np.random.normal(), random.random()) == expected


@pytest.mark.parametrize("given", [None, 3, "loader", loaders.Table(), loaders.numbers(), [batch(0)]])
def test_what_is_no_factory(given):
    with pytest.raises(TypeError, match=r"factory is of type \w+: expected a callable that takes nothing"):
        assert_deterministic(given)


def test_a_factory_that_gives_one_generator_again():
    one = loaders.numbers()
    text = message(assert_deterministic, lambda: one)
    assert text.startswith("factory delivered no batch")
    assert "does it return a new source at each call?" in text


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda: 1 / 0, r"factory\(\) raised ZeroDivisionError"),
        (lambda: None, r"factory\(\) returned None"),
        (lambda: 3, r"factory\(\) returned what cannot be audited: int is not a source of batches"),
        (loaders.raising, "raised ValueError: the third batch is broken"),
        (loaders.empty, "the source yields no batch at all"),
    ],
)
def test_a_factory_that_fails_is_no_failed_assertion(factory, said):
    with pytest.raises(UsageError, match=said):
        assert_deterministic(factory)


def test_a_strategy_that_cannot_run_it_fails():
    assert "under spawn:2 was not audited" in message(
        assert_deterministic, loaders.numbers, strategy="spawn:2"
    )
    with pytest.raises(UsageError, match="unknown strategy 'nope'"):
        assert_deterministic(loaders.numbers, strategy="nope")


def test_workers_that_draw_from_what_they_inherit_are_not_deterministic():
    text = message(assert_deterministic, loaders.numpy_noise, strategy="fork:2")
    assert "under fork:2" in text


# -- splits ---------------------------------------------------------------------------------------


def some(begin, end):
    return (batch(number) for number in range(begin, end))


X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20)


def data_loader(rows):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X[rows]), torch.tensor(Y[rows]))
    return torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)


def py_dataset(rows):
    keras = pytest.importorskip("keras")

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return len(X[rows]) // 2

        def __getitem__(self, index):
            return X[rows][2 * index : 2 * index + 2], Y[rows][2 * index : 2 * index + 2]

    return Rows()


def dataset(rows):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X[rows], Y[rows])).batch(4)


def arrays(rows):
    return X[rows], Y[rows]


def generator_of(rows):
    return lambda: iter([(X[rows], Y[rows])])


KINDS = [data_loader, py_dataset, dataset, arrays, generator_of]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call")
def test_splits_that_share_nothing_pass(kind):
    assert_no_split_leak(kind(slice(0, 12)), kind(slice(12, 20)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call")
def test_splits_that_share_samples_fail(kind):
    text = message(assert_no_split_leak, kind(slice(0, 14)), kind(slice(12, 20)))
    assert text.startswith("samples of the validation source are in the training source")
    assert "2 of the 8 samples of validation" in text
    assert "first example: " in text
    assert "what to change:" in text


def test_one_array_is_a_split():
    assert_no_split_leak(X[:12], X[12:])
    message(assert_no_split_leak, X[:13], X[12:])


def test_callables_that_make_generators_have_two_passes():
    assert_no_split_leak(lambda: some(0, 8), lambda: some(8, 12))
    message(assert_no_split_leak, lambda: some(0, 9), lambda: some(8, 12))


def test_a_callable_is_asked_for_one_source_a_pass():
    made = []

    def train():
        made.append(1)
        return some(0, 8)

    assert_no_split_leak(train, lambda: some(8, 12))
    assert len(made) <= 3


def test_a_generator_has_one_pass_and_the_message_says_so():
    text = message(assert_no_split_leak, some(0, 8), some(8, 12))
    assert "could not be seen" in text
    assert "training is an iterator with one pass: give a callable that makes it" in " ".join(text.split())
    # What is in both is in both, however it is looked at.
    assert "are in the training source" in message(assert_no_split_leak, some(0, 9), some(8, 12))


def test_the_same_object_is_a_leak():
    table = loaders.Table()
    assert "the same object" in message(assert_no_split_leak, table, table)
    assert "are in the training source" in message(assert_no_split_leak, loaders.numbers, loaders.numbers)


def test_contents_that_are_drawn_anew_are_compared_by_key():
    def noisy(begin, end):
        return lambda: ((x + np.random.normal(size=x.shape), rows) for x, rows in some(begin, end))

    assert "give both sources key=" in " ".join(
        message(assert_no_split_leak, noisy(0, 8), noisy(8, 12)).split()
    )

    def key(made):
        return made[1]

    assert_no_split_leak(noisy(0, 8), noisy(8, 12), key=key)
    assert "are in the training source" in message(assert_no_split_leak, noisy(0, 9), noisy(8, 12), key=key)


@pytest.mark.parametrize("train", [loaders.empty, [], list])
def test_a_split_without_batches_fails(train):
    assert "the training source yields no batch" in message(assert_no_split_leak, train, loaders.numbers)


@pytest.mark.parametrize("given", [None, 3, "x", lambda: None])
def test_what_is_no_split(given):
    with pytest.raises(UsageError):
        assert_no_split_leak(given, loaders.numbers)


def test_an_endless_split_needs_its_length(monkeypatch):
    from batchaudit import twice

    monkeypatch.setattr(twice, "MOST_BATCHES", 50)
    with pytest.raises(
        UsageError, match=r"training is still yielding after 50 batches: give .* steps_per_epoch="
    ):
        assert_no_split_leak(loaders.endless, loaders.numbers)
    assert_no_split_leak(lambda: loaders.numbers(200).__iter__(), lambda: some(900, 910), steps_per_epoch=20)


def test_a_long_split_that_says_how_long_it_is_is_gone_over(monkeypatch):
    from batchaudit import twice

    monkeypatch.setattr(twice, "MOST_BATCHES", 5)
    assert_no_split_leak(loaders.Table(8), list(some(8, 16)))


# -- everywhere -----------------------------------------------------------------------------------


def test_they_need_neither_pytest_nor_assertions():
    code = """
        import sys
        import batchaudit as ba
        from tests import loaders
        assert False, "this is not run"
        twice = [loaders.batch(0)] * 4
        report = ba.audit(lambda: iter(twice), ["serial"], epochs=1, probes=False, advise=False)
        calls = [
            lambda: ba.testing.assert_no_findings(report, fail_on="info"),
            lambda: ba.testing.assert_unique_batches(report),
            lambda: ba.testing.assert_seeds_diverge(report),
            lambda: ba.testing.assert_same_stream(loaders.numbers, lambda: loaders.numbers(9)),
            lambda: ba.testing.assert_deterministic(loaders.python_noise),
            lambda: ba.testing.assert_no_split_leak(loaders.numbers, loaders.numbers),
        ]
        failed = 0
        for call in calls:
            try:
                call()
            except AssertionError:
                failed += 1
        ba.testing.assert_deterministic(loaders.numbers)
        print(failed, "pytest" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-O", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["6", "False"], done.stderr
