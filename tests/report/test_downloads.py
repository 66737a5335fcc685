from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from batchaudit.report import downloads as module
from batchaudit.report.downloads import downloads
from batchaudit.report.html import as_page
from tests.report.plots.made import named
from tests.report.plots.made import report as made


def content(download):
    head, _, data = download.url.partition(",")
    kind = "application/json" if download.name.endswith(".json") else "text/csv"
    assert head == f"data:{kind};charset=utf-8;base64"
    return base64.b64decode(data, validate=True).decode("utf-8")


def test_the_document_is_the_one_that_json_prints(any_report):
    first = downloads(any_report)[0]
    assert first.name == "report.json"
    assert json.loads(content(first)) == json.loads(json.dumps(any_report.to_dict()))


@pytest.mark.parametrize("sick", [True, False])
def test_each_table_is_the_frame(sick):
    ours = made(sick, 2, 30)
    files = {one.name: one for one in downloads(ours)}
    for name in ("epochs", "workers", "coverage", "overlap", "emitted", "batches"):
        frame, one = getattr(ours, name), files[f"{name}.csv"]
        assert one.rows == len(frame)
        # Floats exactly as they were; digests are text.
        text = {key: str for key in frame if key in ("digest", "rng_numpy")}
        read = pd.read_csv(
            io.StringIO(content(one)),
            dtype=text,
            float_precision="round_trip",
            keep_default_na=False,
            na_values=[""],
        )
        assert list(read) == list(frame)
        for key in frame:
            if pd.api.types.is_numeric_dtype(frame[key]):
                left, right = (np.asarray(each[key], float) for each in (read, frame))
                np.testing.assert_array_equal(left, right)
            else:
                assert read[key].fillna("").astype(str).tolist() == frame[key].fillna("").astype(str).tolist()


def test_a_table_without_rows_is_no_file(make_report):
    assert [one.name for one in downloads(make_report("empty"))] == ["report.json"]


def test_a_table_that_is_too_large_is_named_without_its_data(monkeypatch):
    ours = made(True, 2, 30)
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 1_000)
    files = {one.name: one for one in downloads(ours)}
    assert files["batches.csv"].url == ""
    assert files["batches.csv"].rows == 30
    assert files["coverage.csv"].url
    assert not [one.url for one in files.values() if len(one.url) > 1_000 * 1.4 + 100]


def test_a_table_far_too_large_is_not_written_at_all(monkeypatch):
    ours = made(True, 2, 300_000)
    written = []
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda frame, **_: written.append(len(frame)) or "")
    files = {one.name: one for one in downloads(ours)}
    assert len(ours.batches) == 300_000
    assert 300_000 not in written
    assert files["batches.csv"].url == ""


def test_the_page_stays_small_however_long_the_run():
    assert len(as_page(made(True, 64, 300_000))) < 20_000_000


def test_the_page_names_what_is_too_large(monkeypatch):
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 1_000)
    text = as_page(made(True, 2, 30))
    assert "batches.csv" in text
    assert not re.search(r'href=""', text)


@pytest.mark.parametrize("name", ["<script>", '"quoted", and; more', "two\nlines", "\udc80", "=1+1", ""])
def test_names_come_back(name):
    ours = named(name, name)
    (one,) = [one for one in downloads(ours) if one.name == "epochs.csv"]
    read = pd.read_csv(io.StringIO(content(one)), keep_default_na=False)
    assert set(read["source"]) == {name.replace("\udc80", "?")}


def test_what_is_not_known_is_an_empty_cell(make_report):
    ours = replace(make_report("unknown"))
    (one,) = [one for one in downloads(ours) if one.name == "epochs.csv"]
    assert pd.read_csv(io.StringIO(content(one)))["unique"].isna().all()
