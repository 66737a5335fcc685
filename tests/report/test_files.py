from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from batchaudit.errors import UsageError
from batchaudit.report.files import write
from batchaudit.report.model import Report


def test_a_saved_report_comes_back(any_report, tmp_path):
    path = tmp_path / "report.json"
    any_report.save(path)
    loaded = Report.load(path)
    assert loaded.to_dict() == any_report.to_dict()
    assert str(loaded) == str(any_report)
    for name in ("epochs", "workers", "batches"):
        # What is no text in any encoding cannot come back.
        saved = getattr(any_report, name).replace("\udc80", "\N{REPLACEMENT CHARACTER}", regex=True)
        if len(saved):
            assert_frame_equal(getattr(loaded, name), saved)
        else:
            assert list(getattr(loaded, name)) == list(saved)


def test_the_advice_and_the_times_come_back(make_report, tmp_path):
    report = make_report("advised")
    report.save(tmp_path / "report.json")
    loaded = Report.load(tmp_path / "report.json")
    assert len(report.advice) == 1
    assert loaded.advice == report.advice
    assert_frame_equal(loaded.timing, report.timing)


def test_a_report_of_before_there_was_advice_is_read(make_report, tmp_path):
    path = tmp_path / "report.json"
    make_report("advised").save(path)
    document = json.loads(path.read_text())
    del document["advice"], document["tables"]["timing"]
    path.write_text(json.dumps(document))
    loaded = Report.load(path)
    assert len(loaded.advice) == 0
    assert loaded.timing.empty


@pytest.mark.parametrize("damage", [None, 3, [{}], [{"source": "s"}], "text"])
def test_damaged_advice_is_told(make_report, tmp_path, damage):
    path = tmp_path / "report.json"
    make_report("advised").save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "advice": damage}))
    with pytest.raises(UsageError, match="is damaged"):
        Report.load(path)


def test_every_type_of_column_comes_back(make_report, tmp_path):
    frame = pd.DataFrame(
        {
            "uint64": np.array([2**64 - 1, 0], np.uint64),
            "Int64": pd.array([1, None], "Int64"),
            "float": [0.1, np.nan],
            "infinite": [np.inf, -np.inf],
            "float32": np.array([0.1, 1], np.float32),
            "bool": [True, False],
            "text": ["a", None],
            "dict": pd.Series([{1: 2}, {}], dtype=object),
            "mixed": pd.Series([None, pd.NA], dtype=object),
        }
    )
    path = tmp_path / "report.json"
    replace(make_report("healthy"), batches=frame).save(path)
    loaded = Report.load(path).batches
    assert_frame_equal(loaded, frame)
    assert loaded["mixed"].tolist() == [None, pd.NA]
    assert loaded["dict"].tolist() == [{1: 2}, {}]


def test_a_page_is_saved(make_report, tmp_path):
    make_report("sick").save(tmp_path / "report.HTML")
    assert (tmp_path / "report.HTML").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_another_ending_is_refused(make_report, tmp_path):
    with pytest.raises(UsageError, match=r"must end in \.html, \.json or \.md"):
        make_report("sick").save(tmp_path / "report.pdf")


def test_a_folder_that_does_not_exist_is_an_error(make_report, tmp_path):
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        make_report("sick").save(tmp_path / "none" / "report.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_the_mode_of_a_new_file_is_the_usual_one(tmp_path):
    write(tmp_path / "ours", "x")
    (tmp_path / "usual").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "cannot be read"),
        (b"[1, 2]", "was not written by batchaudit"),
        (b'{"a": 1}', "was not written by batchaudit"),
        (b'{"schema_version": 99}', "has version 99"),
        (b'{"schema_version": 1}', "without the frames"),
        (b'{"schema_version": 1, "tables": {}}', "is damaged"),
    ],
)
def test_a_file_that_is_no_saved_report(tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        Report.load(path)


def test_what_json_prints_is_told_from_a_saved_report(make_report, tmp_path):
    path = tmp_path / "printed.json"
    path.write_text(make_report("sick").to_json())
    with pytest.raises(UsageError, match="what --json prints"):
        Report.load(path)


def test_a_saved_report_is_also_a_document(make_report, tmp_path):
    report = make_report("sick")
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    del saved["tables"]
    assert saved == report.to_dict()


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        Report.load(tmp_path / "none.json")
    with pytest.raises(UsageError, match="is a folder"):
        Report.load(tmp_path)
