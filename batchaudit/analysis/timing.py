"""How long batches took to make, to wait for and to come: in an audit's clocked rounds, or in any run.

Requires pandas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.spread import Spread, spread
from batchaudit.analysis.tables import LIVE, Tables, once

_FEWEST_BLOCKS, _BLOCKS, _IN_A_BLOCK = 2, 8, 8
"""Rates are of blocks of batches, for single ones come in bursts: of so many where there are enough."""
_WARM_UP = 2
_FEWEST = 3
_S = 1e-9  # a nanosecond, in seconds


@dataclass(frozen=True)
class Timing:
    """How fast one strategy was. Times are in seconds, all over batches after the warm-up.

    Attributes:
        clocked: whether it was driven for this, with nothing but stopwatches; else the times are of passes in
            which every batch was fingerprinted, and the rates have that in them.
        batches: how many were delivered.
        workers: how many made them.
        rate: batches a second that the consumer got; its ends are those of blocks of batches.
        make: from asking the source for a batch to having it, in the worker.
        busy: processor time of the worker's thread for one batch; None where it was not clocked.
        cores: processor time of the worker's whole process over `make`: above 1 where making a batch runs
            threads of its own; None where it was not clocked, or several workers were in the process.
        waited: from when the consumer asked for a batch to when it had it; None where nobody could see that.
        queued: how many batches lay ready when the consumer took one; None where that is not known.
        start: from starting the workers to the first batch, without what making it took; None: not clocked.
        memory: bytes that a worker process has for itself; None where there is none, or it is not known.
        pause: from the last batch of an epoch to the first of the next; None where no two epochs were seen.
        hashing: fingerprinting one batch, in the consumer, beside the workers at work; None: not clocked.
        stalled: share of its time that a consumer waited which took a step's time for each batch; None where
            that was not tried.
    """

    clocked: bool
    batches: int
    workers: int
    rate: Spread
    make: Spread | None
    busy: Spread | None = None
    cores: float | None = None
    waited: Spread | None = None
    queued: Spread | None = None
    start: float | None = None
    memory: int | None = None
    stalled: float | None = None
    pause: Spread | None = None
    hashing: Spread | None = None

    @property
    def idle(self) -> float | None:
        """Which part of the time in which a batch is made its worker waits: a disk, a network, a sleep.

        With several workers also for a core, or for the interpreter that another one holds.
        """
        if self.busy is None or self.make is None or not self.make.middle:
            return None
        return min(max(0.0, 1 - self.busy.middle / self.make.middle), 1.0)


def clocked(tables: Tables, probe: str) -> Timing | None:
    """What the clocked rounds of a strategy come to.

    Args:
        tables: their events.
        probe: under which name each round was logged (`Tables.told`).

    Returns:
        None where too few batches came to say anything.
    """
    rounds = tables.told(probe)
    seen_of = [(one, part) for one in rounds if (part := _round(tables, one)) is not None]
    parts = [part for one, part in seen_of if not one.get("step_time")]
    if not parts:
        return None
    made = pd.concat([part.made for part in parts])
    figures = made["text"].str.split(" ", n=1, expand=True).reindex(columns=[0, 1])
    figures = figures.apply(pd.to_numeric, errors="coerce") * _S
    took = ((made["ended_ns"] - made["began_ns"]) * _S).to_numpy()
    rate = _overall([part.at for part in parts])
    stalls = [_stalled(part.at, one["step_time"]) for one, part in seen_of if one.get("step_time")]
    if rate is None:
        return None
    processes = made.groupby(["host", "pid"], observed=True, sort=False).ngroup().to_numpy()
    alone = _at_once(made, processes) <= 1
    hashing = [one["hashing"] for one, _ in seen_of if one.get("hashing")]
    known = [one["memory"] for one in rounds if one["memory"]]
    return Timing(
        clocked=True,
        batches=sum(len(part.delivered) for part in parts),
        workers=_at_once(made),
        rate=rate,
        make=spread(took),
        busy=spread(figures[0]),
        cores=float(figures[1].sum() / max(took.sum(), 1e-12)) if alone else None,
        waited=spread(np.concatenate([np.diff(part.at) for part in parts])),
        queued=spread(np.concatenate([part.queued for part in parts])),
        start=min(part.start for part in parts),
        memory=max(known, default=None),
        stalled=stalls[0] if stalls else None,
        pause=spread(np.concatenate([part.pauses for part in parts])),
        hashing=spread(np.array(hashing) * _S),
    )


def _overall(rounds: list[np.ndarray[Any, Any]]) -> Spread | None:
    """Batches a second over all rounds, the time between epochs among it; its ends are those of blocks.

    The median of blocks would hide what happens once an epoch: workers that are started anew.
    """
    taken = sum(float(at[-1] - at[0]) for at in rounds)
    of_blocks = spread(np.concatenate([np.empty(0), *(_rates(at) for at in rounds)]))
    if of_blocks is None or not taken:
        return of_blocks
    middle = sum(len(at) - 1 for at in rounds) / taken
    return Spread(middle, min(of_blocks.low, middle), max(of_blocks.high, middle), of_blocks.count)


def _stalled(at: np.ndarray[Any, Any], step_time: float) -> float:
    """The share of its time that a consumer did not spend on steps."""
    taken = float(at[-1] - at[0])
    return max(0.0, 1 - step_time * (len(at) - 1) / max(taken, 1e-12))


def _at_once(made: pd.DataFrame, where: np.ndarray[Any, Any] | None = None) -> int:
    """How many workers made batches of one epoch, at most: each epoch may have threads of its own.

    Args:
        made: the produced batches.
        where: a number for each; only those of one number and epoch are counted together.
    """
    epoch, worker = made["epoch"].to_numpy(), made["worker"].to_numpy()
    known = (epoch >= 0) & (worker >= 0)
    if not known.any():
        return 0
    columns = (epoch,) if where is None else (epoch, where)
    group, groups = codes.numbered(*(column[known] for column in columns))
    return int(codes.different(group, worker[known], groups).max())


@dataclass(frozen=True)
class _Round:
    """One round: steady batches alone."""

    made: pd.DataFrame
    delivered: pd.DataFrame
    at: np.ndarray[Any, Any]
    pauses: np.ndarray[Any, Any]
    queued: np.ndarray[Any, Any]
    start: float


def _round(tables: Tables, told: Mapping[str, Any]) -> _Round | None:
    """What one round gave: nothing that came before it, or after its end."""
    handed, made = tables.delivered, tables.produced
    handed = handed[(handed["epoch"] >= told["begin"]) & (handed["ended_ns"] <= told["ended"])]
    handed = handed.sort_values("ended_ns")
    made = made[(made["began_ns"] >= told["began"]) & (made["ended_ns"] <= told["ended"])]
    warm_up = min(int(told["warm_up"]), max(0, len(handed) - _FEWEST - 1))
    if len(handed) - warm_up < _FEWEST or made.empty:
        return None
    steady = handed.iloc[warm_up:]
    at = steady["ended_ns"].to_numpy() * _S
    since = handed["ended_ns"].iloc[warm_up]
    later = made[made["ended_ns"] > since]
    first = made.sort_values("ended_ns").iloc[0]
    start = (handed["ended_ns"].iloc[0] - told["began"] - (first["ended_ns"] - first["began_ns"])) * _S
    return _Round(
        later if len(later) >= _FEWEST else made,
        steady,
        at,
        np.diff(at)[np.diff(steady["epoch"].to_numpy()) > 0],
        _queued(made["ended_ns"].to_numpy(), handed["ended_ns"].to_numpy())[warm_up:],
        max(0.0, float(start)),
    )


def _rates(at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Batches a second, of blocks of equally many."""
    steps = len(at) - 1
    blocks = min(max(steps // _IN_A_BLOCK, _FEWEST_BLOCKS), _BLOCKS)
    edges = np.unique(np.linspace(0, steps, blocks + 1).astype(int))
    taken = np.maximum(np.diff(at[edges]), 1e-9)
    rates: np.ndarray[Any, Any] = np.diff(edges) / taken
    return rates


def _queued(made: np.ndarray[Any, Any], handed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many batches lay ready, beside the one taken, when each was handed on."""
    taken = np.arange(1, len(handed) + 1)
    ahead: np.ndarray[Any, Any] = np.maximum(np.searchsorted(np.sort(made), handed) - taken, 0)
    return ahead


@once
def seen(tables: Tables) -> Timing | None:
    """What the events of an ordinary run say: every batch was fingerprinted, so rates have that in them.

    Args:
        tables: the run's events.

    Returns:
        None where too few batches came to say anything.
    """
    handed, made = tables.delivered, tables.produced
    # Columns, not frames: a log may hold millions of events.
    began, ended = handed["began_ns"].to_numpy(), handed["ended_ns"].to_numpy()
    rate = _overall([ended[rows][_WARM_UP:] * _S for rows in _passes(tables)])
    if rate is None:
        return None
    own = ~made["probe"].to_numpy()
    asked, answered = made["began_ns"].to_numpy()[own], made["ended_ns"].to_numpy()[own]
    took = (answered - asked)[answered > asked] * _S
    waited = (ended - began)[ended > began] * _S
    queued = _queued(answered, np.sort(ended)) if (handed["made"].to_numpy() >= 0).any() else np.empty(0)
    return Timing(
        clocked=False,
        batches=len(handed),
        workers=_at_once(made),
        rate=rate,
        make=spread(took[_WARM_UP:]),
        waited=spread(waited),
        queued=spread(queued),
    )


@once
def _passes(tables: Tables) -> list[np.ndarray[Any, Any]]:
    """The rows of each epoch of each consumer, by time; those that are long enough to say anything.

    Between two epochs stands what is no delivery: a validation, the start of new workers.
    """
    handed = tables.delivered
    key, count = codes.numbered(*(handed[name].to_numpy() for name in ("rank", "pid", "epoch")))
    ended = handed["ended_ns"].to_numpy()
    found = []
    for rows in codes.rows_of(key, count):
        if len(rows) >= _WARM_UP + _FEWEST:
            at = ended[rows]
            rises = bool((at[1:] >= at[:-1]).all())
            found.append(rows if rises else rows[np.argsort(at, kind="stable")])
    return sorted(found, key=lambda rows: int(rows.min()))


@dataclass(frozen=True)
class Steps:
    """What a program of the user's own did with the batches it asked for.

    Attributes:
        step: seconds from having a batch to asking for the next.
        stalled: which share of the time of its epochs it waited for data.
    """

    step: Spread
    stalled: float


@once
def steps(tables: Tables) -> Steps | None:
    """How long a watched training took for a step, and how much of its time it waited for data.

    Args:
        tables: the events of one live run.

    Returns:
        None where it was not seen when a batch was asked for.
    """
    handed = tables.delivered
    if handed.empty or not (handed["strategy"] == LIVE).all():
        return None
    began, ended = handed["began_ns"].to_numpy() * _S, handed["ended_ns"].to_numpy() * _S
    passes = _passes(tables)
    # Before the first batch of an epoch there was the epoch's beginning.
    taken = np.concatenate([np.empty(0), *(began[rows][1:] - ended[rows][:-1] for rows in passes)])
    waited = sum(float((ended[rows] - began[rows])[1:].sum()) for rows in passes)
    taken = taken[taken >= 0]
    step = spread(taken)
    if step is None or not (ended > began).any():
        return None
    return Steps(step, waited / max(waited + float(taken.sum()), 1e-12))
