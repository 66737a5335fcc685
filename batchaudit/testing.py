"""Assertions about loaders, for any test runner: each raises `AssertionError` with what the report says.

They hold where Python leaves assertions out (`python -O`), and need no pytest. What could not be seen fails:
an incomplete log never passes for one without duplicates, nor a strategy that was skipped for one that was
audited.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from batchaudit.errors import UsageError
from batchaudit.sources import kind_of
from batchaudit.sources.indexed import batch_count
from batchaudit.sources.kinds import Kind
from batchaudit.target import Target

if TYPE_CHECKING:
    from batchaudit.capture.ids import Key
    from batchaudit.diagnosis.finding import Finding
    from batchaudit.report.model import Report, Run

__all__ = [
    "assert_deterministic",
    "assert_no_findings",
    "assert_no_split_leak",
    "assert_same_stream",
    "assert_sample_coverage",
    "assert_seeds_diverge",
    "assert_unique_batches",
]

_WORSE = {"error": ("error",), "warning": ("error", "warning"), "info": ("error", "warning", "info")}
_ANY = 1e-9
"""Ratios are quotients of whole numbers: this much is rounding."""


def assert_no_findings(report: Report, *, fail_on: str = "warning", ignore: Collection[str] = ()) -> None:
    """Fails where the diagnosis found a cause, or could not look.

    Args:
        report: the report.
        fail_on: the least severity that fails: "error", "warning" or "info".
        ignore: causes that may be there, such as `["intrinsic-duplicate"]`.

    Raises:
        AssertionError: there is a finding, a log is incomplete, a run was skipped or ended early, or nothing
            was audited.
        UsageError: a severity or a cause that there is none of.
    """
    __tracebackhide__ = True
    if fail_on not in _WORSE:
        raise UsageError(f"fail_on={fail_on!r}: expected one of {', '.join(_WORSE)}.")
    _check_causes(ignore)
    _check_seen(report)

    def counts(finding: Finding) -> bool:
        return finding.severity in _WORSE[fail_on] and finding.cause not in ignore

    for run in report.runs:
        for finding in filter(counts, run.findings):
            _fail(f"{_named(run)}: {finding.cause} was found", report, run, finding)
    for finding in filter(counts, report.across):
        _fail(f"{finding.cause} was found between ranks, attempts or sources", report, None, finding)


def assert_unique_batches(report: Report, *, min_ratio: float = 1.0) -> None:
    """Fails where too many batches of an epoch are copies of others.

    Args:
        report: the report.
        min_ratio: different batches over delivered ones, at least, in each epoch of each run.

    Raises:
        AssertionError: an epoch has fewer, or it is not known how many it has.
    """
    __tracebackhide__ = True
    _check_share("min_ratio", min_ratio)
    _check_seen(report)
    for run, epoch in _epochs(report):
        many = f"{_count(epoch['unique'])} different batches of {_count(epoch['delivered'])}"
        _at_least(report, run, epoch, "effective_ratio", min_ratio, many, "min_ratio")


def assert_sample_coverage(report: Report, *, min_coverage: float = 1.0) -> None:
    """Fails where an epoch leaves out samples that the source has.

    Args:
        report: the report.
        min_coverage: different samples of an epoch over those that the serial pass of it has, at least.

    Raises:
        AssertionError: an epoch has fewer, or it is not known how many there are.
    """
    __tracebackhide__ = True
    _check_share("min_coverage", min_coverage)
    _check_seen(report)
    for run, epoch in _epochs(report):
        many = f"{_count(epoch['unique_samples'])} different samples"
        _at_least(report, run, epoch, "sample_coverage", min_coverage, many, "min_coverage")


def assert_seeds_diverge(report: Report, *, min_divergence: float = 1.0) -> None:
    """Fails where workers, or epochs, draw from equal random states.

    Args:
        report: the report, with a run of two workers or more.
        min_divergence: the least seed divergence of an epoch, and the least share of its draws that no
            earlier epoch made (`seed_divergence` and `epoch_divergence` of `Report.epochs`).

    Raises:
        AssertionError: an epoch has less, or no epoch of any run shows how much it has.
    """
    __tracebackhide__ = True
    _check_share("min_divergence", min_divergence)
    _check_seen(report)
    notes: dict[str, None] = {}
    observed = False
    for run, epoch in _epochs(report):
        for figure, whose in (("seed_divergence", "workers"), ("epoch_divergence", "epochs")):
            if _unknown(epoch[figure]):
                continue
            observed = observed or figure == "seed_divergence"
            equal = f"{whose} drew from equal random states"
            _at_least(report, run, epoch, figure, min_divergence, equal, "min_divergence")
        notes[f"{_named(run)}: {epoch['seed_divergence_note']}"] = None
    if not observed:
        why = "; ".join(notes) or "no epoch was delivered"
        _fail(f"whether the workers' random states diverge could not be seen: {why}", report)


def assert_same_stream(
    a: str | os.PathLike[str] | Callable[[], Any],
    b: str | os.PathLike[str] | Callable[[], Any],
    *,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
) -> None:
    """Fails where two streams of batches are not equal, batch by batch, in order.

    Args:
        a: the folder of a run (of `ba.Audit`, `ba.audit(out=)`, `batchaudit run`), or a callable that returns
            a new source, which is driven serially.
        b: the same.
        epochs: of a source, how many epochs to drive.
        steps_per_epoch: batches of an epoch of a source that has no end.

    Raises:
        AssertionError: they differ, or it is not known whether they do.
        UsageError: one of them is no run and no source.
    """
    __tracebackhide__ = True
    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder:
        places = [
            _run_of(one, Path(folder) / name, epochs, steps_per_epoch) for name, one in (("a", a), ("b", b))
        ]
        _compare(places, "the streams of a and b are not the same")


def assert_deterministic(
    factory: Callable[[], Any],
    *,
    strategy: str = "serial",
    epochs: int = 2,
    steps_per_epoch: int | None = None,
) -> None:
    """Fails where two sources of one factory, driven alike, give different streams.

    Before the second one the global random streams are moved: what a training must seed itself, the factory
    must seed.

    Args:
        factory: returns a new source.
        strategy: how to drive them.
        epochs: how many epochs.
        steps_per_epoch: batches of an epoch of a source that has no end.

    Raises:
        AssertionError: the streams differ, or it is not known whether they do.
        UsageError: the factory makes no source, or the strategy cannot run it.
    """
    __tracebackhide__ = True
    from batchaudit.capture.restore import preserved_streams

    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder:
        places = []
        for seed in (1, 2):
            with preserved_streams(seed):
                places.append(_audited(factory, Path(folder) / str(seed), strategy, epochs, steps_per_epoch))
        _compare(places, f"two sources of one factory give different streams under {strategy}")


def assert_no_split_leak(
    train: Any, val: Any, *, key: Key | None = None, steps_per_epoch: int | None = None
) -> None:
    """Fails where samples of the validation source are in the training source.

    Both are gone over serially, twice where that is possible. Samples are compared by their ids, or else by
    their contents: then give the sources without their augmentation.

    Args:
        train: what is trained on: a source, or a callable that returns a new one.
        val: what is validated on: the same.
        key: given a batch, returns one id a sample: which stored item it came from.
        steps_per_epoch: how many batches to take of a source that has no end.

    Raises:
        AssertionError: samples are in both, or it could not be seen whether any are.
        UsageError: one of them is no source.
    """
    __tracebackhide__ = True
    from batchaudit.live import Audit

    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder:
        with Audit(folder) as audit:
            for source, name in ((train, "training"), (val, "validation")):
                _go_over(
                    audit.wrap(Target.of(source, name).new(), name=name, key=key, split=name), steps_per_epoch
                )
        report = audit.report()
    _check_seen(report)
    for finding in report.across:
        if finding.cause == _LEAK:
            _fail("samples of the validation source are in the training source", report, None, finding)
    verdicts = [one for one in report.across_verdicts if one.cause == _LEAK]
    if not any(one.verdict == "ruled out" for one in verdicts):
        why = "; ".join(one.reason for one in verdicts) or "nothing was seen of one of them"
        _fail(f"whether validation samples are trained on could not be seen: {why}", report)


_LEAK = "split-leak"


def _go_over(source: Any, steps: int | None) -> None:
    """Takes two passes, so that what is drawn anew can be told; of an iterator the one that it has."""
    kind = kind_of(source)
    for _ in range(1 if kind is Kind.ITERATOR else 2):
        if kind is Kind.INDEXED:
            batches = map(source.__getitem__, range(batch_count(source) or 0))
        else:
            batches = iter(source)
        for _batch in islice(batches, steps):
            pass


def _audited(source: Any, folder: Path, strategy: str, epochs: int, steps_per_epoch: int | None) -> Path:
    """Audits a source into a folder.

    Raises:
        UsageError: the strategy cannot run it.
    """
    from batchaudit.auditing import audit

    report = audit(
        source, [strategy], epochs=epochs, steps_per_epoch=steps_per_epoch, name="source", out=folder,
        probes=False, advise=False,
    )  # fmt: skip
    _check_seen(report)
    return folder


def _run_of(one: Any, folder: Path, epochs: int, steps_per_epoch: int | None) -> Path:
    if isinstance(one, (str, os.PathLike)):
        return Path(one)
    return _audited(one, folder, "serial", epochs, steps_per_epoch)


def _compare(runs: list[Path], failed: str) -> None:
    __tracebackhide__ = True
    from batchaudit.comparing import compare
    from batchaudit.report.brief import MOST_LINES

    compared = compare(*runs)
    if compared.verdict != "same":
        said = [line for line in str(compared).splitlines() if line and not line.startswith("A = ")]
        raise AssertionError("\n".join([f"{failed}:", *said[: MOST_LINES - 1]]))


def _check_seen(report: Report) -> None:
    """Fails where something was not seen, so that nothing can be said to be absent."""
    __tracebackhide__ = True
    if not report.complete:
        _fail("the log is incomplete: what is missing may hold duplicates", report)
    if report.missing_ranks:
        _fail(f"the logs of ranks {', '.join(map(str, report.missing_ranks))} are missing", report)
    if not report.runs:
        _fail("nothing was audited", report)
    for run in report.runs:
        if run.skipped is not None:
            _fail(f"{_named(run)} was not audited: {run.skipped}", report, run)
        if run.error is not None:
            _fail(f"{_named(run)} ended early", report, run)


def _epochs(report: Report) -> Iterable[tuple[Run, dict[str, Any]]]:
    for run in report.runs:
        for epoch in report.epochs_of(run).to_dict("records"):
            yield run, {str(name): value for name, value in epoch.items()}


def _at_least(
    report: Report, run: Run, epoch: dict[str, Any], figure: str, least: float, many: str, option: str
) -> None:
    __tracebackhide__ = True
    value = epoch[figure]
    where = f"{_named(run)}, epoch {epoch['epoch']}"
    if _unknown(value):
        _fail(f"{where}: the {figure} is not known, so {option} cannot be checked", report, run)
    if value < least - _ANY:
        _fail(f"{where}: {many}: {figure} {value:.3g}, and {option} asks for {least:g}", report, run)


def _fail(failed: str, report: Report, run: Run | None = None, finding: Finding | None = None) -> NoReturn:
    __tracebackhide__ = True
    from batchaudit.report.brief import brief

    raise AssertionError(brief(failed, report, run, finding))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name}={value!r}: expected a share from 0 to 1.")


def _check_causes(causes: Collection[str]) -> None:
    from batchaudit.diagnosis.pages import CAUSES

    unknown = [cause for cause in causes if cause not in CAUSES]
    if isinstance(causes, str) or unknown:
        raise UsageError(f"ignore={causes!r}: expected a list of causes out of {', '.join(CAUSES)}.")


def _named(run: Run) -> str:
    rank = f", rank {run.rank}" if run.rank else ""
    return f"{run.source} under {run.strategy}{rank}"


def _count(value: Any) -> str:
    return "?" if _unknown(value) else f"{int(value):,}"


def _unknown(value: Any) -> bool:
    return value is None or value != value  # NaN is no equal of its own
