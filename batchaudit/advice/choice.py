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


def rate(option: Option, step_time: float | None = None) -> Spread:
    """Batches a second that a training gets; of an option that was measured.

    Without workers each batch is made between two steps; with workers, while the step before runs.

    Args:
        option: the strategy.
        step_time: seconds of a training step; None for a consumer that takes no time.
    """
    assert option.timing is not None
    measured = option.timing.rate
    if step_time is None:
        return measured
    ends = (measured.middle, measured.low, measured.high)
    middle, low, high = (_with_steps(option, end, step_time) for end in ends)
    seen = option.timing.stalled
    scale = 1.0 if seen is None else (1 - seen) / step_time / middle
    return Spread(middle * scale, low * scale, high * scale, measured.count)


def _with_steps(option: Option, rate: float, step_time: float) -> float:
    return 1 / (max(1 / rate, step_time) if option.ahead else 1 / rate + step_time)


def stalled(option: Option, step_time: float) -> float:
    """Which share of an epoch a training waits for data: as it was measured, else as the rates have it.

    Args:
        option: one that was measured.
        step_time: seconds of a step.
    """
    assert option.timing is not None
    if option.timing.stalled is not None:
        return option.timing.stalled
    return max(0.0, 1 - step_time * rate(option, step_time).middle)


def as_good_as(options: Sequence[Option], fastest: Option, step_time: float | None = None) -> list[Option]:
    """Those whose rate is that of the fastest, as far as the measurements tell."""
    top = rate(fastest, step_time)
    return [one for one in options if _is_as_good(rate(one, step_time), top)]


def _is_as_good(one: Spread, top: Spread) -> bool:
    if one.middle >= AS_GOOD * top.middle:
        return True
    return one.middle >= _NEAR * top.middle and one.high >= top.low


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
    fastest = max(options, key=lambda one: rate(one, step_time).middle)
    return simplest(as_good_as(options, fastest, step_time))


def once_mended(options: Sequence[Option], best: Option, step_time: float | None) -> Option | None:
    """A strategy with a defect that would be clearly faster than the best without one.

    Args:
        options: those that were measured and are not clean.
        best: what `choose` gave.
        step_time: seconds of a training step: one that does not wait needs nothing faster.
    """
    if step_time is not None and stalled(best, step_time) <= STALLED:
        return None
    least = CLEARLY * rate(best, step_time).middle
    faster = [one for one in options if rate(one, step_time).middle >= least]
    return choose(faster, step_time) if faster else None


def is_uncertain(clean: Sequence[Option], best: Option, step_time: float | None) -> bool:
    """Whether a strategy that was not chosen may be clearly faster, or the chosen one not fast enough.

    Args:
        clean: those that were measured and are clean.
        best: the one that was chosen.
        step_time: seconds of a training step; None where it is not known.
    """
    its = rate(best, step_time)
    if step_time is not None and stalled(best, step_time) <= STALLED:
        return its.low * step_time < 1 - STALLED
    others = [rate(one, step_time) for one in clean if one is not best]
    return any(one.middle > its.middle / AS_GOOD and one.low <= its.high for one in others)
