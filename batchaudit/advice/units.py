"""How times, sizes and factors are written in the advice: never with more digits than were measured."""

from __future__ import annotations

import numpy as np

_ROUNDS_UP = 999.5
"""What is written as 1000 of a unit is 1.0 of the next."""


def seconds(value: float) -> str:
    """A time, such as 34 ms or 1.2 s."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if value * factor < _ROUNDS_UP:
            return f"{digits(value * factor)} {unit}"
    return f"{digits(value)} s"


def size(value: float) -> str:
    """A size in memory, such as 19 MB."""
    if value < _ROUNDS_UP:
        return f"{value:.0f} bytes"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if value / factor < _ROUNDS_UP:
            return f"{digits(value / factor)} {unit}"
    return f"{digits(value / 1e9)} GB"


def times(value: float) -> str:
    """A factor, such as 1.9×."""
    return f"{digits(value)}×"


def percent(value: float) -> str:
    """A share of 1."""
    if 0 < value < 0.01:
        return "<1 %"
    return f"{100 * value:.0f} %"


def digits(value: float) -> str:
    """A number with two digits, or all of those before its point; one digit below 0.1, and 0 for nothing."""
    if value >= 9.95:
        return f"{value:.0f}"
    if value >= 0.095:
        return f"{value:.1f}"
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")
