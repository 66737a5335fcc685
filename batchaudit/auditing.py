"""`audit()`: drives fresh sources under each strategy before any training, and says what it saw."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batchaudit import sources, strategies
from batchaudit.auditor import Auditor, Progress
from batchaudit.capture.ids import Key
from batchaudit.capture.provenance import place
from batchaudit.capture.restore import preserved_streams
from batchaudit.errors import UsageError
from batchaudit.journal.keeping import Keeping
from batchaudit.journal.manifest import Asked, Manifest
from batchaudit.measuring import measure
from batchaudit.probes import check
from batchaudit.strategies import Strategy
from batchaudit.strategies.spec import several
from batchaudit.target import Target

if TYPE_CHECKING:
    from batchaudit.report.model import Report

DEFAULT_STRATEGIES = ("serial", "threads:4", "fork:4")


def audit(
    source: Any,
    strategies: str | Sequence[str] | None = None,
    *,
    epochs: int = 3,
    steps_per_epoch: int | None = None,
    key: Key | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    timeout: float = 120.0,
    probes: bool | Sequence[str] = True,
    probe_seconds: float = 60.0,
    advise: bool | None = None,
    step_time: float | str | os.PathLike[str] | Report | None = None,
    max_bytes: int | None = None,
    key_file: str | os.PathLike[str] | None = None,
    on_progress: Progress | None = None,
) -> Report:
    """Audits what feeds a training, before the training.

    Every strategy gets a new source and starts from the same states of the global random streams, which
    are given back at the end. Besides the strategies, three serial passes are driven: whether they agree
    decides what may be called a defect.

    Args:
        source: a callable that takes nothing and returns a new source (best), or a source.
        strategies: such as `["serial", "threads:4", "fork:4", "keras-processes:4"]`, or "serial fork:4"; by
            default the source's own worker settings where it has some, else serial, threads:4 and fork:4.
        epochs: how many epochs to drive.
        steps_per_epoch: how many batches make an epoch; needed where the source is endless.
        key: given a batch, returns one id a sample: which stored item it came from.
        name: what to call the source; by default the name of the callable, or of the source's type.
        out: a folder for the log; by default it is not kept.
        timeout: seconds without a batch after which workers are given up.
        probes: small experiments for what the strategies alone do not show, such as the same index for every
            worker: True for those that can tell anything here, False for none, or the names of some.
        probe_seconds: how long they may take, all together.
        advise: whether to time the strategies once they are audited, a few seconds each, so that
            `Report.advice` can say which is worth its cost. None for those that were asked for; True for
            those and all others that could drive the source, which are audited too; False for no timing.
        step_time: seconds that a training step takes: tells whether the training waits for its data. Or a
            watched training that shows it: its report, or its folder.
        max_bytes: how many bytes the log may have, from 65,536 on; None for no limit. See `Audit`.
        key_file: a file of at least 16 random bytes, with which all that comes from the batches' content is
            keyed in the log. See `Audit`.
        on_progress: told (strategy, epoch, step) of every delivered batch.

    Returns:
        The report.

    Raises:
        UsageError: what was given cannot be audited; the message says why and what to do.
    """
    _check_counts(epochs, steps_per_epoch, timeout, probe_seconds)
    asked_probes = check(probes)
    keeping = Keeping.of(max_bytes, key_file)
    step = _step_time(step_time)
    texts = several(strategies) if isinstance(strategies, str) else strategies
    asked = [_strategy(text) for text in texts] if texts is not None else None
    if asked == []:
        raise UsageError("no strategy was given: name at least one, such as 'serial'.")
    target = Target.of(source, name)
    rank = place().rank
    with _folder(out) as folder, preserved_streams():
        kind = sources.kind_of(target.new())
        if kind is sources.Kind.ITERATOR:
            target.check_renewable()
        asked = asked or _defaults(target.last)
        workers = sources.workers_of(target.last)
        manifest = Manifest(
            0,
            target.name,
            kind.value,
            target.renewable,
            epochs,
            steps_per_epoch,
            tuple(Asked(str(s), workers if s.family == "as-is" else s.workers) for s in asked),
            rank=rank,
            step_time=step,
        ).claim(folder)
        auditor = Auditor(
            target, manifest, folder, key, timeout, on_progress, asked_probes, probe_seconds, keeping
        )
        auditor.baseline()
        auditor.probe_source()
        for strategy in asked:
            auditor.run(strategy)
        if advise is not False:
            measure(auditor, asked, wide=bool(advise))
        # Other ranks may still be at it: what lies between them is in `batchaudit report`.
        return _report_of(auditor.manifest, folder)


def _report_of(manifest: Manifest, folder: Path) -> Report:
    """The report of an audit that has just been made: what exceptions said is known only here."""
    from batchaudit.reporting import build  # pandas is loaded only now, after the workers have gone

    return build(folder, manifest.attempt, rank=manifest.rank, said=manifest)


def _step_time(given: float | str | os.PathLike[str] | Report | None) -> float | None:
    """Seconds of a training step, as they were given or as a watched training shows them."""
    if given is None:
        return None
    if isinstance(given, (int, float, np.integer, np.floating)):
        if not 0 < given < math.inf:
            raise UsageError(f"step_time={given}: a number of seconds above 0 is needed.")
        return float(given)
    watched = report(given) if isinstance(given, (str, os.PathLike)) else given
    shown = watched.timing
    shown = shown[shown["step"].notna()] if "step" in shown else shown[:0]
    if shown.empty:
        raise UsageError(
            "step_time: this report is of no watched training that shows what a step takes: give seconds, or "
            "the run of a ba.Audit around fit()."
        )
    # A program's training has more batches than its validation.
    return float(shown.sort_values("batches")["step"].iloc[-1])


def report(
    folder: str | os.PathLike[str],
    *,
    attempt: int | None = None,
    rank: int | None = None,
    mode: str = "tolerant",
) -> Report:
    """Reads a run's folder and diagnoses it.

    Args:
        folder: the run's folder.
        attempt: which attempt; by default all of them.
        rank: which training process; by default all of them.
        mode: how the log is read: "strict", "tolerant" or "salvage"; see `load`.

    Returns:
        The report.

    Raises:
        JournalError: there is no log there, or it cannot be read; in mode "strict" also one that is not
            complete.
        UsageError: another mode.
    """
    from batchaudit.reporting import build

    return build(Path(folder), attempt, rank=rank, mode=mode)


def report_together(folders: Sequence[str | os.PathLike[str]], *, mode: str = "tolerant") -> Report | None:
    """Reads a run of which each rank has logged to a folder of its own, and diagnoses it.

    Args:
        folders: the ranks' folders.
        mode: how the logs are read, as in `report`.

    Returns:
        The report; None where they are no such folders.

    Raises:
        JournalError: there is no log in one of them, or it cannot be read.
    """
    from batchaudit.reporting import build_together

    return build_together([Path(folder) for folder in folders], mode)


def report_of(*folders: str | os.PathLike[str], mode: str = "tolerant") -> Report:
    """Reads a kept run, or one of which each rank has logged to a folder of its own, and diagnoses it.

    Args:
        *folders: the run's folder: of `Audit`, of `audit(out=)`, of `batchaudit run`; or the ranks' folders.
        mode: how the log is read. "tolerant" takes every record that verifies, and says what is missing;
            "strict" refuses a log of which anything is missing or damaged; "salvage" also takes records whose
            checksum does not verify: what is found may then rest on wrong ones.

    Returns:
        The report.

    Raises:
        JournalError: there is no log in one of them, or it cannot be read; in mode "strict" also one that is
            not complete.
        UsageError: several folders that are not the ranks of one training; another mode.
    """
    if len(folders) == 1:
        return report(folders[0], mode=mode)
    together = report_together(folders, mode=mode) if folders else None
    if together is None:
        raise UsageError("these are not the ranks of one training: ask for the report of each by itself.")
    return together


def _check_counts(epochs: int, steps_per_epoch: int | None, timeout: float, probe_seconds: float) -> None:
    if epochs < 1:
        raise UsageError(f"epochs={epochs}: at least 1 epoch is needed.")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise UsageError(f"steps_per_epoch={steps_per_epoch}: at least 1 is needed, or None.")
    if timeout <= 0:
        raise UsageError(f"timeout={timeout}: a number of seconds above 0 is needed.")
    if probe_seconds < 0:
        raise UsageError(f"probe_seconds={probe_seconds}: a number of seconds from 0 on is needed.")


def _strategy(text: str) -> Strategy:
    strategy = strategies.parse(text)
    strategies.require(strategy)
    return strategy


def _defaults(source: Any) -> list[Strategy]:
    settings = ("use_multiprocessing", "num_workers")  # a PyDataset, a DataLoader
    own = any(hasattr(source, name) for name in settings) or sources.kind_of(source) is sources.Kind.DATASET
    return [strategies.parse(text) for text in (("as-is",) if own else DEFAULT_STRATEGIES)]


@contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is None:
        temporary = tempfile.mkdtemp(prefix="batchaudit-")
        try:
            yield Path(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be written: {error.strerror or error}.") from None
    yield folder
