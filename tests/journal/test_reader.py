from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from batchaudit.errors import JournalError
from batchaudit.journal.header import Header, encode_header
from batchaudit.journal.layout import KIND_END, STREAMS, Event, Flag, Stage, encode, encode_header_copy, seal
from batchaudit.journal.reader import load
from batchaudit.journal.writer import JournalWriter

FIRST = """
    run attempt source strategy stage host rank worker pid thread epoch step seq index ticket
    digest_hi digest_lo samples nbytes began_ns ended_ns
"""
COLUMNS = [
    *FIRST.split(),
    *(f"rng_{stream}_{when}" for stream in STREAMS for when in ("before", "after")),
    *("framework_worker", "framework_seed", "flags", "text"),
]


def write(folder: Path, *events: Event, **options: object) -> list[int]:
    arguments = {"source": "s", "strategy": "fork:2", "run": "r", **options}
    writer = JournalWriter(folder, **arguments)
    tickets = [writer.append(event) for event in events]
    writer.close()
    return tickets


def forge(folder: Path, name: str, events: list[Event], *, key: int, end: bool = True, **metadata: object):
    """A file as another process of another host would have written it."""
    said = {"run": "r", "source": "s", "strategy": "t", "host": "h", "rank": 0, "pid": 1, **metadata}
    header = encode_header(Header(key, key & 0xFFFFFFFF, said))
    records = [seal(encode(seq, event), key) for seq, event in enumerate(events)]
    if end:
        records.append(seal(encode_header_copy(len(events), KIND_END, header), key))
    (folder / name).write_bytes(header + b"".join(records))


def produced(began: int, thread: int = 1, **fields: object) -> Event:
    return Event(Stage.PRODUCED, began_ns=began, thread=thread, **fields)


def test_an_event_comes_back_in_every_column(tmp_path):
    event = Event(
        Stage.RAISED, Flag.PROBE | Flag.RNG_UNREAD, 5, 1, 2, 3, 2**64 - 1, 2**64 - 2, 7, 8, 9, 10,
        (1, 2, 3, 4, 5), (6, 7, 8, 9, 2**64 - 3), 4, 2**63, np.array([11, 2**64 - 4], np.uint64),
        np.array([-1, 12]), "ValueError: ü",
    )  # fmt: skip
    write(tmp_path, event, attempt=1, rank=2)
    log = load(tmp_path)
    assert list(log.events.columns) == COLUMNS
    assert isinstance(log.events.index, pd.RangeIndex)
    row = log.events.iloc[0].to_dict()
    assert (row["run"], row["attempt"], row["source"], row["strategy"], row["rank"]) == (
        "r",
        1,
        "s",
        "fork:2",
        2,
    )
    assert (row["stage"], row["flags"], row["text"], row["pid"]) == (
        "raised",
        17,
        "ValueError: ü",
        os.getpid(),
    )
    for name in ("thread", "epoch", "step", "index", "ticket", "digest_hi", "digest_lo", "nbytes", "began_ns",
                 "ended_ns", "framework_worker", "framework_seed"):  # fmt: skip
        assert row[name] == getattr(event, name), name
    assert [row[f"rng_{stream}_before"] for stream in STREAMS] == list(event.streams_before)
    assert [row[f"rng_{stream}_after"] for stream in STREAMS] == list(event.streams_after)
    assert log.samples.to_dict("list") == {
        "event": [0, 0], "position": [0, 1], "digest": [11, 2**64 - 4], "id": [-1, 12],
    }  # fmt: skip


def test_column_types(tmp_path):
    write(tmp_path, produced(1, samples=np.array([1], np.uint64)))
    log = load(tmp_path)
    kinds = log.events.dtypes.astype(str).to_dict()
    unsigned = {name for name, kind in kinds.items() if kind == "uint64"}
    rng = {name for name in COLUMNS if name.startswith("rng_")}
    assert unsigned == {"ticket", "digest_hi", "digest_lo", "framework_seed"} | rng
    assert {kinds[name] for name in ("epoch", "step", "index", "worker", "rank", "flags", "samples")} == {
        "int64"
    }
    assert log.samples.dtypes.astype(str).to_dict() == {
        "event": "int64", "position": "int32", "digest": "uint64", "id": "Int64",
    }  # fmt: skip


def test_a_delivered_event_names_the_produced_one(tmp_path):
    (ticket,) = write(tmp_path, produced(1))
    write(tmp_path, Event(Stage.DELIVERED, began_ns=2, ticket=ticket))
    events = load(tmp_path).events
    assert events["stage"].tolist() == ["produced", "delivered"]
    assert events["ticket"].tolist() == [ticket, ticket]


