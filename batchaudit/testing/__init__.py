"""Assertions about loaders, for any test runner: each raises `AssertionError` with what the report says.

They hold where Python leaves assertions out (`python -O`), and need no pytest. What could not be seen fails:
an incomplete log never passes for one without duplicates, nor a strategy that was skipped for one that was
audited.
"""

from __future__ import annotations

from batchaudit.testing.reports import (
    assert_no_findings,
    assert_sample_coverage,
    assert_seeds_diverge,
    assert_unique_batches,
)
from batchaudit.testing.streams import assert_deterministic, assert_no_split_leak, assert_same_stream

__all__ = [
    "assert_deterministic",
    "assert_no_findings",
    "assert_no_split_leak",
    "assert_same_stream",
    "assert_sample_coverage",
    "assert_seeds_diverge",
    "assert_unique_batches",
]
