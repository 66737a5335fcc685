from __future__ import annotations

import json

import pytest

from batchaudit.health import Health, together

DAMAGED = Health(
    2,
    1_234,
    56,
    1,
    7,
    2,
    3,
    4,
    ("a",),
    ("b",),
    ("c", "d"),
    ("no header", "permission denied"),
    ("disk full",),
)


def test_what_is_lost_is_said_with_its_numbers():
    assert DAMAGED.lost == (
        "56 bytes dropped; 1 event missing; 2 events not verified; 3 batches whose making is not in the log; "
        "4 events of workers whose training process is not in the log; c: no header; d: permission denied; disk full"
    )
    assert Health(1, 10).lost == ""


def test_one_line_tells_what_was_read():
    assert Health(1, 1).line == (
        "1 record read, 1 file, 0 bytes dropped, 0 gaps in the sequence, 0 files not ended cleanly"
    )
    assert DAMAGED.line.startswith(
        "1,234 records read, 2 files, 56 bytes dropped, 1 gap in the sequence, 1 file not"
    )


@pytest.mark.parametrize(
    "name", ["bytes_dropped", "gaps", "unverified", "unproduced", "orphaned", "files_unreadable", "failures"]
)
def test_anything_lost_makes_it_incomplete(name):
    lost = ("x",) if name in ("files_unreadable", "failures") else 1
    assert not Health(
        1, 1, **{name: lost}, **({"why_unreadable": ("y",)} if name == "files_unreadable" else {})
    ).complete


def test_repeats_and_files_that_were_not_ended_lose_nothing():
    assert Health(1, 1, repeats=3, files_not_ended=("a",)).complete


def test_counts_are_plain_and_together_they_add_up():
    assert json.loads(json.dumps(DAMAGED.counts))["complete"] is False
    both = together([DAMAGED, Health(1, 2, files_not_ended=("e",))])
    assert (both.records, both.files, both.files_not_ended, both.complete) == (1_236, 3, ("a", "e"), False)
    assert together([]) == Health()
