"""What an event is, and the bytes of its record: see docs/reference/journal-format.md.

Requires numpy and xxhash. Everything here is pure: bytes in, bytes out; no file is touched. The
writer and the scanner share these definitions, so there is one place where the format is said.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

SUFFIX = ".baj"
FAILED_SUFFIX = ".failed"

# The random streams whose states a record holds, in the order of its words (that of capture.rng.STREAMS).
STREAMS = ("numpy", "python", "torch", "tensorflow", "private")

# 0xFF occurs nowhere in UTF-8: no text of the user's can hold the mark.
SYNC = b"\xffBA\xfe"

# Kinds of record beside the stages of an event: both carry a copy of the file's header, so that a file whose
# first page is lost can still be read.
KIND_HEADER = 254
KIND_END = 255

LIVE = "live"
"""The strategy of a source that the user's own program drives."""
WATCHED = "watched"
"""The text of the hook with which such a source begins, so that one of which nothing is seen is known."""

MAX_TEXT = 32_768  # bytes of UTF-8 that a record keeps of a text; messages can hold whole arrays


class Stage(IntEnum):
    """What an event tells of."""

    PRODUCED = 0
    DELIVERED = 1
    HOOK = 2
    RAISED = 3


class Flag(IntFlag):
    """What is particular about an event; several may hold."""

    PROBE = 1
    REPLAYED = 2
    UNHASHABLE = 4
    NO_SAMPLES = 8
    RNG_UNREAD = 16
    CONSUMED = 32
    UNVERIFIED = 64
    """No writer sets it: a reader does, in mode "salvage", where the record's checksum does not verify."""


class Event(NamedTuple):
    """One observation, as the recorder hands it to the writer.

    Times are nanoseconds of a clock that the processes of one host share; -1 means unknown for
    epoch, step, index and framework_worker, 0 for ticket and for the state of a stream.

    Attributes:
        stage: where the batch was seen, or what else happened.
        flags: what is particular about it.
        thread: the native id of the thread.
        epoch: the epoch that this process believes in.
        step: the step within it.
        index: the index that was asked for, where the source is indexed.
        ticket: for a delivered event, that of the produced event it came from.
        digest_hi: upper half of the batch's XXH3-128.
        digest_lo: lower half.
        nbytes: bytes of content that were hashed.
        began_ns: when the source was asked.
        ended_ns: when it had answered.
        streams_before: a state of each of STREAMS before, unsigned 64 bits.
        streams_after: the same after.
        framework_worker: the worker's number where its framework tells it.
        framework_seed: its seed where its framework tells it.
        samples: uint64, shape (n,): a digest of each sample.
        ids: int64 or uint64, shape (n,): which stored items the samples came from.
        text: the hook's name, or "TypeName: message" of what was raised.
    """

    stage: int
    flags: int = 0
    thread: int = 0
    epoch: int = -1
    step: int = -1
    index: int = -1  # type: ignore[assignment]  # hides tuple.index, which nobody asks of an event
    ticket: int = 0
    digest_hi: int = 0
    digest_lo: int = 0
    nbytes: int = 0
    began_ns: int = 0
    ended_ns: int = 0
    streams_before: tuple[int, ...] = (0,) * len(STREAMS)
    streams_after: tuple[int, ...] = (0,) * len(STREAMS)
    framework_worker: int = -1
    framework_seed: int = 0
    samples: np.ndarray[Any, Any] | None = None
    ids: np.ndarray[Any, Any] | None = None
    text: str = ""


class IdKind(IntEnum):
    """How the ids of a record are to be read."""

    NONE = 0
    SIGNED = 1
    UNSIGNED = 2


# One record: mark, checksum, then what the checksum covers: the length of the body and the body,
# whose fixed part is followed by 8 * sample_count, 8 * id_count and text_bytes bytes, the last padded
# with zeros to 8. Every record is a multiple of 8 bytes long, so that an undamaged file is one
# aligned array of words.
PREFIX = Struct("<4sQ")
HEAD = Struct("<4sQI")
COVERED = Struct("<IIBBHIIIQqqqQQQQqq5Q5QiQ")
RECORD = np.dtype(
    [
        ("sync", "S4"),
        ("checksum", "<u8"),
        ("length", "<u4"),
        ("seq", "<u4"),
        ("kind", "u1"),
        ("id_kind", "u1"),
        ("flags", "<u2"),
        ("sample_count", "<u4"),
        ("id_count", "<u4"),
        ("text_bytes", "<u4"),
        ("thread", "<u8"),
        ("epoch", "<i8"),
        ("step", "<i8"),
        ("index", "<i8"),
        ("ticket", "<u8"),
        ("digest_hi", "<u8"),
        ("digest_lo", "<u8"),
        ("nbytes", "<u8"),
        ("began_ns", "<i8"),
        ("ended_ns", "<i8"),
        ("streams_before", "<u8", (len(STREAMS),)),
        ("streams_after", "<u8", (len(STREAMS),)),
        ("framework_worker", "<i4"),
        ("framework_seed", "<u8"),
    ]
)
FIXED = COVERED.size - 4  # bytes of the body that every record has