def test_events_are_sorted_by_time_then_file_then_number(tmp_path):
    forge(
        tmp_path,
        "b.baj",
        [produced(5, step=0), produced(1, step=1), produced(5, step=2)],
        key=1,
        started_ns=1,
    )
    forge(tmp_path, "a.baj", [produced(5, step=3), produced(0, step=4)], key=2, started_ns=2)
    assert load(tmp_path).events["step"].tolist() == [4, 1, 0, 2, 3]


def test_samples_follow_their_events_when_those_are_sorted(tmp_path):
    samples = [np.arange(count, dtype=np.uint64) + 10 * count for count in (3, 0, 1, 2)]
    write(tmp_path, *(produced(9 - n, samples=each) for n, each in enumerate(samples)))
    log = load(tmp_path)
    assert log.events["samples"].tolist() == [2, 1, 0, 3]
    found = log.samples.groupby("event")["digest"].apply(list).to_dict()
    assert found == {0: [20, 21], 1: [10], 3: [30, 31, 32]}
    assert log.samples["id"].isna().all()


@pytest.mark.parametrize(
    ("ids", "dtype", "values"),
    [
        ([np.array([-1, 5])], "Int64", [-1, 5]),
        ([np.array([1, 2], np.uint64)], "Int64", [1, 2]),
        ([np.array([2**64 - 1, 2], np.uint64), np.array([3])], "UInt64", [2**64 - 1, 2, 3]),
        ([np.array([2**64 - 1], np.uint64), np.array([-3])], "object", [2**64 - 1, -3]),
    ],
)
def test_ids_keep_their_value(tmp_path, ids, dtype, values):
    write(tmp_path, *(produced(n, samples=np.zeros(len(i), np.uint64), ids=i) for n, i in enumerate(ids)))
    column = load(tmp_path).samples["id"]
    assert (str(column.dtype), column.tolist()) == (dtype, values)


def test_ids_without_digests_are_kept_and_no_digest_is_made_up(tmp_path):
    write(tmp_path, produced(0, samples=np.array([7], np.uint64)), produced(1, ids=np.array([3, 4])))
    samples = load(tmp_path).samples
    assert samples["event"].tolist() == [0, 1, 1]
    assert samples["digest"].isna().tolist() == [False, True, True]
    assert samples["id"].isna().tolist() == [True, False, False]
    assert samples["id"].dropna().tolist() == [3, 4]


def test_workers_are_numbered_by_first_appearance_in_each_source_and_attempt(tmp_path):
    forge(tmp_path, "1.baj", [produced(3, 1), produced(1, 2), produced(4, 2)], key=1)
    forge(tmp_path, "2.baj", [produced(2, 1)], key=2, pid=9)
    forge(tmp_path, "3.baj", [produced(9, 1)], key=3, source="val")
    forge(tmp_path, "4.baj", [produced(10, 1)], key=4, attempt=1)
    forge(
        tmp_path, "5.baj", [produced(11, 1)], key=5, pid=9, process_started=77
    )  # the pid was given out again
    assert load(tmp_path).events["worker"].tolist() == [0, 1, 2, 0, 0, 0, 3]


def test_only_what_produces_is_a_worker(tmp_path):
    events = [
        Event(Stage.HOOK, began_ns=0, thread=1, text="on_epoch_begin"),
        produced(1, 1),
        Event(Stage.DELIVERED, began_ns=2, thread=1),
        Event(Stage.HOOK, began_ns=3, thread=8),
        Event(Stage.RAISED, began_ns=4, thread=1),
    ]
    write(tmp_path, *events)
    log = load(tmp_path)
    assert log.events["worker"].tolist() == [0, 0, -1, -1, 0]
    assert log.events["text"].tolist() == ["on_epoch_begin", "", "", "", ""]


def test_a_file_copied_under_another_name_counts_once(tmp_path):
    write(tmp_path, produced(1), produced(2))
    (path,) = tmp_path.glob("*.baj")
    shutil.copy(path, tmp_path / "copy.baj")
    log = load(tmp_path)
    assert len(log.events) == 2 and log.health.repeats == 3  # two events and the end
    assert log.health.complete and log.health.gaps == 0


def test_copies_fill_each_others_gaps(tmp_path):
    write(tmp_path, produced(1), produced(2), produced(3))
    (path,) = tmp_path.glob("*.baj")
    data = path.read_bytes()
    at = len(data) // 2
    path.write_bytes(data[:at] + b"\0" * 8 + data[at + 8 :])
    assert load(tmp_path).health.gaps == 1
    (tmp_path / "copy.baj").write_bytes(data)
    log = load(tmp_path)
    assert log.health.gaps == 0 and log.events["began_ns"].tolist() == [1, 2, 3]
    assert not log.health.complete  # something was damaged all the same


