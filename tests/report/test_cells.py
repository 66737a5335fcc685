from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.report import cells

MISSING = [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT]
SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("write", [cells.count, cells.ratio, cells.percent])
def test_what_is_not_known_is_never_a_number(write, missing):
    assert write(missing) == cells.UNKNOWN


@given(SHARES)
def test_what_is_almost_nothing_or_everything_is_not_written_as_such(share):
    assert cells.ratio(share) not in ("0.00", "1.00")
    assert cells.percent(share) not in ("0 %", "100 %")


@pytest.mark.parametrize(
    ("share", "ratio", "percent"), [(0, "0.00", "0 %"), (0.25, "0.25", "25 %"), (1, "1.00", "100 %")]
)
def test_shares(share, ratio, percent):
    assert (cells.ratio(share), cells.percent(share)) == (ratio, percent)


def test_counts():
    assert cells.count(np.float64(1024.0)) == "1,024"
    assert cells.span([8, 9, float("nan")]) == "8 to 9"
    assert cells.span([8, 8]) == "8"
    assert cells.span([]) == cells.UNKNOWN


@given(st.text(st.characters()))
def test_clean_text_holds_nothing_that_moves_a_terminal(text):
    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    kept = {char for char in cells.clean_line(text) if unicodedata.category(char) in unsafe}
    assert kept <= {"\u200c", "\u200d"}
    assert set(cells.clean(text)) - {"\n", "\u200c", "\u200d"} <= set(cells.clean_line(text)) | {" "}


@given(st.text(st.characters(whitelist_categories=("L", "N", "P", "S"))))
def test_ordinary_text_stays_as_it_is(text):
    assert cells.clean(text) == text


def test_terminal_sequences_go_as_a_whole():
    assert cells.clean("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y \x9b2Jz") == "red xy z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({4: 8, 1: 3}, "4: 8, 1: 3"),
        ([], "none"),
        (True, "yes"),
        (1024, "1,024"),
        (0.123456, "0.1235"),
        (None, cells.UNKNOWN),
        (float("nan"), cells.UNKNOWN),
        ([1, [2, "a\nb"]], "1, 2, a b"),
    ],
)
def test_evidence_in_one_line(value, text):
    assert cells.evidence(value) == text


def test_long_evidence_is_cut():
    assert len(cells.evidence(list(range(100)))) == 64
    assert cells.evidence(list(range(100))).endswith("…")
