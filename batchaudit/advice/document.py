"""The advice as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from batchaudit.advice.model import Advice, Compared, Option, Reason, SourceAdvice
from batchaudit.analysis.spread import Spread
from batchaudit.analysis.timing import Timing


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists; all else as it is.

    Args:
        value: an `Advice`, or any part of one.
    """
    if isinstance(value, Advice):
        return [to_plain(source) for source in value.sources]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [to_plain(inner) for inner in value]
    return value


def from_plain(sources: Sequence[Mapping[str, Any]]) -> Advice:
    """The inverse of `to_plain`.

    Args:
        sources: what it made of an `Advice`.

    Raises:
        KeyError, TypeError: it is something else.
    """
    return Advice(tuple(map(_source, sources)))


def _source(plain: Mapping[str, Any]) -> SourceAdvice:
    reasons = tuple(Reason(**reason) for reason in plain["reasons"])
    compared = tuple(map(_compared, plain["compared"]))
    return SourceAdvice(**{**plain, "reasons": reasons, "compared": compared})


def _compared(plain: Mapping[str, Any]) -> Compared:
    option = plain["option"]
    timing = None if option["timing"] is None else Timing(**_spreads(option["timing"]))
    made = Option(**{**option, "timing": timing, "causes": tuple(option["causes"])})
    return Compared(**{**_spreads(plain), "option": made})


def _spreads(plain: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {field.name for field in fields(Spread)}
    return {
        key: Spread(**value) if isinstance(value, Mapping) and set(value) == kinds else value
        for key, value in plain.items()
    }
