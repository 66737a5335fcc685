"""The JSON document: plain values, strict JSON, the same from every face."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from batchaudit.advice import document as advice
from batchaudit.diagnosis.finding import Finding, Verdict
from batchaudit.report.model import SCHEMA_VERSION, Report, Run

_SURROGATE = re.compile("[\ud800-\udfff]")

# What is a whole number even where a missing value has made floats of its column.
_COUNTS = (
    "epoch",
    "produced",
    "probes",
    "delivered",
    "unique",
    "new_unique",
    "samples",
    "unique_samples",
    "expected_unique",
    "expected_unique_samples",
    "lockstep",
    "workers",
    "workers_configured",
    "changed",
)
_EPOCH_KEYS = (
    "epoch",
    "produced",
    "probes",
    "delivered",
    "unique",
    "effective_ratio",
    "new_unique",
    "samples",
    "unique_samples",
    "sample_coverage",
    "seed_divergence",
    "workers",
    "workers_configured",
    "copies",
    "sample_copies",
    "expected_unique",
    "expected_unique_samples",
    "epoch_divergence",
    "lockstep",
    "seed_divergence_note",
    "changed",
    "seconds_waited",
)


def to_dict(report: Report) -> dict[str, Any]:
    """The document of a report.

    Args:
        report: the report.

    Returns:
        Dictionaries, lists, text, numbers, booleans and None only; what is not known is None.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": bool(report.complete),
        "log": plain(report.log.counts),
        "runs": [_run(report, run) for run in report.runs],
        "across": {
            "ranks": plain(report.ranks),
            "missing_ranks": plain(report.missing_ranks),
            "attempts": plain(report.attempts),
            "epochs": _pooled(report),
            "findings": [_finding(finding) for finding in report.across],
            "verdicts": [_verdict(verdict) for verdict in report.across_verdicts],
        },
        "advice": plain(advice.to_plain(report.advice)),
        "notes": plain(report.notes),
    }


def to_json(report: Report) -> str:
    """The document of a report as strict JSON text, ending in a line break."""
    return json.dumps(to_dict(report), indent=2, allow_nan=False) + "\n"


def _run(report: Report, run: Run) -> dict[str, Any]:
    rows = report.epochs_of(run).to_dict("records")
    return {
        "run": plain(run.run),
        "attempt": plain(run.attempt),
        "rank": plain(run.rank),
        "source": plain(run.source),
        "strategy": plain(run.strategy),
        "complete": bool(report.complete) and run.error is None,
        "skipped": plain(run.skipped),
        "error": plain(run.error),
        "workers_configured": plain(run.workers_configured),
        "epochs": [{key: _epoch_value(key, row[key]) for key in _EPOCH_KEYS} for row in rows],
        "timing": _timing(report, run),
        "findings": [_finding(finding) for finding in run.findings],
        "verdicts": [_verdict(verdict) for verdict in run.verdicts],
    }


def _timing(report: Report, run: Run) -> dict[str, Any] | None:
    """How fast the run was; None where too little was seen to say."""
    rows = report.timing_of(run).to_dict("records")
    if not rows:
        return None
    named = ("run", "attempt", "rank", "source", "strategy")
    return {key: _epoch_value(key, value) for key, value in rows[0].items() if key not in named}


def _pooled(report: Report) -> list[dict[str, Any]]:
    """The epochs of what several ranks were given, over all of them."""
    rows = report.pooled.to_dict("records")
    named = ("run", "attempt", "source", "strategy")
    return [
        {key: plain(row[key]) for key in named}
        | {key: _epoch_value(key, row[key]) for key in _EPOCH_KEYS if key in row}
        for row in rows
    ]


def _epoch_value(key: str, value: Any) -> Any:
    value = plain(value)
    return int(value) if key in _COUNTS and isinstance(value, float) else value


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "cause": plain(finding.cause),
        "severity": plain(finding.severity),
        "scope": plain(finding.scope),
        "summary": plain(finding.summary),
        "evidence": plain(finding.evidence),
        "fix": plain(finding.fix),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "cause": plain(verdict.cause),
        "verdict": plain(verdict.verdict),
        "reason": plain(verdict.reason),
    }


def plain(value: Any) -> Any:
    """A value as JSON knows it.

    Args:
        value: a scalar of Python, NumPy or pandas, an array, or mappings and collections of these.

    Returns:
        Its plain form; None where it is missing or not finite; the text of anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_encodable(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return [plain(inner) for inner in sorted(value, key=str)]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else _encodable(str(value))


def _encodable(text: str) -> str:
    # A file name that is no UTF-8 carries lone surrogates, which other readers of JSON refuse.
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
