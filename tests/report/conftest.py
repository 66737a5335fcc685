"""Fixtures over the reports of hand_made.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchaudit.report.model import Report
from tests.report.hand_made import REPORTS


@pytest.fixture(params=REPORTS)
def any_report(request: pytest.FixtureRequest) -> Report:
    return REPORTS[request.param]()


@pytest.fixture
def make_report() -> Callable[[str], Report]:
    return lambda name: REPORTS[name]()
