"""Which strategy is worth its cost: the simplest of those that are as fast as the fastest, or fast enough."""

from __future__ import annotations

from collections.abc import Sequence

from batchaudit.advice.bounds import LOADER, PROCESSES, THREADS
from batchaudit.advice.model import Option
from batchaudit.analysis.spread import Spread

AS_GOOD = 0.9
"""A strategy that gives this share of the fastest one's rate is as good: the rest is worth no workers."""
_NEAR = 0.75
"""Below this share even spreads that overlap do not make two strategies equal."""
CLEARLY = 1.2
"""How many times as fast a strategy must be for a defect of it to be worth mending."""
STALLED = 0.05
"""A training that waits for data for no more of its time than this does not wait."""

_ORDER = (("serial",), ("as-is",), THREADS, LOADER, PROCESSES)


def simplest(options: Sequence[Option]) -> Option:
    """The one that needs least: no workers, then threads, then processes; fewer before more."""
    return min(options, key=_effort)


def _effort(option: Option) -> tuple[int, int]:
    place = next((number for number, families in enumerate(_ORDER) if option.family in families), len(_ORDER))
    return place, option.workers


def rate(option: Option) -> Spread:
    """Batches a second; of an option that was measured."""
    assert option.timing is not None
    return option.timing.rate


def as_good_as(options: Sequence[Option], fastest: Option) -> list[Option]:
    """Those whose rate is that of the fastest, as far as the measurements tell."""
    top = rate(fastest)
    return [one for one in options if _is_as_good(rate(one), top)]


def _is_as_good(one: Spread, top: Spread) -> bool:
    if one.middle >= AS_GOOD * top.middle:
        return True
    return one.middle >= _NEAR * top.middle and one.high >= top.low


def stalled(option: Option, step_time: float) -> float:
    """Which share of an epoch a training waits for data.

    Without workers, each batch is made between two steps; with workers, while the step before runs.

    Args:
        option: one that was measured.
        step_time: seconds of a step.
    """
    each = 1 / rate(option).middle
    if option.workers == 0:
        return each / (each + step_time)
    return max(0.0, each - step_time) / max(each, step_time)


def choose(options: Sequence[Option], step_time: float | None) -> Option:
    """The strategy to use.

    Args:
        options: those that were measured and are clean, at least one.
        step_time: seconds of a training step; None where it is not known.

    Returns:
        The simplest with which the training does not wait; where there is none, or no step time, the simplest
        of those as fast as the fastest.
    """
    if step_time is not None:
        fit = [one for one in options if stalled(one, step_time) <= STALLED]
        if fit:
            return simplest(fit)
    fastest = max(options, key=lambda one: rate(one).middle)
    return simplest(as_good_as(options, fastest))


def once_mended(options: Sequence[Option], best: Option, step_time: float | None) -> Option | None:
    """A strategy with a defect that would be clearly faster than the best without one.

    Args:
        options: those that were measured and are not clean.
        best: what `choose` gave.
        step_time: seconds of a training step: one that does not wait needs nothing faster.
    """
    if step_time is not None and stalled(best, step_time) <= STALLED:
        return None
    faster = [one for one in options if rate(one).middle >= CLEARLY * rate(best).middle]
    return choose(faster, step_time) if faster else None


def is_uncertain(clean: Sequence[Option], best: Option, step_time: float | None) -> bool:
    """Whether a strategy that was not chosen may be clearly faster, or the chosen one not fast enough.

    Args:
        clean: those that were measured and are clean.
        best: the one that was chosen.
        step_time: seconds of a training step; None where it is not known.
    """
    its = rate(best)
    if step_time is not None and stalled(best, step_time) <= STALLED:
        return best.workers > 0 and its.low < 1 / step_time
    others = [rate(one) for one in clean if one is not best]
    return any(one.middle > its.middle / AS_GOOD and one.low <= its.high for one in others)
