"""Records that are taken many at a time, piece by piece, are those that a walk record by record takes."""

from __future__ import annotations

import io
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from batchaudit.journal import scan as scanning
from batchaudit.journal import walk as walking
from batchaudit.journal.header import MAGIC, Header, encode_header
from batchaudit.journal.layout import (
    FIXED,
    HEAD,
    KIND_END,
    KIND_HEADER,
    RECORD,
    SYNC,
    Event,
    encode,
    encode_header_copy,
    seal,
)
from batchaudit.journal.scan import scan, scan_file
from batchaudit.journal.walk import walk

MANY = settings(max_examples=150, deadline=None)
KEY = 0x1122334455667788
HEADER = encode_header(Header(KEY, 7, {"run": "r", "source": "s", "strategy": "t", "host": "h", "pid": 1}))


def record(seq: int, samples: int = 0, ids: int = 0, text: str = "", key: int = KEY) -> bytes:
    values = np.arange(samples, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    numbers = np.arange(ids) + seq if ids else None
    return seal(encode(seq, Event(0, step=seq, samples=values, ids=numbers, text=text)), key)


def one_by_one(data: bytes, position: int, key: int) -> tuple[list[int], int]:
    """The plain walk: at every place, either an undamaged record begins or it does not."""
    found, dropped = [], 0
    while position < len(data):
        sync, checksum, length = (
            HEAD.unpack_from(data, position) if position <= len(data) - 16 else (b"", 0, 0)
        )
        stop = position + 16 + length
        if (
            sync == SYNC
            and length >= FIXED
            and stop <= len(data)
            and xxh3_64_intdigest(data[position + 12 : stop], key) == checksum
        ):
            found.append(position)
            position = stop
        else:
            position += 1
            dropped += 1
    return found, dropped


# Sealed with the file's key, but too short to be a record.
SHORT = seal((96).to_bytes(4, "little") + bytes(96), KEY)

sizes = st.tuples(
    st.sampled_from([0, 0, 1, 4]), st.sampled_from([0, 0, 4]), st.sampled_from(["", "", "hook"])
)
runs = st.builds(lambda size, count: ("run", size, count), sizes, st.integers(1, 40))
alternating = st.builds(lambda a, b, count: ("mix", a, b, count), sizes, sizes, st.integers(1, 12))
stuff = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.sampled_from(
        [SYNC, SYNC * 70, MAGIC * 3, HEADER, record(3, 4, key=KEY + 1), record(9, 2)[:150], SHORT]
    ),
).map(lambda raw: ("raw", raw))
headers = st.sampled_from([("copy", KIND_HEADER), ("copy", KIND_END)])
# A record whose samples are marks, or records: of another file, or of no file at all.
traps = st.sampled_from([SYNC * 10, SYNC * 2 + bytes(8) + SYNC * 20, record(5, 1, key=KEY + 1)]).map(
    lambda raw: ("trap", raw)
)


def built(plan: list[tuple]) -> bytes:
    """The bytes of a file after its header."""
    parts: list[bytes] = []
    seq = 0
    for kind, *about in plan:
        if kind == "raw":
            parts.append(about[0])
            continue
        if kind == "trap":
            raw = about[0] + bytes(-len(about[0]) % 8)
            event = Event(0, step=seq, samples=np.frombuffer(raw, np.uint64))
            parts.append(seal(encode(seq, event), KEY))
            seq += 1
            continue
        if kind == "copy":
            parts.append(seal(encode_header_copy(seq, about[0], HEADER), KEY))
            seq += 1
            continue
        *shapes, count = about
        for shape in [*shapes] * count:
            parts.append(record(seq, *shape))
            seq += 1
    return b"".join(parts)


files = st.lists(runs | runs | alternating | headers | traps | stuff, max_size=8).map(built)
damages = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["flip", "cut", "put"]), st.binary(min_size=1, max_size=40)),
    max_size=6,
)


def damaged(data: bytes, how: list[tuple[float, str, bytes]]) -> bytes:
    for share, kind, block in how:
        at = int(share * len(data))
        if kind == "flip":
            data = data[:at] + block + data[at + len(block) :]
        elif kind == "cut":
            data = data[:at] + data[at + len(block) :]
        else:
            data = data[:at] + block + data[at:]
    return data


@MANY
@given(files, damages, st.integers(0, 9))
def test_the_same_records_as_one_by_one(data, how, position):
    data = damaged(data, how)
    position = min(position, len(data))
    found, dropped = one_by_one(data, position, KEY)
    walked = walk(data, position, len(data), KEY)
    assert walked.offsets.tolist() == found
    assert walked.dropped + len(data) - walked.rest == dropped


