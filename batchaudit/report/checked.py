"""Whether a report that was read from a file is one: its values may be anybody's.

What is shown of a report is computed from its values; here they are made sure to be of the types, and of the
sizes, that those of a report are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from batchaudit.diagnosis.finding import FOUND, NOT_OBSERVABLE, RULED_OUT, SEVERITIES, Finding, Verdict
from batchaudit.untrusted import is_whole

if TYPE_CHECKING:
    from batchaudit.report.model import Report

_LARGEST = 2**63 - 1
_DEEPEST = 16  # of a finding's evidence
_MOST_LANES = 64
"""Of a picture; see analysis/emission.py."""

_TEXTS = ("run", "source", "strategy", "host", "digest", "seed_divergence_note", "by", "unit")
_FLAGS = ("new", "probe", "clocked", "stored")
_ABOVE_ZERO = ("items", "epochs", "lanes", "steps", "count")
_HISTOGRAMS = ("copies", "sample_copies")
_TABLES_OF_EPOCHS = ("epochs", "pooled")
_DTYPES = frozenset(
    ["object", "str", "string", "category", "bool", "boolean"]
    + [f"{kind}{bits}" for kind in ("int", "uint", "Int", "UInt") for bits in (8, 16, 32, 64)]
    + [f"{kind}{bits}" for kind in ("float", "Float") for bits in (32, 64)]
)


def check(report: Report) -> None:
    """Makes sure that all of a report but its frames is what it says it is.

    Raises:
        ValueError: something is not.
    """
    _check(report)
    for run in report.runs:
        for finding in run.findings:
            _check_finding(finding)
        for verdict in run.verdicts:
            _check_verdict(verdict)
    for finding in report.across:
        _check_finding(finding)
    for verdict in report.across_verdicts:
        _check_verdict(verdict)


def _check(one: Any) -> None:
    """Compares the fields of a dataclass, and of those in it, with their annotations."""
    for field in fields(one):
        kind = str(field.type)
        if kind == "pd.DataFrame":
            continue
        value = getattr(one, field.name)
        if not any(_fits(each, value) for each in kind.split(" | ")):
            raise ValueError(f"{field.name} is not {kind}")


def _fits(kind: str, value: Any) -> bool:
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    if kind.startswith("tuple["):
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return isinstance(value, tuple) and all(_fits(inner, one) for one in value)
    if not is_dataclass(value) or type(value).__name__ != kind:
        return False
    _check(value)
    return True


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "None": lambda value: value is None,
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: is_whole(value, -_LARGEST, _LARGEST),
    "float": lambda value: _is_number(value) and math.isfinite(value),
    "dict[str, Any]": lambda value: isinstance(value, dict) and _is_shallow(value, _DEEPEST),
    "Advice": lambda value: all(_fits("SourceAdvice", one) for one in value),
    "Health": lambda value: True,  # it makes sure of itself where it is made
}


def _is_number(value: Any) -> bool:
    return type(value) is float or is_whole(value, -(2**64), 2**64)


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value)
    return value is None or isinstance(value, (str, bool)) or _is_number(value)


def _check_finding(finding: Finding) -> None:
    if finding.severity not in SEVERITIES:
        raise ValueError(f"severity is none of {', '.join(SEVERITIES)}")


def _check_verdict(verdict: Verdict) -> None:
    if verdict.verdict not in (FOUND, RULED_OUT, NOT_OBSERVABLE):
        raise ValueError(f"verdict is none of {FOUND}, {RULED_OUT}, {NOT_OBSERVABLE}")


def check_column(table: str, name: str, dtype: Any, values: list[Any]) -> None:
    """Makes sure that a column of a frame holds what one of that name holds.

    Args:
        table: the frame's name.
        name: the column's; a name that is not known may hold any plain values.
        dtype: its type, as text.
        values: its values.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{table}.{name} is of a type that no report has")
    fits = _of_column(table, name)
    if not all(_is_missing(value) or fits(value) for value in values):
        raise ValueError(f"{table}.{name} holds what no report has there")


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or (type(value) is float and value != value)


def _of_column(table: str, name: str) -> Callable[[Any], bool]:
    if name in _TEXTS or name.startswith("rng_"):
        return _PLAIN["str"]
    if name in _FLAGS or (table, name) == ("emitted", "delivered"):
        return _PLAIN["bool"]
    if name in _HISTOGRAMS and table in _TABLES_OF_EPOCHS:
        return lambda value: (
            isinstance(value, dict)
            and all(_is_number(key) and _is_number(times) for key, times in value.items())
        )
    if name == "lane":
        return lambda value: is_whole(value, 0, _MOST_LANES - 1)
    if name in _ABOVE_ZERO:
        return lambda value: _is_number(value) and value > 0
    if name in _NUMBERS:
        return _is_number
    return lambda value: _is_shallow(value, 1)


_PLAIN_NUMBERS = """
    attempt rank epoch produced probes delivered unique effective_ratio new_unique samples unique_samples
    sample_coverage expected_unique expected_unique_samples changed seconds_waited seed_divergence
    epoch_divergence lockstep workers workers_configured worker pid thread share step index copies nbytes
    seconds batches samples_per_second cores start memory idle stalled local_step first last seen times most
    second
"""
_SPREAD_NUMBERS = "rate make busy waited queued pause hashing"
_NUMBERS = {
    *_PLAIN_NUMBERS.split(),
    *(f"{name}{which}" for name in _SPREAD_NUMBERS.split() for which in ("", "_low", "_high")),
}
