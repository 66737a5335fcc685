"""How times, sizes and factors are written in the advice: never with more digits than were measured."""

from __future__ import annotations


def seconds(value: float) -> str:
    """A time, such as 34 ms or 1.2 s."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{digits(value * factor)} {unit}"
    raise AssertionError


def size(value: float) -> str:
    """A size in memory, such as 19 MB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{digits(value / factor)} {unit}"
    return f"{value:.0f} bytes"


def times(value: float) -> str:
    """A factor, such as 1.9×."""
    return f"{value:.0f}×" if value >= 9.95 else f"{value:.1f}×"


def percent(value: float) -> str:
    """A share of 1."""
    if 0 < value < 0.01:
        return "<1 %"
    return f"{100 * value:.0f} %"


def digits(value: float) -> str:
    """A number with two digits, or all of those before its point."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
