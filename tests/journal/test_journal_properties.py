"""Whatever happens to a file: no exception, no wrong record, and no loss that is not counted."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.journal.header import MAGIC, Header, encode_header
from batchaudit.journal.layout import (
    KIND_END,
    KIND_HEADER,
    SYNC,
    Event,
    Stage,
    encode,
    encode_header_copy,
    seal,
)
from batchaudit.journal.reader import Log, load
from batchaudit.journal.writer import JournalWriter

FEW = settings(max_examples=60, deadline=None)
MORE = settings(max_examples=150, deadline=None)

u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
words = st.lists(u64, max_size=5).map(lambda values: np.array(values, np.uint64))
signed = st.lists(i64, min_size=1, max_size=5).map(lambda values: np.array(values, np.int64))
streams = st.tuples(*[u64] * 5)
events = st.builds(
    Event,
    stage=st.sampled_from(Stage),
    flags=st.integers(0, 31),
    thread=st.integers(0, 2**63 - 1),
    epoch=i64,
    step=i64,
    index=i64,
    ticket=u64,
    digest_hi=u64,
    digest_lo=u64,
    nbytes=st.integers(0, 2**63 - 1),
    began_ns=i64,
    ended_ns=i64,
    streams_before=streams,
    streams_after=streams,
    framework_worker=st.integers(-1, 2**31 - 1),
    framework_seed=u64,
    samples=st.none() | words,
    ids=st.none() | signed,
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)


def told(log: Log) -> list[tuple[object, ...]]:
    """Every event that was read, with all that was said of it, by its number in the file."""
    digests, ids = (
        log.samples.dropna(subset=[name]).groupby("event")[name].apply(list).to_dict()
        for name in ("digest", "id")
    )
    return [
        (
            row["seq"], row["stage"], row["flags"], row["thread"], row["epoch"], row["step"], row["index"],
            0 if row["stage"] == "produced" else row["ticket"], row["digest_hi"], row["digest_lo"],
            row["nbytes"], row["began_ns"], row["ended_ns"], row["framework_worker"], row["framework_seed"],
            tuple(row[f"rng_{s}_before"] for s in ("numpy", "python", "torch", "tensorflow", "private")),
            tuple(row[f"rng_{s}_after"] for s in ("numpy", "python", "torch", "tensorflow", "private")),
            row["text"], tuple(digests.get(label, ())), tuple(ids.get(label, ())),
        )
        for label, row in zip(log.events.index, log.events.to_dict("records"), strict=True)
    ]  # fmt: skip


def meant(seq: int, event: Event) -> tuple[object, ...]:
    return (
        seq, Stage(event.stage).name.lower(), event.flags, event.thread, event.epoch, event.step, event.index,
        0 if event.stage == Stage.PRODUCED else event.ticket, event.digest_hi, event.digest_lo,
        event.nbytes, event.began_ns, event.ended_ns, event.framework_worker, event.framework_seed,
        event.streams_before, event.streams_after, event.text,
        tuple([] if event.samples is None else event.samples.tolist()),
        tuple([] if event.ids is None else event.ids.tolist()),
    )  # fmt: skip


@FEW
@given(st.lists(events, max_size=8))
def test_any_events_come_back_equal(written):
    with tempfile.TemporaryDirectory() as folder:
        writer = JournalWriter(folder, source="s", strategy="t", run="r")
        for event in [*written, Event(Stage.HOOK)]:
            assert writer.append(event)
        writer.close()
        log = load(folder)
    assert sorted(told(log)) == sorted(meant(n, e) for n, e in enumerate([*written, Event(Stage.HOOK)]))
    # The tickets of what was delivered are drawn, too: few name what was produced here.
    assert replace(log.health, unproduced=0).complete and not log.health.files_not_ended
    assert log.events["began_ns"].is_monotonic_increasing


# One undamaged file for all that follows: its texts and samples hold marks and whole records of other files.
KEY = 0x1122334455667788
HEADER = encode_header(Header(KEY, 7, {"run": "r", "source": "s", "strategy": "t", "host": "h", "pid": 1}))
FOREIGN = seal(encode(1, Event(0, step=666)), KEY + 1)
COPY = 4  # the number of the record that holds a copy of the header
WRITTEN = {
    n + (n >= COPY): Event(0, step=n, began_ns=n, text="x" * n, samples=np.frombuffer(inside, np.uint64))
    for n, inside in enumerate([b"", FOREIGN, SYNC * 8, MAGIC * 3, HEADER, b"", b"12345678"])
}
RECORDS = [seal(encode(seq, event), KEY) for seq, event in WRITTEN.items()]
RECORDS.insert(COPY, seal(encode_header_copy(COPY, KIND_HEADER, HEADER), KEY))
RECORDS.append(seal(encode_header_copy(len(RECORDS), KIND_END, HEADER), KEY))
WHOLE = HEADER + b"".join(RECORDS)
BOUNDS = {len(HEADER) + sum(map(len, RECORDS[:n])) for n in range(len(RECORDS) + 1)} | {0}
TRUTH = [meant(seq, event) for seq, event in WRITTEN.items()]

places = st.integers(0, len(WHOLE) - 1)


def read(data: bytes) -> Log:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1.baj").write_bytes(data)
        return load(folder)


def test_the_undamaged_file_is_complete():
    log = read(WHOLE)
    assert told(log) == TRUTH
    assert log.health.complete and log.health.repeats == 0 and not log.health.files_not_ended


@MORE
@given(st.integers(0, len(WHOLE)) | st.sampled_from(sorted(BOUNDS)))
def test_a_cut_keeps_all_before_it_and_is_counted_unless_it_lies_between_records(cut):
    log = read(WHOLE[:cut])
    kept = sum(bound <= cut for bound in BOUNDS if bound > len(HEADER))
    assert len(log.events) == sum(1 for record in RECORDS[:kept] if record[20] < KIND_HEADER)
    assert set(told(log)) <= set(TRUTH)
    assert log.health.complete == (cut in BOUNDS)
    assert bool(log.health.files_not_ended or log.health.files_unreadable) == (cut < len(WHOLE))


@MORE
@given(places, st.integers(0, 7))
def test_a_flipped_bit_costs_one_record_at_most_and_is_counted(place, bit):
    data = bytearray(WHOLE)
    data[place] ^= 1 << bit
    log = read(bytes(data))
    assert len(log.events) >= len(WRITTEN) - 1
    assert set(told(log)) <= set(TRUTH)
    assert not log.health.complete


@MORE
@given(places, st.integers(1, 600))
def test_a_deleted_block_is_counted(place, size):
    log = read(WHOLE[:place] + WHOLE[place + size :])
    assert set(told(log)) <= set(TRUTH)
    ends = min(place + size, len(WHOLE))
    tail_only = ends == len(WHOLE) and place in BOUNDS
    if tail_only:
        assert log.health.complete and log.health.files_not_ended
    else:
        # Only the header may go unnoticed, exactly as a whole: its copies tell all that it told.
        assert not log.health.complete or told(log) == TRUTH


blocks = st.binary(min_size=1, max_size=400) | st.sampled_from([FOREIGN, SYNC, MAGIC, HEADER[:30], SYNC * 40])


@MORE
@given(places, blocks)
def test_an_inserted_block_costs_one_record_at_most_and_is_counted(place, block):
    log = read(WHOLE[:place] + block + WHOLE[place:])
    assert len(log.events) >= len(WRITTEN) - 1
    assert set(told(log)) <= set(TRUTH)
    assert not log.health.complete


@FEW
@given(st.lists(st.sampled_from(range(len(RECORDS))), max_size=12))
def test_records_repeated_or_in_another_order_are_read_once(again):
    data = WHOLE + b"".join(RECORDS[number] for number in again)
    log = read(data)
    assert told(log) == TRUTH
    assert log.health.repeats == len(again) and log.health.complete


@FEW
@given(st.binary(max_size=2_000), st.booleans())
def test_no_bytes_at_all_raise_or_give_an_event(data, with_header):
    log = read((HEADER if with_header else b"") + data)
    assert len(log.events) == 0
    assert log.health.bytes_dropped == len(data)


@MORE
@given(st.lists(st.tuples(places, st.binary(min_size=1, max_size=64)), min_size=1, max_size=10))
def test_many_damages_never_give_a_wrong_record(damages):
    data = bytearray(WHOLE)
    for place, block in damages:
        data[place : place + len(block)] = block
    log = read(bytes(data))
    assert set(told(log)) <= set(TRUTH)
    assert bytes(data) == WHOLE or not log.health.complete
