from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.report import cells
from batchaudit.untrusted import shown, shown_line

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
    kept = {char for char in shown_line(text) if unicodedata.category(char) in unsafe}
    assert kept <= {"\u200c", "\u200d"}
    assert set(shown(text)) - {"\n", "\u200c", "\u200d"} <= set(shown_line(text)) | {" "}


@given(st.text(st.characters(whitelist_categories=("L", "N", "P", "S"))))
def test_ordinary_text_stays_as_it_is(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x \x9b2Jz", r"\x1b]0;title\x07x \x9b2Jz"),
        ("\x1b]8;;u\x1b\\y", r"\x1b]8;;u\x1b\y"),
        ("file\u202egnp.exe \U000e0041", r"file\u202egnp.exe \U000e0041"),
        ("a\rb\x00\ud800\u2028", "a\\x0db\\x00\ufffd\\u2028"),
        ("a\r\nb\tc", "a\nb   c"),
    ],
)
def test_colours_go_and_what_else_moves_a_terminal_can_be_seen(text, said):
    assert shown(text) == said


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
