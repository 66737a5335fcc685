from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import fields
from pathlib import Path

import pytest

from batchaudit.errors import JournalError
from batchaudit.journal import manifest
from batchaudit.journal.manifest import Asked, Manifest, is_shown, next_attempt, probe, probed, read

MANIFEST = Manifest(0, "loader", "iterator", True, 3, 8, (Asked("serial", 0, None, None, True),))


def test_what_is_written_is_what_is_read(tmp_path):
    whole = MANIFEST.with_strategy(Asked("fork:2", 2, skipped="no: ü", error="a\nb"))
    whole.write(tmp_path)
    assert read(tmp_path) == ({(0, 0): whole}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["manifest-0000.json"]


def test_a_strategy_is_replaced_in_its_place():
    two = MANIFEST.with_strategy(Asked("fork:2", 2))
    done = two.with_strategy(Asked("serial", finished=True, error="x")).with_strategy(
        Asked("fork:2", 2, finished=True)
    )
    assert [(it.strategy, it.finished, it.error) for it in done.strategies] == [
        ("serial", True, "x"),
        ("fork:2", True, None),
    ]


def test_attempts_are_counted(tmp_path):
    assert next_attempt(tmp_path) == 0
    for attempt in (0, 1, 10_000):
        Manifest(attempt, "loader").write(tmp_path)
    assert next_attempt(tmp_path) == 10_001
    assert list(read(tmp_path).of) == [(0, 0), (1, 0), (10_000, 0)]


def test_each_rank_has_attempts_of_its_own(tmp_path):
    Manifest(0, "loader", rank=3).write(tmp_path)
    assert (next_attempt(tmp_path), next_attempt(tmp_path, 3)) == (0, 1)
    assert read(tmp_path).of == {(0, 3): Manifest(0, "loader", rank=3)}


def _claim(folder, barrier, claimed):
    barrier.wait()
    claimed.put(Manifest(0, "loader").claim(folder).attempt)


def test_trainings_that_start_at_once_take_different_attempts(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, claimed = context.Barrier(8), context.Queue()
    starts = [context.Process(target=_claim, args=(tmp_path, barrier, claimed)) for _ in range(8)]
    for start in starts:
        start.start()
    assert sorted(claimed.get(timeout=60) for _ in starts) == list(range(8))
    for start in starts:
        start.join()
    assert list(read(tmp_path).of) == [(attempt, 0) for attempt in range(8)]
    assert len(list(tmp_path.iterdir())) == 8


def test_a_file_system_without_links_has_attempts_too(tmp_path, monkeypatch):
    def no_links(*paths):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    assert [Manifest(0, "loader").claim(tmp_path).attempt for _ in range(3)] == [0, 1, 2]
    assert len(read(tmp_path).of) == 3


def test_a_folder_that_takes_no_file_is_still_counted(tmp_path, monkeypatch):
    Manifest(0, "loader").write(tmp_path)
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    assert Manifest(0, "loader").claim(tmp_path).attempt == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_probe_is_logged_under_a_name_of_its_own():
    assert probed(probe("same-index", "fork:4,seed=3")) == ("same-index", "fork:4,seed=3")
    assert [is_shown(name) for name in ("fork:4", "live", "baseline", probe("orders", "torch:2"))] == [
        True,
        True,
        False,
        False,
    ]


def test_a_folder_without_manifests(tmp_path):
    (tmp_path / "manifest-1.json").write_text("{}")  # no name of ours
    (tmp_path / "manifest-0000.1.tmp").write_text("{")
    assert (read(tmp_path), read(tmp_path / "nowhere"), next_attempt(tmp_path / "nowhere")) == (
        ({}, {}),
        ({}, {}),
        0,
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", '{"version": 1}', "[" * 100_000, "1" * 5_000, "\udcff",
        *(
            json.dumps({"version": 1, "attempt": 0, "source": "s", "strategies": [], **wrong})
            for wrong in (
                {"strategies": [3]}, {"strategies": {}}, {"strategies": [{}]}, {"more": 1}, {"attempt": 10**30},
                {"attempt": 1}, {"rank": 1}, {"rank": -1}, {"source": 5}, {"epochs": "x"}, {"epochs": True},
                {"step_time": float("nan")}, {"step_time": -1}, {"probes": []}, {"probes": {"a": 1}},
                {"strategies": [{"strategy": 5}]}, {"strategies": [{"strategy": "s", "workers": 10**30}]},
                {"candidates": [{"strategy": "s", "skipped": {}}]}, {"version": "x"},
            )
        ),
    ],
)  # fmt: skip
def test_a_damaged_or_forged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest-0000.json").write_text(text, errors="surrogateescape")
    assert [*read(tmp_path).of] == [] and [*read(tmp_path).unreadable] == ["manifest-0000.json"]
    with pytest.raises(JournalError, match=r"manifest-0000\.json"):
        read(tmp_path, "strict")


def test_what_is_read_of_a_manifest_is_checked_field_by_field():
    known = {one.name for kind in (Manifest, Asked) for one in fields(kind)}
    assert known == manifest._CHECKS.keys()


def test_a_manifest_of_another_version_says_so(tmp_path):
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest-0000.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    assert "version 99" in read(tmp_path).unreadable[path.name]
