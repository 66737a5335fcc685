"""Walks through a stretch of a journal file, from one undamaged record to the next.

Requires what layout requires. Everything here is pure: bytes in, places out. Records that follow one another
are verified many at a time; where that stops, the next step is taken record by record. Both ways take the
same records: the first only gives up earlier.
"""

from __future__ import annotations

from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from batchaudit.journal.layout import COVERED, FIXED, HEAD, PREFIX, RECORD, SYNC

Array = np.ndarray[Any, Any]

_MARK = int.from_bytes(SYNC, "little")
_NONE: Array = np.empty(0, np.int64)
# Bytes in which records are taken many at a time: they stay in the cache. Where that cannot be done, trying
# costs a look at all of them: it is tried again after 1, 2, 4, ... single steps, at most so many.
LOOK = 1 << 20
_MOST_STEPS = 256

_MOST_DOUBTED = 1 << 26  # bytes, beyond what is in proportion to the file
_USUAL = 1 << 16  # bytes of a record, more than a long text or a batch of thousands needs

# A run of records of one size is worth a call of NumPy's from about so many on.
SHORT_RUN = 16

# The numbers below: attribute look-ups would cost a tenth of the time of a step.
assert HEAD.size == 16 and PREFIX.size == 12


class Walked(NamedTuple):
    """What was found in one window.

    Attributes:
        offsets: int64: where the records that verify begin.
        dropped: how many bytes up to `rest` lie outside of them.
        rest: where the walk ended: what follows can only be judged with more bytes, or is too short.
    """

    offsets: Array
    dropped: int
    rest: int


class Doubts:
    """How much more of a file may be looked at in vain, over all of its windows.

    What stands in a file may claim, every few bytes, to be a record as long as all the rest; each would be
    worth a checksum. A damaged file costs about its own size; once it costs many times that, only records of
    a usual length are looked for.

    Args:
        size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.left = _MOST_DOUBTED + 8 * size

    def longest(self) -> int:
        """Bytes of the longest record that is still looked for."""
        return _USUAL if self.left < 0 else 1 << 32


def walk(window: bytes, position: int, file_end: int, key: int, doubts: Doubts | None = None) -> Walked:
    """Finds the records whose checksum verifies.

    Args:
        window: a part of a file.
        position: where in it to begin.
        file_end: where the file ends, counted from the window's beginning: a record that claims to end in
            between can only be judged once those bytes are there; one that claims to end later is none.
        key: of the file, the seed of its checksums.
        doubts: of the file, where it is walked through in several windows.

    Returns:
        What was found. Bytes after `rest` are not judged.
    """
    doubts = doubts or Doubts(file_end)
    found: list[Array] = []
    dropped = 0
    singles: list[int] = []
    steps = most = 0
    end = len(window)
    while position <= end - RECORD.itemsize:
        if steps == 0:
            run, position_after = _run(window, position, key)
            if len(run):
                found += [np.array(singles, np.int64), run]
                singles = []
                position, most = position_after, 0
            most = min(max(2 * most, 1), _MOST_STEPS)
            steps = most
            continue
        steps -= 1
        stop = _record_end(window, position, end, file_end, key, doubts)
        if stop > end:
            break
        if stop:
            singles.append(position)
            position = stop
        else:
            following = _next_candidate(window, position + 1)
            dropped += following - position
            position = following
    found.append(np.array(singles, np.int64))
    return Walked(np.concatenate(found), dropped, position)


def _record_end(window: bytes, position: int, end: int, file_end: int, key: int, doubts: Doubts) -> int:
    """Where the record at `position` ends; 0 where no undamaged one stands there.

    Beyond `end` where the bytes that are there do not tell.
    """
    sync, checksum, length = HEAD.unpack_from(window, position)
    stop: int = position + 16 + length
    if sync != SYNC or not FIXED <= length <= doubts.longest() or stop > file_end:
        return 0
    if stop <= end and xxh3_64_intdigest(memoryview(window)[position + 12 : stop], key) != checksum:
        doubts.left -= length
        return 0
    return stop


def _next_candidate(window: bytes, position: int) -> int:
    """The next mark whose counts agree with its length: few others are worth a checksum.

    Where there is none, the place from which on more bytes could show one.
    """
    while True:
        found = window.find(SYNC, position)
        if found < 0:
            return max(position, len(window) - len(SYNC) + 1)
        if len(window) - found < RECORD.itemsize:
            return found
        length, _, _, _, _, samples, ids, text, *_ = COVERED.unpack_from(window, found + PREFIX.size)
        if length == FIXED + 8 * (samples + ids) + (text + 7) // 8 * 8:
            return found
        position = found + 1


def _run(window: bytes, position: int, key: int) -> tuple[Array, int]:
    """The records that follow one another from `position` on, and where the last of them ends.

    A mark follows a record exactly where that record's length says, or the run ends with the record before.
    """
    size = min(len(window) - position, LOOK)
    halves = np.frombuffer(window, "<u4", count=size // 8 * 2, offset=position)
    marks = np.flatnonzero(halves[:-2:2] == _MARK)  # counted in words of 8 bytes, as all that follows
    if len(marks) < 2 or marks[0] != 0:
        return _NONE, position
    lengths = halves[2 * marks[:-1] + 3].astype(np.int64)
    sizes = np.diff(marks)
    linked = (lengths == 8 * sizes - HEAD.size) & (lengths >= FIXED)
    count = len(linked) if linked.all() else int(linked.argmin())
    if count == 0:
        return _NONE, position
    offsets, sizes = position + 8 * marks[:count], 8 * sizes[:count]
    checksums = np.frombuffer(window, "<u8", count=size // 8 - 1, offset=position + len(SYNC))[marks[:count]]
    verifies = _digests(window, offsets, sizes, key) == checksums
    if not verifies.all():
        count = int(verifies.argmin())
    return offsets[:count], position + 8 * int(marks[count])


def _digests(window: bytes, offsets: Array, sizes: Array, key: int) -> Array:
    """What the checksums of records that follow one another should be."""
    covered: list[bytes] = []
    bounds = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
    if len(bounds) < len(sizes) // SHORT_RUN:
        # `tolist` of a void array is the fastest way to cut up bytes: 25 ns a record, slices take 160.
        for low, high in pairwise(bounds):
            size, first = int(sizes[low]), int(offsets[low]) + PREFIX.size
            covered += np.ndarray((high - low,), f"V{size - PREFIX.size}", window, first, (size,)).tolist()
    else:
        begins, ends = (offsets + PREFIX.size).tolist(), (offsets + sizes).tolist()
        covered += map(window.__getitem__, map(slice, begins, ends))
    # Joined digests are big-endian words; integers would each have to be taken apart by NumPy.
    return np.frombuffer(b"".join(map(xxh3_64_digest, covered, repeat(key))), ">u8")
