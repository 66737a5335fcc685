from __future__ import annotations

import numpy as np
import pytest

from batchaudit.errors import JournalError, UsageError
from batchaudit.journal.layout import LIVE, RECORD, SYNC, WATCHED, Event, Flag, Stage
from batchaudit.journal.reader import load
from batchaudit.journal.scan import scan
from batchaudit.journal.writer import JournalWriter

STEPS = 6


@pytest.fixture
def path(tmp_path):
    writer = JournalWriter(tmp_path, source="s", strategy="t", run="r")
    for step in range(STEPS):
        samples = np.arange(step, dtype=np.uint64)
        ticket = writer.append(Event(0, step=step, began_ns=2 * step, samples=samples, text="ü" * step))
        writer.append(Event(Stage.DELIVERED, step=step, began_ns=2 * step + 1, ticket=ticket))
    writer.close()
    (path,) = tmp_path.glob("*.baj")
    return path


def offsets(data: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(SYNC, at)]


def flip(path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def steps(log) -> list[int]:
    return log.events.loc[log.events["stage"] == "produced", "step"].tolist()


def test_a_whole_log_is_the_same_in_every_mode(path):
    logs = [load(path.parent, mode=mode) for mode in ("strict", "tolerant", "salvage")]
    assert all(log.health.complete and steps(log) == list(range(STEPS)) for log in logs)
    for log in logs[1:]:
        assert log.events.equals(logs[0].events) and log.samples.equals(logs[0].samples)
        assert log.health == logs[0].health


def test_damage_is_refused_counted_or_salvaged(path):
    third = offsets(path.read_bytes())[4]
    flip(path, third + RECORD.fields["nbytes"][1])
    with pytest.raises(JournalError, match="bytes dropped; 1 event missing; 1 batch whose making"):
        load(path.parent, mode="strict")
    tolerant, salvaged = load(path.parent), load(path.parent, mode="salvage")
    assert steps(tolerant) == [0, 1, 3, 4, 5]
    assert (tolerant.health.gaps, tolerant.health.unproduced, tolerant.health.files_damaged) == (
        1, 1, (path.name,),
    )  # fmt: skip
    assert steps(salvaged) == list(range(STEPS))
    assert salvaged.events["flags"].tolist() == [64 if n == 4 else 0 for n in range(2 * STEPS)]
    assert (salvaged.health.unverified, salvaged.health.gaps, salvaged.health.bytes_dropped) == (1, 0, 0)
    assert not tolerant.health.complete and not salvaged.health.complete


def test_a_file_that_lost_its_header_is_salvaged_under_what_its_name_says(path):
    data = path.read_bytes()
    first, last = offsets(data)[0], offsets(data)[-1]
    path.write_bytes(bytes(first) + data[first:last])
    tolerant = load(path.parent)
    assert tolerant.events.empty and tolerant.health.files_unreadable == (path.name,)
    assert "no header in it is whole" in tolerant.health.lost
    salvaged = load(path.parent, mode="salvage")
    assert steps(salvaged) == list(range(STEPS))
    assert set(salvaged.events["flags"]) == {Flag.UNVERIFIED}
    rank, _, pid, _ = path.name.split("-")
    assert (set(salvaged.events["rank"]), set(salvaged.events["pid"])) == ({int(rank)}, {int(pid)})
    assert set(salvaged.events["source"]) == {"unknown source"}


def test_a_clean_cut_before_what_was_delivered_is_told_by_the_delivery(tmp_path):
    writers = [JournalWriter(tmp_path, source="s", strategy="t", run="r") for _ in range(2)]
    tickets = [writers[0].append(Event(0, step=step)) for step in range(3)]
    for ticket in tickets:
        writers[1].append(Event(Stage.DELIVERED, ticket=ticket))
    for writer in writers:
        writer.close()
    made = max(tmp_path.glob("*.baj"), key=lambda path: scan(path.read_bytes()).records["ticket"].sum() == 0)
    data = made.read_bytes()
    made.write_bytes(data[: offsets(data)[1]])
    health = load(tmp_path).health
    assert (health.unproduced, health.bytes_dropped, health.gaps) == (2, 0, 0) and not health.complete


def test_workers_without_their_training_process_are_told(tmp_path):
    training = JournalWriter(tmp_path, source="s", strategy=LIVE, run="r")
    training.append(Event(Stage.HOOK, text=WATCHED))
    (own,) = tmp_path.glob("*.baj")
    worker = JournalWriter(tmp_path, source="s", strategy=LIVE, run="r")
    for step in range(3):
        worker.append(Event(0, step=step))
    worker.close()
    training.close()
    assert load(tmp_path).health.complete
    own.unlink()
    health = load(tmp_path).health
    assert health.orphaned == 3 and not health.complete
    assert "3 events of workers whose training process is not in the log" in health.lost


def test_a_mode_that_is_none_is_refused(path):
    with pytest.raises(UsageError, match="expected one of strict, tolerant, salvage"):
        load(path.parent, mode="lenient")


def test_no_salvaged_record_takes_the_number_of_one_that_verifies(path):
    data = path.read_bytes()
    at = offsets(data)
    doubtful = bytearray(data[at[2] : at[3]])
    doubtful[RECORD.fields["digest_lo"][1]] ^= 1  # a copy of a record, of its number, that is damaged
    path.write_bytes(data[: at[3]] + bytes(doubtful) + data[at[3] :])
    salvaged = load(path.parent, mode="salvage")
    assert len(salvaged.events) == 2 * STEPS and not salvaged.events["flags"].any()
    assert salvaged.health.bytes_dropped == len(doubtful)
