"""Fingerprints a batch: one digest of all of it and one of each sample, in one pass over the memory.

The definition, version 1 (integers are little-endian unless said):

- The structure is a text: kinds of containers, keys, types, shapes; dimension `*` is the samples' axis.
- A sample's digest is XXH3-128 of its record, seeded with XXH3-64 of the samples' structure (the path, type
  and row shape of every column). The record of one column is its row; of several, each row of at most 512
  bytes as it is and each longer one as its XXH3-128, joined. Rows of text or objects always count as longer
  ones.
- The batch's digest is XXH3-128 of: the header, the structure, the number of samples, the samples' digests
  (canonical, big-endian), and the leaves that have no axis of samples, each with its length.

The samples' axis is the first axis of every array that has one, if they agree on its length. A list or tuple
of only text, only images or only numbers whose length is that of the axis is a column as well (collate
functions make such); where there is no array at all, text and images may set the axis themselves. This has a
price: a list of class names in a batch that happens to be of that many samples is taken for a column.
Everything else belongs to the batch's digest alone.

Two different contents share a digest by chance alone: XXH3-128 passes the tests of a random function, though
no proof bounds it, and nobody is kept from making collisions on purpose. Among n different batches there is a
pair with one digest with a chance of at most n^2 / 2^129 (1.5e-23 for 10^8); among n different samples, of
which 64 bits are kept, n^2 / 2^65 (0.03 % for 10^8). A faster hash of tiny rows, vectorised over them by
multiplication alone, was tried: it collides on plain data (rows of -1, 0 and 1; flipped signs).

Anything that changes a digest must change `FORMAT_VERSION`; the golden digests in the tests notice.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from batchaudit.capture.leaf_arrays import is_plain
from batchaudit.capture.leaf_kinds import Block, Rows, Whole
from batchaudit.capture.leaf_rows import digest_samples, pieces
from batchaudit.capture.leaf_tensors import plain_torch
from batchaudit.capture.leaves import Walk, contents

FORMAT_VERSION = 1

_HALF = (1 << 64) - 1
_BIG_ENDIAN = np.dtype(">u8")
_WORD = np.dtype(np.uint64)
_COUNT = struct.Struct("<Q").pack
_NO_AXIS = _COUNT(_HALF)
_PLANS_KEPT = 256  # bounds memory where every batch has a shape of its own


class Fingerprint(NamedTuple):
    """What is kept of a batch's content.

    Attributes:
        digest_hi: the high 64 bits of the batch's XXH3-128, unsigned.
        digest_lo: the low 64 bits.
        samples: uint64, shape (n,): the low 64 bits of each sample's digest, in the order of the batch; None
            where the batch has no axis of samples.
        nbytes: bytes of content that were hashed.
        unhashable: `path: type` of leaves that could not be hashed by value; empty when strict.
    """

    digest_hi: int
    digest_lo: int
    samples: NDArray[np.uint64] | None
    nbytes: int
    unhashable: tuple[str, ...] = ()


class _Plan(NamedTuple):
    """What follows from a batch's structure alone: its part of the batch's digest, and the samples' seed."""

    prefix: bytes
    seed: int
    length: int | None


def _plan(text: str, column_texts: list[str], length: int | None) -> _Plan:
    header = f"batchaudit fingerprint {FORMAT_VERSION}\n"
    structure = (header + text).encode("utf-8", "surrogatepass")
    prefix = _COUNT(len(structure)) + structure + (_NO_AXIS if length is None else _COUNT(length))
    samples = (header + "\n".join(column_texts)).encode("utf-8", "surrogatepass")
    return _Plan(prefix, xxhash.xxh3_64_intdigest(samples), length)


