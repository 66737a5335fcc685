"""How the corpus' loaders are audited: before a training, inside one, in several ranks, over several attempts."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import batchaudit as ba
from batchaudit import auditing

PATIENCE = 300.0
"""Seconds after which a process that a case has started is given up."""


def audited(make: Any, strategy: str, *, epochs: int = 3, **options: Any) -> ba.Report:
    """`ba.audit` of one strategy.

    Args:
        make: returns a new source.
        strategy: how to drive it.
        epochs: how many epochs.
        **options: of `ba.audit`.
    """
    return ba.audit(make, [strategy], epochs=epochs, advise=False, **options)


def trained(train: Callable[[ba.Audit], None]) -> ba.Report:
    """A live audit of a training in this process.

    Args:
        train: given the audit, wraps its sources and trains.
    """
    with tempfile.TemporaryDirectory() as folder:
        with ba.Audit(folder) as audit:
            train(audit)
        return audit.report()


def in_ranks(world: int, train: Callable[[ba.Audit, int, int], None]) -> ba.Report:
    """A live audit of a training of several ranks, each a process, all in one folder.

    Args:
        world: how many ranks.
        train: module-level; given the audit, the rank and `world`, wraps its sources and trains.
    """
    with tempfile.TemporaryDirectory() as folder:
        _processes([(_rank, (folder, rank, world, train)) for rank in range(world)])
        return auditing.report(folder)


def in_attempts(trains: Sequence[Callable[[ba.Audit], None]]) -> ba.Report:
    """A live audit of a training that is started several times, each time in a new process, in one folder.

    Args:
        trains: module-level, one for each start.
    """
    with tempfile.TemporaryDirectory() as folder:
        for train in trains:
            _processes([(_attempt, (folder, train))])
        return auditing.report(folder)


def _rank(folder: str, rank: int, world: int, train: Callable[[ba.Audit, int, int], None]) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    with ba.Audit(Path(folder)) as audit:
        train(audit, rank, world)


def _attempt(folder: str, train: Callable[[ba.Audit], None]) -> None:
    with ba.Audit(Path(folder)) as audit:
        train(audit)


def _processes(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    context = multiprocessing.get_context("spawn")  # as launchers start ranks: nothing is inherited
    started = [context.Process(target=function, args=args) for function, args in calls]
    try:
        for process in started:
            process.start()
        for process in started:
            process.join(PATIENCE)
        assert [process.exitcode for process in started] == [0] * len(started)
    finally:
        for process in started:
            process.kill()
            process.join()
