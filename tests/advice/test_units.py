"""Times, sizes and factors never say more than was measured, and never that there is nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.advice.units import digits, percent, seconds, size, times

POSITIVE = st.floats(1e-9, 1e9)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (34.2e-3, "34 ms"), (1.23, "1.2 s"), (120, "120 s"), (0.00347, "3.5 ms"), (7.7e-6, "7.7 µs"),
        (1e-3, "1.0 ms"), (999.4e-3, "999 ms"), (0, "0 µs"), (0.9999, "1.0 s"), (0.99999e-3, "1.0 ms"),
    ],
)  # fmt: skip
def test_times(value, written):
    assert seconds(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(19_267_584, "19 MB"), (1.5e9, "1.5 GB"), (2048, "2.0 kB"), (128, "128 bytes"), (999_999, "1.0 MB")],
)
def test_sizes(value, written):
    assert size(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.94, "1.9×"), (2.0, "2.0×"), (12.3, "12×"), (9.96, "10×"), (0.1, "0.1×"), (0.034, "0.03×")],
)
def test_factors(value, written):
    assert times(value) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0, "0 %"), (0.001, "<1 %"), (0.01, "1 %"), (0.376, "38 %"), (1.0, "100 %")]
)
def test_shares(value, written):
    assert percent(value) == written


def significant(written: str) -> str:
    """The digits of a number that say something, without those that only give its size."""
    return re.sub(r"\D", "", written).lstrip("0")


@given(POSITIVE)
def test_a_number_has_two_digits_or_those_before_its_point(value):
    written = digits(value)
    assert "e" not in written
    assert len(significant(written)) <= 2 or "." not in written


@given(POSITIVE)
def test_a_number_is_what_it_stands_for(value):
    assert float(digits(value)) == pytest.approx(value, rel=0.5)
    assert float(digits(value)) > 0


@given(st.floats(1e-6, 900))
def test_a_time_can_be_read_back(value):
    number, unit = seconds(value).split()
    assert float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(value, rel=0.06)
    assert float(number) < 1000


@given(st.floats(1, 1e11))
def test_a_size_can_be_read_back(value):
    number, unit = size(value).split()
    factor = {"GB": 1e9, "MB": 1e6, "kB": 1e3, "bytes": 1}[unit]
    assert float(number) * factor == pytest.approx(value, rel=0.06, abs=0.5)
    assert float(number) < 1000
