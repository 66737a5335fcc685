"""Measurements made by hand: sources of a known nature, and how fast strategies drive them."""

from __future__ import annotations

from typing import Any

from batchaudit.advice import Costs, Option, Question
from batchaudit.analysis.spread import Spread
from batchaudit.analysis.timing import Timing

MS = 1e-3


def sp(middle: float, off: float = 0.02) -> Spread:
    """A figure whose ends lie a share of it away."""
    return Spread(middle, middle * (1 - off), middle * (1 + off), 20)


def timing(
    make: float, busy: float | None = None, rate: float | None = None, workers: int = 1, **more: Any
) -> Timing:
    """A strategy that makes a batch in `make` seconds, of which its processor is busy for `busy`."""
    rate = 1 / make if rate is None else rate
    more.setdefault("cores", 1.0)
    off = more.pop("off", 0.02)
    return Timing(
        more.pop("clocked", True),
        100,
        workers,
        sp(rate, off),
        sp(make),
        None if busy is None else sp(busy),
        **more,
    )


def option(strategy: str, found: Timing | None, **more: Any) -> Option:
    family, _, workers = strategy.partition(":")
    return Option(strategy, family, more.pop("workers", int(workers or 0)), found, **more)


def costs(
    send: float | None = 1 * MS, together: float | None = None, pair: float | None = 2.0, cores: int = 2
) -> Costs:
    """What a batch costs: as much to send as to receive."""
    return Costs(
        cores,
        None if send is None else 1_000_000,
        None if send is None else sp(send),
        None if send is None else sp(send),
        None if together is None else sp(together),
        None if pair is None else sp(pair),
    )


def question(rates: dict[str, float], make: float, busy: float, its: Costs, **more: Any) -> Question:
    """A source that takes `make` seconds a batch, and what each strategy gave over no workers."""
    causes, fixes = more.pop("causes", {}), more.pop("fixes", {})
    off = more.pop("off", 0.02)
    alone = timing(make, busy, cores=more.pop("threads_used", 1.0), off=off)
    options = [option("serial", alone)]
    for strategy, factor in rates.items():
        found = timing(make, busy, factor / make, off=off)
        options.append(option(strategy, found, causes=causes.get(strategy, ()), fix=fixes.get(strategy, "")))
    return Question("s", more.pop("kind", "indexed"), tuple(options), its, **more)


# What two cores make of sources of a known nature; each as `question` takes it.
WAITS = ({"threads:4": 3.9, "fork:4": 3.6}, 20 * MS, 0.1 * MS, costs(together=2.0))
HOLDS = ({"threads:4": 1.0, "fork:4": 1.9}, 20 * MS, 20 * MS, costs(together=1.0))
RELEASES = ({"threads:4": 1.95, "fork:4": 1.85}, 20 * MS, 20 * MS, costs(together=1.97))
DEAR = ({"threads:4": 1.0, "fork:4": 0.1}, 3 * MS, 3 * MS, costs(send=20 * MS, together=1.0))
TINY = ({"threads:4": 0.4, "fork:4": 0.1}, 0.02 * MS, 0.02 * MS, costs(send=0.03 * MS, together=0.7))
OWN_THREADS = ({"threads:4": 1.0, "fork:4": 1.0}, 20 * MS, 12 * MS, costs(together=1.0))
