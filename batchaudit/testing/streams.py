"""Assertions about sources, and about runs: each drives what it is given, or reads what was logged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchaudit.errors import JournalError, WrongTypeError
from batchaudit.testing.failing import check_seen, fail, is_report
from batchaudit.testing.reported import compare_reports

if TYPE_CHECKING:
    from batchaudit.capture.ids import Key

_LEAK = "split-leak"
_FACTORY, _A, _B = "factory", "a", "b"
_KNOWN = ("A = ", _FACTORY, f"{_A} in A and {_B} in B")
"""How the lines of a comparison begin that say what the caller has given."""


def assert_same_stream(
    a: Any,
    b: Any,
    *,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
) -> None:
    """Fails where two streams of batches are not equal, batch by batch, in order.

    Args:
        a: the folder of a run (of `ba.Audit`, `ba.audit(out=)`, `batchaudit run`), or a source, or a callable
            that returns a new one, which is driven serially; both from the same states of the global random
            streams. Or a report: its runs are compared with those of the same strategies in the other's, or
            the one run of each.
        b: the same; a report where `a` is one.
        epochs: of a source, how many epochs to drive.
        steps_per_epoch: batches of an epoch of a source that has no end.

    Raises:
        AssertionError: they differ, or it is not known whether they do.
        UsageError: one of them is no source, or its code fails.
        JournalError: one of them is no run's folder.
        WrongTypeError: a `TypeError`: only one of them is a report.
    """
    __tracebackhide__ = True
    reports = [is_report(one) for one in (a, b)]
    if all(reports):
        compare_reports(a, b)
        return
    if any(reports):
        raise WrongTypeError("only one of a and b is a report: give two reports, or no report.")
    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder:
        places = [
            _run_of(one, name, Path(folder), epochs, steps_per_epoch) for name, one in ((_A, a), (_B, b))
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
        AssertionError: the streams differ, or it is not known whether they do, as where the strategy cannot
            run the source.
        UsageError: the factory makes no source, or its code fails; there is no such strategy.
        WrongTypeError: a `TypeError`: the factory is no callable.
    """
    __tracebackhide__ = True
    _check_callable(_FACTORY, factory)
    from batchaudit.capture.restore import preserved_streams

    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder:
        places = []
        for seed in (1, 2):
            with preserved_streams(seed):
                place = Path(folder) / str(seed)
                places.append(_audited(factory, _FACTORY, place, strategy, epochs, steps_per_epoch))
        _compare(places, f"two sources of one factory give different streams under {strategy}")


def assert_no_split_leak(
    train: Any, val: Any, *, key: Key | None = None, steps_per_epoch: int | None = None
) -> None:
    """Fails where samples of the validation source are in the training source.

    Both are gone over in this process, twice where that is possible. Samples are compared by their ids, or
    else by their contents: then give the sources without their augmentation.

    Args:
        train: what is trained on: a source, a callable that returns a new one, or arrays (x, y).
        val: what is validated on: the same.
        key: given a batch, returns one id a sample: which stored item it came from.
        steps_per_epoch: how many batches to take of a source that has no end.

    Raises:
        AssertionError: samples are in both, or it could not be seen whether any are.
        UsageError: one of them is no source, its code fails, or it has no end.
    """
    __tracebackhide__ = True
    from batchaudit import twice
    from batchaudit.capture.restore import preserved_streams
    from batchaudit.live import Audit

    if train is val and not callable(train):
        raise AssertionError("train and val are the same object: every validation sample is trained on.")
    hints = ""
    with tempfile.TemporaryDirectory(prefix="batchaudit-") as folder, preserved_streams():
        with Audit(folder) as audit:
            for given, name in ((train, "training"), (val, "validation")):
                source = twice.repeatable(given, name)
                watched = audit.wrap(source, name=name, key=key, split=name)
                count, passes = twice.go_over(watched, name, steps_per_epoch)
                if not count:
                    raise AssertionError(f"the {name} source yields no batch: nothing can be compared.")
                if passes == 1:
                    hints += f"; {name} is an iterator with one pass: give a callable that makes it"
        report = audit.report()
    check_seen(report)
    for finding in report.across:
        if finding.cause == _LEAK:
            fail("samples of the validation source are in the training source", report, None, finding)
    verdicts = [one for one in report.across_verdicts if one.cause == _LEAK]
    if not any(one.verdict == "ruled out" for one in verdicts):
        why = "; ".join(one.reason for one in verdicts) or "nothing was seen of one of them"
        fail(f"whether validation samples are trained on could not be seen: {why}{hints}", report)


def _audited(
    source: Any, name: str, folder: Path, strategy: str, epochs: int, steps_per_epoch: int | None
) -> Path:
    """Audits a source into a folder.

    Raises:
        AssertionError: the strategy cannot run it, or it delivers nothing.
        UsageError: it is no source, or its code fails.
    """
    __tracebackhide__ = True
    from batchaudit.auditing import audit

    try:
        report = audit(
            source, [strategy], epochs=epochs, steps_per_epoch=steps_per_epoch, name=name, out=folder,
            probes=False, advise=False,
        )  # fmt: skip
    except JournalError:
        raise AssertionError(
            f"{name} delivered no batch, so nothing can be compared: does it return a new source at each "
            "call?"
        ) from None
    check_seen(report)
    return folder


def _run_of(one: Any, name: str, folder: Path, epochs: int, steps_per_epoch: int | None) -> Path:
    __tracebackhide__ = True
    if isinstance(one, (str, os.PathLike)):
        return Path(one)
    return _audited(one, name, folder / name, "serial", epochs, steps_per_epoch)


def _compare(runs: list[Path], failed: str) -> None:
    __tracebackhide__ = True
    from batchaudit.comparing import compare
    from batchaudit.report.brief import MOST_LINES

    compared = compare(*runs)
    if compared.verdict != "same":
        said = [line for line in str(compared).splitlines() if line and not line.startswith(_KNOWN)]
        raise AssertionError("\n".join([f"{failed}:", *said[: MOST_LINES - 1]]))


def _check_callable(name: str, given: Any) -> None:
    if not callable(given):
        raise WrongTypeError(
            f"{name} is of type {type(given).__name__}: expected a callable that takes nothing and "
            f"returns a new source at each call, such as the function that makes your loader."
        )
