"""Finds the undamaged records of one journal file's bytes: see docs/journal-format.md.

Requires what layout requires. A record counts only if its checksum, keyed by the file, verifies; where
one does not, the search goes on at the next mark that begins a record that does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from batchaudit.journal.header import Header, find_header, header_size
from batchaudit.journal.layout import (
    COVERED,
    FIXED,
    HEAD,
    KIND_END,
    KIND_HEADER,
    PREFIX,
    RECORD,
    SYNC,
    IdKind,
    Stage,
)

Array = np.ndarray[Any, Any]

_WORDS = RECORD.itemsize // 8
_KINDS = [*Stage, KIND_HEADER, KIND_END]
_CHUNK = 8_192  # records gathered at once: the index that NumPy needs for it stays in the cache


class Scan(NamedTuple):
    """What one file's bytes hold.

    Attributes:
        header: the file's header, or None where no undamaged one is left: then there are no records either.
        records: the fixed parts, dtype RECORD, shape (n,), in the file's order; the end and copies of the
            header are among them.
        words: uint64: the bytes in which the records lie.
        starts: int64, shape (n,): the word at which each record begins.
        bytes_dropped: how many bytes belong to nothing that could be verified.
    """

    header: Header | None
    records: Array
    words: Array
    starts: Array
    bytes_dropped: int


def scan(data: bytes) -> Scan:
    """Reads the bytes of one file; damage is counted, never raised.

    Raises:
        JournalError: the file is of a version that cannot be read.
    """
    header = find_header(data)
    if header is None:
        nothing = np.empty(0, np.int64)
        return Scan(None, np.empty(0, RECORD), nothing.view("<u8"), nothing, len(data))
    offsets, dropped = _verified(data, header_size(data), header.key)
    words, starts = _aligned(data, offsets)
    records = _gather(words, starts)
    sound = _is_sound(records)
    if not sound.all():
        dropped += int((records["length"][~sound].astype(np.int64) + HEAD.size).sum())
        records, starts = records[sound], starts[sound]
    return Scan(header, records, words, starts, dropped)


def _verified(data: bytes, position: int, key: int) -> tuple[list[int], int]:
    """Where records whose checksum verifies begin, and how many bytes lie outside of them."""
    view = memoryview(data)
    unpack = HEAD.unpack_from
    end = len(data)
    offsets: list[int] = []
    dropped = 0
    while position <= end - RECORD.itemsize:
        sync, checksum, length = unpack(data, position)
        stop = position + 16 + length
        if (
            sync == SYNC
            and length >= FIXED
            and stop <= end
            and xxh3_64_intdigest(view[position + 12 : stop], key) == checksum
        ):
            offsets.append(position)
            position = stop
        else:
            following = _next_candidate(data, position + 1)
            dropped += following - position
            position = following
    return offsets, dropped + end - position


assert (
    HEAD.size == 16 and PREFIX.size == 12
)  # the numbers above: attribute look-ups would cost a tenth of the time


def _next_candidate(data: bytes, position: int) -> int:
    """The next mark whose counts agree with its length: few others are worth a checksum."""
    while True:
        position = data.find(SYNC, position)
        if position < 0:
            return len(data)
        if len(data) - position >= RECORD.itemsize:
            length, _, _, _, _, samples, ids, text, *_ = COVERED.unpack_from(data, position + PREFIX.size)
            if length == FIXED + 8 * (samples + ids) + (text + 7) // 8 * 8:
                return position
        position += 1


def _aligned(data: bytes, offsets: list[int]) -> tuple[Array, Array]:
    """The records as one array of words; copied only where damage has moved them off the words' bounds."""
    starts = np.array(offsets, np.int64)
    if not (starts & 7).any():
        return np.frombuffer(data, "<u8", count=len(data) // 8), starts >> 3
    records = [data[at : at + HEAD.size + HEAD.unpack_from(data, at)[2]] for at in offsets]
    # Written by another program, a record might not be of whole words: it is cut, and found unsound.
    records = [record[: len(record) // 8 * 8] for record in records]
    sizes = np.array([len(record) for record in records], np.int64) >> 3
    return np.frombuffer(b"".join(records), "<u8"), np.cumsum(sizes) - sizes


def _gather(words: Array, starts: Array) -> Array:
    records = np.empty(len(starts), RECORD)
    rows = records.view("<u8").reshape(len(starts), _WORDS)
    columns = np.arange(_WORDS)
    for low in range(0, len(starts), _CHUNK):
        rows[low : low + _CHUNK] = words[starts[low : low + _CHUNK, None] + columns]
    return records


def _is_sound(records: Array) -> Array:
    """Which records say of their parts what their length says: no allocation may trust a count otherwise."""
    counts = records["sample_count"].astype(np.int64) + records["id_count"]
    text = (records["text_bytes"].astype(np.int64) + 7) // 8 * 8
    agrees = FIXED + 8 * counts + text == records["length"]
    has_kind = (records["id_count"] == 0) | (records["id_kind"] != IdKind.NONE)
    known = np.isin(records["kind"], _KINDS) & (records["id_kind"] <= max(IdKind))
    sound: Array = agrees & has_kind & known
    return sound
