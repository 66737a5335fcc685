"""The header that a journal file begins with: see docs/reference/journal-format.md.

Requires xxhash. It names the format's version, the key of the records' checksums and who wrote the file.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from batchaudit.errors import JournalError
from batchaudit.journal.metadata import MOST_BYTES, checked

FORMAT_VERSION = 1

# 0xFF occurs nowhere in UTF-8: no text of the user's can hold the mark.
MAGIC = b"\xffBAJ\r\n\x1a\n"

# Mark, version, length of the metadata, checksum, key, file id, 0; then the metadata, JSON padded with
# spaces to 8. The checksum covers all but the mark and itself, with the seed 0. No later version may
# change the first 24 bytes or what the checksum covers: that is how a reader tells a newer file from a
# damaged one.
_HEADER = Struct("<8sIIQQII")
_MOST_TRIED = 1 << 26  # bytes of metadata, beyond those of the file


class Header(NamedTuple):
    """What is known of a file before its first record.

    Attributes:
        key: random, unsigned 64 bits: the seed of its records' checksums and the file's identity.
        file_id: random, unsigned 32 bits: the upper half of its events' tickets.
        metadata: who writes: run, source, strategy, attempt, rank, world, host, pid, and so on.
    """

    key: int
    file_id: int
    metadata: dict[str, Any]


def encode_header(header: Header, *, version: int = FORMAT_VERSION) -> bytes:
    """The bytes that a file begins with; what a source says of itself is left out where it is too much."""
    metadata = _json(header.metadata)
    if len(metadata) > MOST_BYTES:
        metadata = _json({**header.metadata, "about": {}})
    metadata += b" " * (-len(metadata) & 7)
    blank = _HEADER.pack(MAGIC, version, len(metadata), 0, header.key, header.file_id, 0) + metadata
    checksum = xxh3_64_intdigest(blank[8:16] + blank[24:])
    return blank[:16] + checksum.to_bytes(8, "little") + blank[24:]


def _json(metadata: dict[str, Any]) -> bytes:
    return json.dumps(metadata, separators=(",", ":")).encode()


def decode_header(data: bytes, position: int = 0) -> Header | None:
    """The header at `position`, or None where no undamaged one stands, or one that no batchaudit wrote.

    Raises:
        JournalError: an undamaged one of a version that this one cannot read.
    """
    if len(data) - position < _HEADER.size or not data.startswith(MAGIC, position):
        return None
    _, version, length, checksum, key, file_id, _ = _HEADER.unpack_from(data, position)
    stop = position + _HEADER.size + length
    if length > MOST_BYTES or stop > len(data):
        return None
    if xxh3_64_intdigest(data[position + 8 : position + 16] + data[position + 24 : stop]) != checksum:
        return None
    if version != FORMAT_VERSION:
        raise JournalError(
            f"it is of journal format version {version}, and this batchaudit reads version {FORMAT_VERSION}: "
            f"read it with the batchaudit that wrote it"
        )
    metadata = checked(data[position + _HEADER.size : stop])
    return None if metadata is None else Header(key, file_id, metadata)


def find_header(data: bytes) -> Header | None:
    """The file's header: the one it begins with or, where that is damaged, the first undamaged copy.

    Of a file that is full of what only looks like headers, not all of them are looked at.
    """
    position, most = 0, _MOST_TRIED + len(data)
    while position >= 0 and most > 0:
        header = decode_header(data, position)
        if header is not None:
            return header
        if len(data) - position >= _HEADER.size:
            most -= min(int(_HEADER.unpack_from(data, position)[2]), MOST_BYTES)
        position = data.find(MAGIC, position + 1)
    return None


def header_size(data: bytes) -> int:
    """Bytes of the header that `data` begins with; 0 where it is damaged."""
    if decode_header(data) is None:
        return 0
    return _HEADER.size + int(_HEADER.unpack_from(data)[2])
