"""Makes the checksums of a journal right again: without them a fuzzer would not come past the first record."""

from __future__ import annotations

from struct import pack_into, unpack_from

from xxhash import xxh3_64_intdigest

from batchaudit.journal.header import MAGIC
from batchaudit.journal.layout import SYNC

_HEADER, _RECORD = 40, 208


def resealed(data: bytes) -> bytes:
    """A journal with a checksum that verifies wherever a header or a record can be meant to stand."""
    made = bytearray(data)
    key = 0
    if made.startswith(MAGIC) and len(made) >= _HEADER:
        (length,) = unpack_from("<I", made, 12)
        stop = _HEADER + length
        pack_into("<I", made, 8, 1)
        if stop <= len(made):
            pack_into("<Q", made, 16, xxh3_64_intdigest(bytes(made[8:16] + made[24:stop])))
        (key,) = unpack_from("<Q", made, 24)
    at = made.find(SYNC)
    while at >= 0:
        stop = 0
        if at + _RECORD <= len(made):
            (length,) = unpack_from("<I", made, at + 12)
            stop = at + 16 + length
            if stop <= len(made):
                pack_into("<Q", made, at + 4, xxh3_64_intdigest(bytes(made[at + 12 : stop]), key))
        at = made.find(SYNC, stop if at < stop <= len(made) else at + 1)
    return bytes(made)