@MANY
@given(files, damages, st.sampled_from([8, 64, 211, 512, 4_000]))
def test_the_same_in_pieces_of_any_size(data, how, look):
    data = HEADER + damaged(data, how)
    whole = scan(data)
    with patch.object(scanning, "LOOK", look), patch.object(walking, "LOOK", look):
        pieces = scan(data)
    found, dropped = one_by_one(data, len(HEADER), KEY)
    assert whole.seqs.tolist() == [int.from_bytes(data[at + 16 : at + 20], "little") for at in found]
    assert (pieces.bytes_dropped, whole.bytes_dropped) == (dropped, dropped)
    assert pieces.header == whole.header and pieces.texts == whole.texts
    for name in ("seqs", "kinds", "records", "digests", "ids"):
        assert getattr(pieces, name).tobytes() == getattr(whole, name).tobytes(), name


def test_events_keep_what_hangs_on_them():
    plan = [(4, 4, "a"), (0, 0, ""), (3, 0, "bb"), (0, 2, "")] + [(4, 4, "")] * 40 + [(1, 0, "c")]
    found = scan(HEADER + b"".join(record(seq, *each) for seq, each in enumerate(plan)))
    assert found.records["sample_count"].tolist() == [samples for samples, _, _ in plan]
    expected = [np.arange(samples, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) for samples, _, _ in plan]
    assert found.digests.tolist() == np.concatenate(expected).tolist()
    assert found.ids.tolist() == [n + seq for seq, (_, ids, _) in enumerate(plan) for n in range(ids)]
    assert found.texts == {0: "a", 2: "bb", len(plan) - 1: "c"}


@pytest.mark.parametrize("samples", [0, 3])
def test_every_single_flipped_byte_of_a_run_costs_its_record_and_no_other(samples):
    records = [record(seq, samples) for seq in range(40)]
    size = len(records[0])
    data = b"".join(records)
    for place in range(17 * size, 18 * size):
        broken = bytearray(data)
        broken[place] ^= 0x10
        found = walk(bytes(broken), 0, len(broken), KEY)
        assert found.offsets.tolist() == [size * seq for seq in range(40) if seq != 17]
        assert found.dropped == size


def test_a_run_is_taken_up_again_after_damage():
    data = b"".join(record(seq) for seq in range(2_000))
    size = RECORD.itemsize
    broken = bytearray(data)
    for seq in (100, 101, 900):
        broken[seq * size + 50] ^= 1
    with patch.object(walking, "_record_end", side_effect=walking._record_end) as steps:
        found = walk(bytes(broken), 0, len(broken), KEY)
    assert len(found.offsets) == 1_997
    assert steps.call_count < 20


def test_marks_in_every_record_do_not_make_it_slow():
    trap = np.frombuffer(SYNC * 8, np.uint64)
    data = b"".join(seal(encode(seq, Event(0, samples=trap)), KEY) for seq in range(5_000))
    with patch.object(walking, "_run", side_effect=walking._run) as tries:
        found = walk(data, 0, len(data), KEY)
    assert len(found.offsets) == 5_000
    assert tries.call_count < 50


def test_a_record_longer_than_a_piece_is_read():
    with patch.object(scanning, "LOOK", 1_000), patch.object(walking, "LOOK", 1_000):
        found = scan(HEADER + record(0, 5_000, 5_000) + record(1))
    assert found.records["sample_count"].tolist() == [5_000, 0]
    assert found.bytes_dropped == 0


@pytest.mark.parametrize("claimed", [5_000, 2**32 - 8])
def test_a_length_that_is_a_lie_costs_its_record_and_is_read_no_further_than_the_file(claimed):
    lie = bytearray(record(7))
    lie[12:16] = claimed.to_bytes(4, "little")
    rest = b"".join(record(seq) for seq in range(8, 90))
    with patch.object(scanning, "LOOK", 1_000), patch.object(walking, "LOOK", 1_000):
        found = scan(HEADER + record(6) + bytes(lie) + rest)
    assert found.seqs.tolist() == [6, *range(8, 90)]
    assert found.bytes_dropped == len(lie)


@pytest.mark.parametrize("look", [300, 1 << 20])
def test_a_file_that_is_cut_while_it_is_read_is_as_one_that_was_cut(look):
    data = HEADER + b"".join(record(seq, 2) for seq in range(30))
    short = data[:-700]
    with patch.object(scanning, "LOOK", look):
        found = scan_file(io.BytesIO(short), len(data))
    as_cut = scan(short)
    assert found.seqs.tolist() == as_cut.seqs.tolist() and len(found.seqs) == 26
    assert found.bytes_dropped == as_cut.bytes_dropped > 0


def test_memory_does_not_grow_with_the_file():
    import tracemalloc

    data = HEADER + b"".join(record(seq, 100) for seq in range(20_000))
    kept = 20_000 * (RECORD.itemsize + 8 * 100)
    tracemalloc.start()
    try:
        scan_file(io.BytesIO(data), len(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * kept + 20 * scanning.LOOK
