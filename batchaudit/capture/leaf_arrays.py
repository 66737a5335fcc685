"""Reads NumPy arrays: one canonical little-endian form for every dtype, order, stride and byte order.

A contiguous little-endian array is handed on as it is, without a copy. Requires NumPy; knows ml_dtypes
(bfloat16, float8, int4 …) by the numbers that NumPy gives to registered dtypes, without importing it.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchaudit.capture.leaf_kinds import Block, Branch, Reading, Values

_BUILT_IN = 24  # numbers below are NumPy's own dtypes
_REGISTERED = range(
    256, 2048
)  # dtypes registered by extensions, plain bytes; from 2048 on: pointers (StringDType)
_NARROW_INTEGERS = frozenset(
    {"int2", "uint2", "int4", "uint4"}
)  # a byte each, of which only the low bits count


@functools.lru_cache(maxsize=256)
def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether an array of this dtype, if contiguous, is in its canonical form already."""
    native = dtype.byteorder == "|" or (dtype.byteorder in "=<" and sys.byteorder == "little")
    return dtype.kind in "biufcmM" and dtype.num < _BUILT_IN and native and dtype.char not in "gG"


@functools.cache
def _extended_is_padded() -> bool:
    """Whether long double is the 80-bit float of x86, whose 10 bytes lie in 12 or 16."""
    return bool(np.finfo(np.longdouble).nmant == 63)


def _extended(array: NDArray[Any]) -> Block:
    """Long doubles without the padding bytes, which hold whatever lay in memory before."""
    token = "clongdouble" if array.dtype.char == "G" else "longdouble"
    halves = np.ascontiguousarray(array).reshape(-1).view(np.longdouble)
    values = halves.view(np.uint8).reshape(len(halves), np.dtype(np.longdouble).itemsize)
    if _extended_is_padded():
        values = np.ascontiguousarray(values[:, :10])
    return Block(token, array.shape, values)


def block(array: NDArray[Any], token: str | None = None) -> Block:
    """The bytes of an array of a fixed-width dtype without fields.

    Args:
        array: any shape, order, stride and byte order.
        token: names the type of the values where the array only carries their bits (bfloat16 as int16).
    """
    dtype = array.dtype
    if dtype.char in "gG":
        return _extended(array)
    if dtype.num < _BUILT_IN and dtype.kind != "V":
        array = array.astype(dtype.newbyteorder("<"), order="C", copy=False)
    elif dtype.name in _NARROW_INTEGERS:
        array = array.astype(np.int8, order="C")
    elif dtype.itemsize:
        array = np.asarray(array, order="C").view(f"V{dtype.itemsize}")
    return Block(token or dtype.name, array.shape, array)


def read_array(array: NDArray[Any]) -> Reading:
    """Reads an array.

    Text (`U`, `S`, StringDType) and objects are values, one by one: the width of a `U` or `S` dtype is that
    of the longest text in the batch, so it must not count, and a tensor of strings arrives as an array of
    objects.
    """
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(array, masked.MaskedArray):
        return Branch("masked", [(".data", array.data), (".mask", masked.getmaskarray(array))])
    array = np.asarray(array)
    dtype = array.dtype
    if dtype.names:
        # Field by field: padding between fields is nobody's content, and fields may hold text or objects.
        return Branch("record", [(f"[{name!a}]", array[name]) for name in dtype.names])
    if dtype.kind in "OUS" or (dtype.num >= _BUILT_IN and dtype.num not in _REGISTERED):
        return Values(array.shape, array.reshape(-1).tolist())
    return block(array)
