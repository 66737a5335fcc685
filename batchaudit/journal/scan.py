"""Takes the undamaged records out of one journal file: see docs/reference/journal-format.md.

Requires what layout requires. A record counts only if its checksum, keyed by the file, verifies; where one
does not, the search goes on at the next mark that begins a record that does. The file is read piece by piece,
and of each piece only what the records hold is kept.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from batchaudit.journal.columns import copied, rows_of
from batchaudit.journal.header import Header, decode_header, find_header, header_size
from batchaudit.journal.layout import FIXED, HEAD, KIND_END, KIND_HEADER, RECORD, IdKind, Stage
from batchaudit.journal.ragged import take
from batchaudit.journal.walk import LOOK, Doubts, walk

Array = np.ndarray[Any, Any]

_WORDS = RECORD.itemsize // 8
_KINDS = [*Stage, KIND_HEADER, KIND_END]


class Scan(NamedTuple):
    """What one file holds.

    Attributes:
        header: the file's header, or None where no undamaged one is left: then there are no records either.
        seqs: int64: the sequence numbers of all records, the end and copies of the header among them, in the
            file's order.
        kinds: uint8: what kind of record each of them is.
        records: the events' fixed parts, dtype RECORD, in the file's order.
        digests: uint64: the samples' digests, event after event.
        ids: int64: the bits of the ids, event after event.
        texts: the texts that are not empty, by the number of their event.
        size: bytes of the file.
        bytes_dropped: how many of them belong to nothing that could be verified.
    """

    header: Header | None
    seqs: Array
    kinds: Array
    records: Array
    digests: Array
    ids: Array
    texts: dict[int, str]
    size: int
    bytes_dropped: int


class Piece(NamedTuple):
    """What the records of one window hold; as in `Scan`."""

    seqs: Array
    kinds: Array
    records: Array
    digests: Array
    ids: Array
    texts: dict[int, str]
    bytes_dropped: int


def scan(data: bytes) -> Scan:
    """As `scan_file`, of bytes that are at hand."""
    return scan_file(io.BytesIO(data), len(data))


def scan_file(file: BinaryIO, size: int) -> Scan:
    """Reads one file; damage is counted, never raised.

    Args:
        file: opened at its beginning.
        size: how many bytes of it are read, at most.

    Returns:
        What it holds.

    Raises:
        JournalError: the file is of a version that cannot be read.
        OSError: it cannot be read.
    """
    window = file.read(min(size, LOOK))
    header = decode_header(window)
    if header is None and len(window) < size:
        window += file.read(size - len(window))
        size = len(window)
    header = header or find_header(window)
    return gathered(header, size, () if header is None else _pieces(file, window, size, header))


def gathered(header: Header | None, size: int, found: Iterable[Piece]) -> Scan:
    """Puts together what the pieces of one file hold.

    Args:
        header: the file's; None where none is left.
        size: bytes of the file.
        found: its pieces, in order; what no piece tells of is dropped where there is no header.

    Returns:
        What the file holds.
    """
    pieces = [nothing(0 if header else size)]
    # As many as there can be: memory that is not written to costs nothing.
    records = np.empty(size // RECORD.itemsize, RECORD) if header else pieces[0].records
    base = 0
    texts: dict[int, str] = {}
    for piece in found:
        texts |= {base + row: text for row, text in piece.texts.items()}
        copied(piece.records, records[base : base + len(piece.records)])
        base += len(piece.records)
        pieces.append(piece._replace(records=records[:0]))
    return Scan(
        header=header,
        seqs=_joined(pieces, "seqs"),
        kinds=_joined(pieces, "kinds"),
        records=records[:base],
        digests=_joined(pieces, "digests"),
        ids=_joined(pieces, "ids"),
        texts=texts,
        size=size,
        bytes_dropped=sum(piece.bytes_dropped for piece in pieces),
    )


def _joined(pieces: list[Piece], name: str) -> Array:
    return np.concatenate([getattr(piece, name) for piece in pieces])


def nothing(bytes_dropped: int) -> Piece:
    """A piece without records."""
    numbers = np.empty(0, np.int64)
    return Piece(
        numbers, np.empty(0, np.uint8), np.empty(0, RECORD), numbers.view("<u8"), numbers, {}, bytes_dropped
    )


def _pieces(file: BinaryIO, window: bytes, size: int, header: Header) -> Iterator[Piece]:
    """Walks through the file, whose first bytes are `window`."""
    before = 0  # bytes of the file before the window
    position = header_size(window)
    more, doubts = LOOK, Doubts(size)
    while True:
        found = walk(window, position, size - before, header.key, doubts)
        last = before + len(window) >= size
        # No record can begin in what is left of the last window.
        dropped = found.dropped + (len(window) - found.rest if last else 0)
        yield taken(window, found.offsets, dropped)
        if last:
            return
        # A record may be longer than the window; a damaged one may say that it is, up to the file's end.
        more = LOOK if found.rest else 2 * more
        wanted = min(more, size - before - len(window))
        before += found.rest
        read = file.read(wanted)
        window, position = window[found.rest :] + read, 0
        if len(read) < wanted:  # it was cut meanwhile
            size = before + len(window)


def taken(window: bytes, offsets: Array, dropped: int) -> Piece:
    """Takes what records hold out of the bytes in which they lie."""
    if not len(offsets):
        return nothing(dropped)
    words, starts = _aligned(window, offsets)
    records = take(words, starts, np.full(len(starts), _WORDS)).view(RECORD)
    sound = _is_sound(records)
    if not sound.all():
        dropped += int((records["length"][~sound].astype(np.int64) + HEAD.size).sum())
        records, starts = records[sound], starts[sound]
    seqs, kinds = records["seq"].astype(np.int64), records["kind"].copy()
    is_event = kinds < KIND_HEADER
    if not is_event.all():
        records, starts = rows_of(records, np.flatnonzero(is_event)), starts[is_event]
    at = starts + _WORDS
    samples = records["sample_count"].astype(np.int64)
    ids = records["id_count"].astype(np.int64)
    return Piece(
        seqs,
        kinds,
        records,
        take(words, at, samples),
        take(words, at + samples, ids).view("<i8"),
        _texts(words, at + samples + ids, records["text_bytes"]),
        dropped,
    )


def _texts(words: Array, starts: Array, sizes: Array) -> dict[int, str]:
    texts = {}
    for row in np.flatnonzero(sizes).tolist():
        start, size = int(starts[row]), int(sizes[row])
        texts[row] = words[start : start + (size + 7) // 8].tobytes()[:size].decode(errors="replace")
    return texts


def _aligned(window: bytes, offsets: Array) -> tuple[Array, Array]:
    """The records as one array of words; copied only where damage has moved them off the words' bounds."""
    if not (offsets & 7).any():
        return np.frombuffer(window, "<u8", count=len(window) // 8), offsets >> 3
    places = offsets.tolist()
    records = [window[at : at + HEAD.size + HEAD.unpack_from(window, at)[2]] for at in places]
    # Written by another program, a record might not be of whole words: it is cut, and found unsound.
    records = [record[: len(record) // 8 * 8] for record in records]
    sizes = np.array([len(record) for record in records], np.int64) >> 3
    return np.frombuffer(b"".join(records), "<u8"), np.cumsum(sizes) - sizes


def _is_sound(records: Array) -> Array:
    """Which records say of their parts what their length says: no allocation may trust a count otherwise."""
    counts = records["sample_count"].astype(np.int64) + records["id_count"]
    text = (records["text_bytes"].astype(np.int64) + 7) // 8 * 8
    agrees = FIXED + 8 * counts + text == records["length"]
    has_kind = (records["id_count"] == 0) | (records["id_kind"] != IdKind.NONE)
    known = np.isin(records["kind"], _KINDS) & (records["id_kind"] <= max(IdKind))
    sound: Array = agrees & has_kind & known
    return sound
