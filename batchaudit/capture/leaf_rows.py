"""Hashes the rows of a batch's columns: XXH3-128 of each sample, in one pass over the memory.

Which way a column goes depends on the bytes of one of its rows and never on how many rows there are:
otherwise a sample's digest would depend on its batch. Requires NumPy and xxhash.
"""

from __future__ import annotations

import _thread
import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchaudit.capture.leaf_kinds import Block, Rows

_digest = xxhash.xxh3_128_digest

SHORT = 512  # bytes of a row up to which it is packed as it is; a longer one is packed as its digest
_ROWS_AT_ONCE = 1024  # keeps the list of short rows within the cache
DIGEST = 16  # bytes
# xxhash lets the interpreter lock go for inputs from about 100 KB on. With a busy Python thread beside,
# getting it back takes a switch interval (5 ms) each time; a piece of this size is hashed without letting go.
_PIECE = 64 * 1024
_LETS_GO = 100_000
# Within one call that joins digests no other thread can run: after so many bytes, half a millisecond, it may.
_WITHOUT_PAUSE = 16 << 20


def _has_other_threads() -> bool:
    """Whether Python has started other threads; those that a library starts for itself are not counted.

    Not `sys._current_frames()`: a garbage collection within it can deadlock (python/cpython#106883).
    """
    return _thread._count() > 0


def column_table(column: Block) -> NDArray[np.uint8]:
    """The bytes of a block, shape (rows, bytes a row); a view."""
    count = column.shape[0]
    flat = column.array.reshape(-1)
    if flat.nbytes == 0:
        return np.empty((count, 0), np.uint8)
    return flat.view(np.uint8).reshape(count, -1)


def pieces(buffer: Any) -> Iterator[Any]:
    """Cuts a contiguous buffer so that hashing it piece by piece never lets the interpreter lock go.

    Only where that pays: cutting costs a tenth more, so a buffer stays whole where there is one thread only.
    """
    view = memoryview(buffer)
    if view.nbytes < _LETS_GO or not _has_other_threads():
        yield view
        return
    view = view.cast("B")
    for start in range(0, len(view), _PIECE):
        yield view[start : start + _PIECE]


def _hash_in_pieces(row: NDArray[np.uint8], seed: int) -> bytes:
    state = xxhash.xxh3_128(seed=seed)
    for piece in pieces(row):
        state.update(piece)
    return state.digest()


@functools.lru_cache(maxsize=256)
def _of_bytes(width: int) -> Any:
    """The dtype of a row; reading its name would take as long as hashing ten rows."""
    return np.dtype(f"V{width}")


def _hash_short(table: NDArray[np.uint8], seed: int) -> bytes:
    """Digests of short rows, several at a time: `tolist` of a void array is the fastest way to cut it up."""
    count, width = table.shape
    if width == 0:
        return b"".join([_digest(b"", seed)] * count)
    rows = table.view(_of_bytes(width)).ravel()
    # Joined in between, so that other threads can run.
    starts = range(0, count, _ROWS_AT_ONCE)
    return b"".join([_hash_encoded(rows[start : start + _ROWS_AT_ONCE].tolist(), seed) for start in starts])


def _hash_table(table: NDArray[np.uint8], seed: int) -> bytes:
    width = table.shape[1]
    if width <= SHORT:
        return _hash_short(table, seed)
    if width >= _LETS_GO and _has_other_threads():
        return b"".join(map(_hash_in_pieces, table, repeat(seed)))
    step = max(_WITHOUT_PAUSE // width, 1)
    blocks = [table[start : start + step] for start in range(0, len(table), step)]
    # A type checker sees an array's items as anything; each is a row, and a buffer.
    return b"".join([_hash_encoded(block, seed) for block in blocks])  # type: ignore[arg-type]


def _hash_encoded(rows: Iterable[bytes], seed: int) -> bytes:
    return b"".join(map(_digest, rows, repeat(seed)))


def _packed(column: Block | Rows) -> NDArray[np.uint8]:
    """What a column adds to each sample's record: its row where that is short, else the row's digest."""
    if isinstance(column, Rows):
        digests = _hash_encoded(column.rows, 0)
    else:
        table = column_table(column)
        if table.shape[1] <= SHORT:
            return table
        digests = _hash_table(table, 0)
    return np.ndarray((column.shape[0], DIGEST), np.uint8, digests)


def digest_samples(columns: Sequence[Block | Rows], seed: int) -> bytes:
    """Digests every sample of the columns.

    Args:
        columns: at least one; all of the same number of rows n.
        seed: stands for the samples' structure (paths, types, shapes of a row).

    Returns:
        16 n bytes: the canonical (big-endian) XXH3-128 of each sample. A sample of one column is hashed as
        the bytes of its row; one of several as their record.
    """
    if columns[0].shape[0] == 0:
        return b""
    if len(columns) == 1:
        column = columns[0]
        if isinstance(column, Rows):
            return _hash_encoded(column.rows, seed)
        return _hash_table(column_table(column), seed)
    parts = [_packed(column) for column in columns]
    count = len(parts[0])
    if count <= _ROWS_AT_ONCE:
        return _hash_short(np.concatenate(parts, axis=1), seed)
    blocks: list[bytes] = []
    for start in range(0, count, _ROWS_AT_ONCE):
        record = np.concatenate([part[start : start + _ROWS_AT_ONCE] for part in parts], axis=1)
        blocks.append(_hash_short(record, seed))
    return b"".join(blocks)