def test_tickets_of_files_that_drew_the_same_id_are_unknown(tmp_path):
    forge(tmp_path, "1.baj", [produced(1)], key=5)
    forge(tmp_path, "2.baj", [produced(2)], key=5 + 2**32)
    ticket = (5 << 32) + 1
    forge(tmp_path, "3.baj", [produced(3), Event(Stage.DELIVERED, ticket=ticket, began_ns=4)], key=6)
    assert load(tmp_path).events["ticket"].tolist() == [0, 0, (6 << 32) + 1, 0]


def test_a_gap_in_the_numbers_makes_the_log_incomplete(tmp_path):
    write(tmp_path, *(produced(n) for n in range(5)))
    (path,) = tmp_path.glob("*.baj")
    data = path.read_bytes()
    size = len(seal(encode(0, produced(0)), 0))
    start = len(data) - 5 * size
    while not data.startswith(b"\xffBA\xfe", start):  # the end's record is longer than an event's
        start -= 8
    path.write_bytes(data[:start] + data[start + size :])
    health = load(tmp_path).health
    assert health.gaps == 1 and health.bytes_dropped == 0 and not health.complete


def test_a_file_cut_between_records_is_not_ended(tmp_path):
    forge(tmp_path, "1.baj", [produced(1)], key=1, end=False)
    (tmp_path / "2.baj").write_bytes(b"")  # killed before it wrote anything
    health = load(tmp_path).health
    assert health.files_not_ended == ("1.baj", "2.baj") and health.complete


def test_a_file_whose_header_is_lost_is_unreadable_and_others_are_read(tmp_path):
    forge(tmp_path, "1.baj", [produced(1)], key=1)
    (tmp_path / "2.baj").write_bytes(b"not a journal")
    log = load(tmp_path)
    assert len(log.events) == 1
    assert log.health.files_unreadable == ("2.baj",) and log.health.bytes_dropped == 13
    assert not log.health.complete


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path):
    forge(tmp_path, "1.baj", [produced(1)], key=1)
    (tmp_path / "2.baj").mkdir()
    health = load(tmp_path).health
    assert health.files_unreadable == ("2.baj",) and not health.complete
    (tmp_path / "1.baj").unlink()
    with pytest.raises(JournalError, match="can be read"):
        load(tmp_path)


def test_a_mark_of_failed_logging_makes_the_log_incomplete(tmp_path):
    write(tmp_path, produced(1))
    (tmp_path / "x.baj.failed").write_text("OSError: disk full")
    (tmp_path / "y.baj.failed").mkdir()
    health = load(tmp_path).health
    assert health.failures == ("x.baj: OSError: disk full", "y.baj: logging stopped") and not health.complete


def test_an_unknown_version_is_an_error_that_names_it(tmp_path):
    (tmp_path / "1.baj").write_bytes(encode_header(Header(1, 1, {}), version=7))
    with pytest.raises(JournalError, match=r"1\.baj.*version 7"):
        load(tmp_path)


def test_no_folder_and_no_files_are_errors(tmp_path):
    with pytest.raises(JournalError, match="No such file"):
        load(tmp_path / "none")
    with pytest.raises(JournalError, match="no journal file"):
        load(tmp_path)
    (tmp_path / "x.baj.failed").write_text("OSError: disk full")
    with pytest.raises(JournalError, match="disk full"):
        load(tmp_path)


def test_a_run_without_events_gives_frames_of_the_same_columns(tmp_path):
    forge(tmp_path, "1.baj", [], key=1)
    write(tmp_path / "full", produced(1, samples=np.array([1], np.uint64)))
    empty, full = load(tmp_path), load(tmp_path / "full")
    assert len(empty.events) == len(empty.samples) == 0
    assert empty.samples.dtypes.to_dict() == full.samples.dtypes.to_dict()
    plain = [name for name, kind in full.events.dtypes.items() if not isinstance(kind, pd.CategoricalDtype)]
    assert empty.events.dtypes[plain[:-1]].to_dict() == full.events.dtypes[plain[:-1]].to_dict()
    assert list(empty.events.columns) == COLUMNS


def test_counts_that_the_body_cannot_hold_are_refused(tmp_path):
    # A checksum that verifies is no leave to believe a length: no allocation may follow from one.
    forge(tmp_path, "1.baj", [produced(1), produced(2)], key=1)
    covered = bytearray(encode(2, produced(3)))
    covered[12:16] = (2**31).to_bytes(4, "little")  # sample_count
    path = tmp_path / "1.baj"
    path.write_bytes(path.read_bytes() + seal(bytes(covered), 1))
    log = load(tmp_path)
    assert len(log.events) == 2
    assert log.health.bytes_dropped == len(covered) + 12