_U64 = np.dtype("<u8")
_I64 = np.dtype("<i8")
_NO_STREAMS = (0,) * len(STREAMS)
_pack = COVERED.pack
_prefix = PREFIX.pack


def encode(seq: int, event: Event) -> bytes:
    """The part of an event's record that its checksum covers.

    Raises:
        Exception: a field is not of its type or out of its range; `repaired` makes one that can be encoded.
    """
    (
        stage, flags, thread, epoch, step, index, ticket, digest_hi, digest_lo, nbytes, began_ns, ended_ns,
        before, after, framework_worker, framework_seed, samples, ids, text,
    ) = event  # fmt: skip
    tail = b""
    sample_count = id_count = text_bytes = 0
    id_kind = 0
    if samples is not None:
        if samples.dtype is not _U64:
            samples = samples.astype(_U64, casting="safe")
        tail = samples.tobytes()
        sample_count = len(tail) >> 3
    if ids is not None:
        id_kind, raw = _encode_ids(ids)
        id_count = len(raw) >> 3
        tail += raw
    if text:
        raw = encode_text(text)
        text_bytes = len(raw)
        tail += raw + bytes(-text_bytes & 7)
    # One by one: unpacking them into the call would take a tenth of the time that a record takes.
    numpy, python, torch, tensorflow, private = before
    numpy_after, python_after, torch_after, tensorflow_after, private_after = after
    fixed = _pack(
        FIXED + len(tail), seq, stage, id_kind, flags, sample_count, id_count, text_bytes, thread,
        epoch, step, index, ticket, digest_hi, digest_lo, nbytes, began_ns, ended_ns,
        numpy, python, torch, tensorflow, private,
        numpy_after, python_after, torch_after, tensorflow_after, private_after,
        framework_worker, framework_seed,
    )  # fmt: skip
    return fixed + tail


def seal(covered: bytes, key: int) -> bytes:
    """The whole record: the mark and the checksum, keyed by the file, before what it covers."""
    return _prefix(SYNC, xxh3_64_intdigest(covered, key)) + covered


def encode_header_copy(seq: int, kind: int, header: bytes) -> bytes:
    """The covered part of a record of `kind` KIND_HEADER or KIND_END, which carries the file's header."""
    padded = header + bytes(-len(header) & 7)
    blank = (-1, -1, -1, 0, 0, 0, 0, 0, 0, *_NO_STREAMS, *_NO_STREAMS, -1, 0)
    return _pack(FIXED + len(padded), seq, kind, 0, 0, 0, 0, len(header), 0, *blank) + padded


def encode_text(text: str) -> bytes:
    """At most MAX_TEXT bytes of valid UTF-8, lone surrogates escaped, cut between characters."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raw = text.encode(errors="backslashreplace")
    if len(raw) > MAX_TEXT:
        raw = raw[:MAX_TEXT].decode(errors="ignore").encode()
    return raw


def _encode_ids(ids: np.ndarray[Any, Any]) -> tuple[int, bytes]:
    if ids.dtype is _I64:
        return IdKind.SIGNED, ids.tobytes()
    if ids.dtype.kind == "u" and ids.dtype.itemsize == 8:
        return IdKind.UNSIGNED, ids.astype(_U64).tobytes()
    return IdKind.SIGNED, ids.astype(_I64, casting="safe").tobytes()


def repaired(event: Event) -> Event:
    """An event that can be encoded, for one with a field out of its range: unknown where it cannot be kept.

    Raises:
        Exception: it holds something that is no number or array at all.
    """
    counts = {name: int(getattr(event, name) or 0) & (2**64 - 1) for name in _UNSIGNED}
    numbers = {name: _signed(getattr(event, name), bits) for name, bits in _SIGNED.items()}
    return Event(
        int(event.stage) & 0xFF,
        int(event.flags or 0) & 0xFFFF,
        streams_before=_repaired_streams(event.streams_before),
        streams_after=_repaired_streams(event.streams_after),
        samples=None if event.samples is None else np.asarray(event.samples).astype(_U64),
        ids=None if event.ids is None else np.asarray(event.ids).astype(_I64),
        text=str(event.text),
        **counts,
        **numbers,
    )


_UNSIGNED = ("thread", "ticket", "digest_hi", "digest_lo", "nbytes", "framework_seed")
_SIGNED = {"epoch": 64, "step": 64, "index": 64, "began_ns": 64, "ended_ns": 64, "framework_worker": 32}


def _signed(value: Any, bits: int) -> int:
    number = -1 if value is None else int(value)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else -1


def _repaired_streams(states: Any) -> tuple[int, ...]:
    words = [int(state or 0) & (2**64 - 1) for state in states or ()]
    return tuple((words + [0] * len(STREAMS))[: len(STREAMS)])
