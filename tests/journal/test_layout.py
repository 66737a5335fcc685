from __future__ import annotations

import numpy as np
import pytest

from batchaudit.errors import JournalError
from batchaudit.journal import header as headers
from batchaudit.journal import layout
from batchaudit.journal.header import Header, decode_header, encode_header, find_header, header_size
from batchaudit.journal.layout import MAX_TEXT, RECORD, Event, Stage, encode, repaired, seal

KEY = 0x0123456789ABCDEF
FULL = Event(
    Stage.DELIVERED,
    flags=9,
    thread=77,
    epoch=1,
    step=2,
    index=3,
    ticket=2**63 + 5,
    digest_hi=2**64 - 1,
    digest_lo=6,
    nbytes=128,
    began_ns=1_000,
    ended_ns=2_000,
    streams_before=(1, 2, 3, 4, 5),
    streams_after=(6, 7, 8, 9, 2**64 - 1),
    framework_worker=3,
    framework_seed=42,
    samples=np.array([10, 2**64 - 1], np.uint64),
    ids=np.array([-1, 2], np.int64),
    text="é",
)


def record_of(event: Event, seq: int = 4) -> bytes:
    return seal(encode(seq, event), KEY)


def test_record_has_the_bytes_that_version_1_promises():
    # If this fails the format has changed: give it a new FORMAT_VERSION and a line in the page's change list.
    assert headers.FORMAT_VERSION == 1
    assert record_of(FULL).hex() == (
        "ff4241fe" "3684329244d07802"
        "e8000000" "04000000" "01" "01" "0900" "02000000" "02000000" "02000000" "4d00000000000000"
        "0100000000000000" "0200000000000000" "0300000000000000" "0500000000000080"
        "ffffffffffffffff" "0600000000000000" "8000000000000000" "e803000000000000" "d007000000000000"
        "0100000000000000" "0200000000000000" "0300000000000000" "0400000000000000" "0500000000000000"
        "0600000000000000" "0700000000000000" "0800000000000000" "0900000000000000" "ffffffffffffffff"
        "03000000" "2a00000000000000"
        "0a00000000000000" "ffffffffffffffff" "ffffffffffffffff" "0200000000000000" "c3a9000000000000"
    )  # fmt: skip


def test_header_has_the_bytes_that_version_1_promises():
    header = encode_header(Header(KEY, 7, {"run": "r"}))
    assert header.hex() == (
        "ff42414a0d0a1a0a" "01000000" "10000000" "9370c61da788318e" "efcdab8967452301" "07000000" "00000000"
        "7b2272756e223a2272227d2020202020"
    )  # fmt: skip


def test_the_fixed_part_is_what_numpy_reads():
    row = np.frombuffer(record_of(FULL)[: RECORD.itemsize], RECORD)[0]
    for name in ("flags", "thread", "epoch", "step", "index", "ticket", "digest_hi", "digest_lo", "nbytes",
                 "began_ns", "ended_ns", "framework_worker", "framework_seed"):  # fmt: skip
        assert row[name] == getattr(FULL, name), name
    assert tuple(row["streams_before"].tolist()) == FULL.streams_before
    assert tuple(row["streams_after"].tolist()) == FULL.streams_after
    assert (row["kind"], row["seq"], row["sample_count"], row["id_count"]) == (Stage.DELIVERED, 4, 2, 2)


@pytest.mark.parametrize("text", ["", "a", "1234567", "12345678", "é" * 9])
def test_every_record_is_of_whole_words(text: str):
    assert len(record_of(Event(0, text=text))) % 8 == 0
    assert layout.FIXED % 8 == 0


def test_checksum_depends_on_the_key_of_the_file():
    covered = encode(0, FULL)
    assert seal(covered, KEY) != seal(covered, KEY + 1)


def test_streams_are_those_that_capture_reads():
    rng = pytest.importorskip("batchaudit.capture.rng")
    assert tuple(rng.STREAMS) == layout.STREAMS


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a" * (MAX_TEXT + 1), b"a" * MAX_TEXT),
        ("a" + "é" * MAX_TEXT, b"a" + "é".encode() * (MAX_TEXT // 2 - 1)),  # cut between characters
        ("\ud800", b"\\ud800"),
        ("a\0b", b"a\0b"),
    ],
)
def test_text_is_kept_as_bounded_utf8(text: str, kept: bytes):
    assert layout.encode_text(text) == kept


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Event(0, epoch=2**63), Event(0, epoch=-1)),
        (Event(0, epoch=None, framework_seed=None), Event(0)),
        (Event(0, framework_seed=-1), Event(0, framework_seed=2**64 - 1)),
        (Event(0, framework_worker=2**40), Event(0, framework_worker=-1)),
        (Event(0, ticket=2**64 + 1), Event(0, ticket=1)),
        (Event(0, streams_before=(1,)), Event(0, streams_before=(1, 0, 0, 0, 0))),
        (Event(0, streams_before=None), Event(0)),
        (Event(0, text=ValueError("x")), Event(0, text="x")),
        (Event(0, step=2.0), Event(0, step=2)),
    ],
)
def test_what_cannot_be_encoded_is_repaired(event: Event, expected: Event):
    with pytest.raises(Exception):  # noqa: B017  # whatever it is: the writer then takes the repaired one
        encode(0, event)
    assert encode(0, repaired(event)) == encode(0, expected)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint64, ">i8", ">u8"])
def test_ids_of_any_integer_type_are_kept(dtype: str):
    covered = encode(0, Event(0, ids=np.array([1, 2], dtype)))
    assert np.frombuffer(covered[-16:], "<i8").tolist() == [1, 2]


def test_samples_need_not_be_contiguous():
    assert encode(0, Event(0, samples=np.arange(6, dtype=np.uint64)[::2])).endswith(
        np.array([0, 2, 4], "<u8").tobytes()
    )


def test_header_comes_back():
    header = Header(KEY, 2**32 - 1, {"run": "ü\ud800", "rank": 3})
    data = encode_header(header)
    assert decode_header(data) == header
    assert header_size(data + b"more") == len(data)
    assert len(data) % 8 == 0


def test_no_damaged_header_is_taken():
    data = encode_header(Header(KEY, 1, {"run": "r"}))
    for at in range(len(data)):
        assert decode_header(data[:at]) is None
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            assert decode_header(bytes(damaged)) is None


def test_a_copy_stands_in_for_a_damaged_header():
    header = Header(KEY, 1, {"run": "r"})
    copy = seal(layout.encode_header_copy(9, layout.KIND_END, encode_header(header)), KEY)
    data = b"\0" * 50 + copy
    assert find_header(data) == header
    assert header_size(data) == 0


def test_a_newer_version_is_named():
    data = encode_header(Header(KEY, 1, {}), version=2)
    with pytest.raises(JournalError, match=r"version 2, .* reads version 1"):
        decode_header(data)
