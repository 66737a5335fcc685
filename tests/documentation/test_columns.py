"""The page of the columns has every column of real frames, with its type, and no other."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

import batchaudit as ba
from tests.diagnosis.in_ranks import trained
from tests.documentation import pages

STATES = {f"rng_{stream}" for stream in ("numpy", "python", "torch", "tensorflow", "private")}


class Drawn:
    """Batches that draw from NumPy's and Python's global streams."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        return np.array([[index, np.random.random(), random.random()]])


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    report = ba.audit(
        Drawn, ["serial", "fork:2"], epochs=2, out=folder, key=lambda batch: batch[:, 0].astype(int)
    )
    return report, ba.load(folder)


@pytest.fixture
def pooled(tmp_path, monkeypatch):
    return trained(tmp_path, monkeypatch, lambda rank, world: Drawn(), epochs=2).pooled


def documented(section):
    """Each column of a section's table, with the type that the page gives it."""
    found = {}
    for columns, types, *_ in pages.rows(section):
        its = types.split(", ")
        named = pages.names(columns)
        found |= dict(zip(named, its * len(named) if len(its) == 1 else its, strict=False))
    return found


def kind_of(column: pd.Series) -> set[str]:
    """The words of the page that fit a real column; a number may be whole, and whole ones may lack some."""
    if pd.api.types.is_bool_dtype(column):
        return {"yes or no"}
    if pd.api.types.is_integer_dtype(column):
        return {"integer", "number"}
    if pd.api.types.is_numeric_dtype(column):
        known = column.dropna()
        return {"number", "integer"} if (known == known.round()).all() else {"number"}
    held = {type(value) for value in column.dropna()}
    return {"histogram"} if held == {dict} else {"text"} if held <= {str} else set()


def check(frame, section):
    said = documented(section)
    real = {str(name) for name in frame.columns}
    assert real == set(said) - (STATES - real)
    assert len(frame)
    assert {name: said[name] for name in real if said[name] not in kind_of(frame[name])} == {}


FRAMES = ("epochs", "workers", "batches", "timing", "emitted", "coverage", "overlap")


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_a_report_has_the_columns_of_its_table(audited, name):
    report, _ = audited
    check(getattr(report, name), pages.sections(pages.page("reference/columns.md"))[f"report.{name}"])


def test_the_figures_over_all_ranks_have_the_columns_of_their_table(pooled):
    check(pooled, pages.sections(pages.page("reference/columns.md"))["report.pooled"])


@pytest.mark.parametrize("name", ["events", "samples"])
def test_a_frame_of_a_log_has_the_columns_of_its_table(audited, name):
    _, log = audited
    check(getattr(log, name), pages.sections(pages.page("reference/columns.md"))[f"log.{name}"])


def test_every_frame_has_a_section():
    fields = {name for name, kind in ba.Report.__annotations__.items() if kind == "pd.DataFrame"}
    headings = pages.sections(pages.page("reference/columns.md"))
    assert {f"report.{name}" for name in fields} == {name for name in headings if name.startswith("report.")}
    assert fields == {*FRAMES, "pooled"}
