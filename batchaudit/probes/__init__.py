"""Small experiments with a source, for what passive evidence cannot tell; one file each.

A probe's file has `NAME`; `EPOCHS`; `wanted(subject, strategy)`, which says whether it could tell anything
here; and `drive(job, strategy)`, which drives the source as a strategy does, but otherwise: the same index
for every worker, the order reversed, twice the workers. What it logs is in no report; the diagnosis finds it
under the probe's name (`Evidence.probes`). To add a probe, add its file here.

Probes are made in `ba.audit` only, never in a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchaudit.errors import UsageError
from batchaudit.probes import (
    accesses,
    again,
    beyond,
    draws,
    kept,
    orders,
    persistent,
    queue,
    retrace,
    same_index,
    start,
    stored,
    workers_doubled,
)
from batchaudit.probes.subject import Subject as Subject
from batchaudit.probes.subject import concrete as concrete

OF_SOURCE: tuple[Any, ...] = (accesses, draws, retrace, stored, kept, beyond)
"""Made once, whatever the strategies."""

OF_STRATEGY: tuple[Any, ...] = (same_index, orders, persistent, again, workers_doubled, queue, start)
"""Made for each strategy."""

NAMES = tuple(probe.NAME for probe in (*OF_SOURCE, *OF_STRATEGY))


def check(names: bool | Sequence[str]) -> frozenset[str]:
    """Which probes were asked for.

    Args:
        names: True for all, False for none, or the names of some.

    Raises:
        UsageError: there is no such probe.
    """
    if isinstance(names, bool):
        return frozenset(NAMES if names else ())
    named = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in named if name not in NAMES]
    if unknown:
        raise UsageError(f"there is no probe {unknown[0]!r}: expected one of {', '.join(NAMES)}.")
    return frozenset(named)