def _finish(
    plan: _Plan,
    columns: list[Block | Rows],
    wholes: list[Block | Rows | Whole],
    unhashable: tuple[str, ...] = (),
) -> Fingerprint:
    """Hashes what a plan leaves to be hashed."""
    nbytes = 0
    digests = b""
    for column in columns:
        nbytes += column.array.nbytes if isinstance(column, Block) else sum(map(len, column.rows))
    if columns:
        digests = digest_samples(columns, plan.seed)
    if wholes:
        state = xxhash.xxh3_128(plan.prefix + digests)
        for content in contents(wholes):
            size = len(content)
            nbytes += size
            state.update(_COUNT(size))
            for piece in pieces(content):
                state.update(piece)
        digest = state.intdigest()
    else:
        digest = xxhash.xxh3_128_intdigest(plan.prefix + digests)
    # Each digest is two big-endian words; every second word is a low half.
    samples = np.frombuffer(digests, _BIG_ENDIAN)[1::2].astype(_WORD) if columns else None
    return Fingerprint(digest >> 64, digest & _HALF, samples, nbytes, unhashable)


def _walk(batch: object, strict: bool) -> tuple[Walk, _Plan, list[Block | Rows], list[Block | Rows | Whole]]:
    walk = Walk(strict)
    walk.visit(batch)
    length = walk.leading()
    text, columns, wholes = walk.resolve(length)
    plan = _plan(text, [column_text for column_text, _ in columns], length)
    return walk, plan, [column for _, column in columns], wholes


# The plans of batches that are an array, or a flat tuple, list or dict of arrays and None: nearly every
# batch of a run has one of a few shapes, and building the structure's text takes longer than hashing a small
# batch. A torch tensor has the plan of the array that it is.
_plans: dict[tuple[Any, ...], _Plan] = {}


def _flat(batch: Any) -> tuple[tuple[Any, ...], list[NDArray[Any]]] | None:
    """The key of a simple batch's structure, and its arrays in the walk's order; None for any other batch."""
    kind = type(batch)
    key: list[Any] = []
    if kind is tuple or kind is list:
        leaves = batch
    elif kind is dict:
        if not all(type(name) is str for name in batch):
            return None
        names = sorted(batch, key=ascii)
        key.append(tuple(names))
        leaves = [batch[name] for name in names]
    else:
        leaves = (batch,)
        key.append(np.ndarray)
    arrays: list[NDArray[Any]] = []
    length = -1
    for leaf in leaves:
        if leaf is None:
            key.append(None)
            continue
        if type(leaf) is not np.ndarray:
            leaf = plain_torch(leaf)
            if leaf is None:
                return None
        if not is_plain(leaf.dtype) or not leaf.flags.c_contiguous:
            return None
        shape = leaf.shape
        if not shape or shape[0] != length != -1:
            return None
        length = shape[0]
        key.append(leaf.dtype)
        key.append(shape)
        arrays.append(leaf)
    return (tuple(key), arrays) if arrays else None


def fingerprint(batch: object, *, strict: bool = True) -> Fingerprint:
    """Digests a batch and each of its samples by value.

    The same content gives the same digests in any process, as tuple or list, in any byte order and memory
    layout, as a NumPy array or as the tensor made of it. Contiguous arrays in host memory are read once and
    not copied.

    Args:
        batch: nested tuples, lists, mappings, dataclasses of arrays, tensors, tables, text, numbers, None.
        strict: raise on what cannot be hashed by value; else a placeholder of its type stands for it and
            `unhashable` names it.

    Returns:
        The fingerprint.

    Raises:
        UnhashableError: a leaf has no content that could be hashed; names its path and type. Only if strict.
    """
    flat = _flat(batch)
    if flat is not None:
        key, arrays = flat
        plan = _plans.get(key)
        if plan is not None:
            return _finish(plan, [Block("", array.shape, array) for array in arrays], [])
    walk, plan, columns, wholes = _walk(batch, strict)
    if flat is not None:
        if len(_plans) >= _PLANS_KEPT:
            _plans.clear()
        _plans[flat[0]] = plan
    return _finish(plan, columns, wholes, tuple(walk.unhashable))
