"""Reads a journal file by the published page alone, slowly and plainly: what the real reader's counts are held to.

It shares no code with the package but the checksum, which is another project's.
"""

from __future__ import annotations

from pathlib import Path
from struct import unpack_from
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

_HEADER_MARK, _RECORD_MARK = b"\xffBAJ\r\n\x1a\n", b"\xffBA\xfe"
_FIRST_BODY = 16
_SMALLEST = 208
_HEADER_COPY, _END = 254, 255


class Found(NamedTuple):
    """What a file holds.

    Attributes:
        readable: whether the header that it begins with is whole; nothing is read where it is not.
        events: the sequence numbers of the events, and how many bytes each takes.
        others: the same of the copies of the header and of the end.
        ended: whether there is an end record.
        dropped: bytes that belong to nothing whole.
    """

    readable: bool
    events: dict[int, int]
    others: dict[int, int]
    ended: bool
    dropped: int

    @property
    def gaps(self) -> int:
        """How many numbers are missing below the highest."""
        numbers = {*self.events, *self.others}
        return max(numbers) + 1 - len(numbers) if numbers else 0


def read(path: Path) -> Found:
    """Reads one file.

    Args:
        path: the file.
    """
    data = path.read_bytes()
    events: dict[int, int] = {}
    others: dict[int, int] = {}
    ended = False
    if len(data) < 40 or not data.startswith(_HEADER_MARK):
        return Found(False, events, others, ended, len(data))
    metadata, checksum, key = unpack_from("<IQQ", data, 12)
    at = 40 + metadata
    if at > len(data) or xxh3_64_intdigest(data[8:16] + data[24:at]) != checksum:
        return Found(False, events, others, ended, len(data))
    dropped = 0
    while at < len(data):
        size = _size(data, at, key)
        if not size:
            following = data.find(_RECORD_MARK, at + 1)
            following = len(data) if following < 0 else following
            dropped += following - at
            at = following
            continue
        number, kind = unpack_from("<IB", data, at + _FIRST_BODY)
        (others if kind in (_HEADER_COPY, _END) else events)[number] = size
        ended |= kind == _END
        at += size
    return Found(True, events, others, ended, dropped)


def _size(data: bytes, at: int, key: int) -> int:
    """Bytes of the record that stands there; 0 where no whole one does."""
    if len(data) - at < _SMALLEST or not data.startswith(_RECORD_MARK, at):
        return 0
    checksum, length = unpack_from("<QI", data, at + 4)
    stop = at + _FIRST_BODY + length
    if stop > len(data) or xxh3_64_intdigest(data[at + 12 : stop], key) != checksum:
        return 0
    return int(stop - at)
