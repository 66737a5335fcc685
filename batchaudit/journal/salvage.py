"""Takes out of one journal file also what could be records though their checksum does not verify.

Requires what scan requires. For a person who would rather have a doubtful record than none: each is flagged
`Flag.UNVERIFIED`, none takes the number of a record that verifies, and the log stays incomplete. The file is
held in memory as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from xxhash import xxh3_64_intdigest

from batchaudit.journal.header import Header, find_header, header_size
from batchaudit.journal.layout import COVERED, FIXED, HEAD, PREFIX, RECORD, SYNC, Flag, IdKind, Stage
from batchaudit.journal.scan import Piece, Scan, gathered, nothing, taken
from batchaudit.journal.walk import walk

Array = np.ndarray[Any, Any]

# Every flag that a writer of this version sets; another one is damage.
_FLAGS = sum(flag for flag in Flag if flag != Flag.UNVERIFIED)
_NAME = re.compile(r"(\d{1,9})-(.*)-(\d{1,9})-[0-9a-f]{8}\.baj")


def salvage_file(file: BinaryIO, size: int, path: Path) -> Scan:
    """As `scan.scan_file`, with the records that do not verify behind those that do.

    Args:
        file: opened at its beginning.
        size: how many bytes of it are read, at most.
        path: its path: where no header is left, its name says who wrote it.

    Returns:
        What it holds; there is always a header, unless the file is empty.

    Raises:
        JournalError: the file is of a version that cannot be read.
        OSError: it cannot be read.
    """
    data = file.read(size)
    header = find_header(data)
    if header is None:
        return gathered(_header_of(path, data) if data else None, len(data), _pieces(data, None))
    return gathered(header, len(data), _pieces(data, header.key))


def _pieces(data: bytes, key: int | None) -> Iterator[Piece]:
    begin = header_size(data)
    sound = nothing(0)
    good = np.empty(0, np.int64)
    if key is not None:
        good = walk(data, begin, len(data), key).offsets
        sound = taken(data, good, 0)
        yield sound
    ends = [_end(data, int(at)) for at in good]
    doubtful = [
        at
        for low, high in zip([begin, *ends], [*good.tolist(), len(data)], strict=True)
        for at in _candidates(data, low, high)
    ]
    piece = taken(data, np.array(doubtful, np.int64), 0)
    fresh = _of_new_numbers(piece, sound.seqs, len(data))
    piece = taken(data, np.array(doubtful, np.int64)[fresh], 0)
    piece.records["flags"] |= np.uint16(Flag.UNVERIFIED)
    used = begin + sum(
        _end(data, at) - at for at in [*good.tolist(), *np.array(doubtful, np.int64)[fresh].tolist()]
    )
    yield piece._replace(bytes_dropped=max(len(data) - used, 0))


def _end(data: bytes, at: int) -> int:
    return at + HEAD.size + int(HEAD.unpack_from(data, at)[2])


def _candidates(data: bytes, low: int, high: int) -> Iterator[int]:
    """Where, between two records that verify, an event's parts are what its length says they are."""
    at = data.find(SYNC, low, high)
    while at >= 0:
        stop = _end(data, at) if high - at >= RECORD.itemsize else high + 1
        if stop <= high and _could_be(data, at):
            yield at
            at = data.find(SYNC, stop, high)
        else:
            at = data.find(SYNC, at + 1, high)


def _could_be(data: bytes, at: int) -> bool:
    length, _, kind, id_kind, flags, samples, ids, text, *_ = COVERED.unpack_from(data, at + PREFIX.size)
    fits = length == FIXED + 8 * (samples + ids) + (text + 7) // 8 * 8
    known = kind in tuple(Stage) and id_kind in tuple(IdKind) and (ids == 0) == (id_kind == IdKind.NONE)
    return bool(fits and known and not flags & ~_FLAGS)


def _of_new_numbers(piece: Piece, known: Array, size: int) -> Array:
    """Which of the doubtful events have a number of their own, which a file of this size can reach."""
    first = np.zeros(len(piece.seqs), bool)
    first[np.unique(piece.seqs, return_index=True)[1]] = True
    most = (int(known.max()) if len(known) else 0) + size // RECORD.itemsize
    fresh: Array = first & ~np.isin(piece.seqs, known) & (piece.seqs <= most)
    return fresh


def _header_of(path: Path, data: bytes) -> Header:
    """What a file's name says of its writer; its key is lost, and nothing in it can be verified."""
    named = _NAME.fullmatch(path.name)
    rank, host, pid = (int(named[1]), named[2], int(named[3])) if named else (0, "", 0)
    metadata = {
        "run": path.parent.name, "source": "unknown source", "strategy": "live", "attempt": 0, "rank": rank,
        "world": 1, "host": host, "pid": pid,
    }  # fmt: skip
    return Header(xxh3_64_intdigest(data), xxh3_64_intdigest(data, 1) >> 32, metadata)
