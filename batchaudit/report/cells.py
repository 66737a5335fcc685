"""How one value is written for a person: safe text, and numbers that never say more than is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from batchaudit.untrusted import shown_line

UNKNOWN = "–"
"""Stands where a value is not known; never a 0, never 100 %."""

_WIDEST = 64


def is_unknown(value: Any) -> bool:
    """Whether a value of a frame is missing."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def count(value: Any) -> str:
    """A whole number with its thousands apart, as in 1,024."""
    return UNKNOWN if is_unknown(value) else f"{int(value):,}"


def ratio(value: Any) -> str:
    """A share of 1 with two digits; only a true 0 is written 0.00 and only a true 1 is written 1.00."""
    if is_unknown(value):
        return UNKNOWN
    text = f"{value:.2f}"
    if text == "0.00" and value > 0:
        return "<0.01"
    return ">0.99" if text == "1.00" and value < 1 else text


def percent(value: Any) -> str:
    """A share of 1 in percent; only a true 0 is written 0 % and only a true 1 is written 100 %."""
    if is_unknown(value):
        return UNKNOWN
    text = f"{100 * value:.0f} %"
    if text == "0 %" and value > 0:
        return "<1 %"
    return ">99 %" if text == "100 %" and value < 1 else text


def span(values: list[Any]) -> str:
    """The range of some whole numbers: 8, or 8 to 9."""
    known = [value for value in values if not is_unknown(value)]
    if not known:
        return UNKNOWN
    low, high = count(min(known)), count(max(known))
    return low if low == high else f"{low} to {high}"


def evidence(value: Any) -> str:
    """A value of a finding's evidence in one short line."""
    text = shown_line(_evidence(value))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _evidence(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_evidence(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(_evidence, value)) or "none"
    if is_unknown(value):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
