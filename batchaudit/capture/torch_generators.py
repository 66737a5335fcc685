"""The state of a torch generator as a 64-bit number, from its own memory where that is proved right.

`get_state` makes a tensor of 5,056 bytes, 1.5 µs, and waits for the generator's lock, which in a forked child
a thread may hold that is gone. A CPU generator is a Mersenne twister whose words lie in a C++ object behind
the Python one. Where they lie is found out once a process, on a twin made for the purpose: the twin's states
are set, nothing is drawn, and its memory is searched through the kernel, which refuses where a pointer would
crash. Memory is then read only where the C++ object is of the twin's own class (its virtual table's address
says so), so that it is as large as the twin. Anything else is read through the public call.

Both ways hash the same parts in the same order, so that processes can be compared in which only one works.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from xxhash import xxh3_64_intdigest

from batchaudit.capture.bit_generators import ID_IS_ADDRESS, memory

_WORDS = 624
_POINTER = object.__basicsize__  # of the pointer to the C++ object: right behind the Python object's header
# What `get_state` gives: seed, left, seeded, next; the words, 64 bits each; three doubles and whether the
# second is a normal number kept for the next draw; a float and whether it is one.
_PUBLIC = struct.Struct(f"={8 + 4 + 4 + 8 + 8 * _WORDS + 24}xi4x4x?3x")
_PUBLIC_HEAD, _PUBLIC_DOUBLE, _PUBLIC_FLOAT = struct.Struct("=QiiQ"), 24 + 8 * _WORDS + 8, _PUBLIC.size - 8
# In memory: seed, left and seeded (then padding, which holds whatever lay there before), next and the words.
_PRIVATE_HEAD = struct.Struct("=Qi?3xI")
_HEAD, _NEXT, _END = 13, 16, _PRIVATE_HEAD.size + 4 * _WORDS
_SEARCHED = 4096
_NORMALS_WITHIN = 64  # bytes behind the words


class _Layout(NamedTuple):
    """Where a CPU generator's C++ object keeps what; offsets in bytes."""

    table: int  #: the address of the class's virtual table
    engine: int  #: of the seed
    double: int  #: of a double kept for the next draw; whether there is one is the byte behind it
    single: int  #: the same for a float


def _kept(double: bytes, single: bytes) -> int:
    """The hash's seed that stands for the normal numbers that are kept; empty for none."""
    return xxh3_64_intdigest(b"%c%c" % (len(double), len(single)) + double + single)


def _public(owner: Any) -> bytes:
    state = sys.modules["torch"].Generator.get_state(owner)
    # Through its address: Tensor.numpy() would be another library's code path for the same bytes.
    return ctypes.string_at(state.data_ptr(), state.nbytes)


def read_publicly(owner: Any) -> int:
    """The fingerprint through `get_state`, of a generator of any device."""
    state = _public(owner)
    if len(state) != _PUBLIC.size or owner.device.type != "cpu":
        return xxh3_64_intdigest(state)
    seed, left, seeded, position = _PUBLIC_HEAD.unpack_from(state)
    has_double, has_single = _PUBLIC.unpack(state)
    kept = 0
    if has_double or has_single:
        double = state[_PUBLIC_DOUBLE : _PUBLIC_DOUBLE + 8] if has_double else b""
        kept = _kept(double, state[_PUBLIC_FLOAT : _PUBLIC_FLOAT + 4] if has_single else b"")
    words = struct.pack("=I", position) + _public_words(state)
    return xxh3_64_intdigest(words, xxh3_64_intdigest(struct.pack("=Qi?", seed, left, seeded), kept))


def _public_words(state: bytes) -> bytes:
    return np.frombuffer(state, "=u8", _WORDS, _PUBLIC_HEAD.size).astype("=u4").tobytes()


def _reader(address: int, layout: _Layout) -> Callable[[], int]:
    engine = memory(address + layout.engine, _END)
    head, words = engine[:_HEAD], engine[_NEXT:]
    # Cast, so that their items can be asked for.
    double, single = (
        memory(address + layout.double, 9).cast("B"),
        memory(address + layout.single, 5).cast("B"),
    )

    def read() -> int:
        if double[8] or single[4]:
            kept = _kept(bytes(double[:8]) if double[8] else b"", bytes(single[:4]) if single[4] else b"")
            return xxh3_64_intdigest(words, xxh3_64_intdigest(head, kept))
        return xxh3_64_intdigest(words, xxh3_64_intdigest(head))

    return read


# --- the proof ---------------------------------------------------------------------------------------------

_found: list[_Layout | None] = []


def layout() -> _Layout | None:
    """Where memory is read in this process; None if the public call must be asked. Found out once."""
    if not _found:
        try:
            _found.append(_find_layout() if ID_IS_ADDRESS else None)
        except Exception:  # an unknown layout may fail in any way: it is then not used
            _found.append(None)
    return _found[0]


def _find_layout() -> _Layout | None:
    twin = sys.modules["torch"].Generator(device="cpu")
    if type(twin).__basicsize__ < _POINTER + 8 or len(_public(twin)) != _PUBLIC.size:
        return None
    address = ctypes.c_uint64.from_address(id(twin) + _POINTER).value
    with open("/proc/self/mem", "rb", buffering=0) as own:
        pairs = [(_public(twin), os.pread(own.fileno(), _SEARCHED, address)) for _ in _states_of(twin)]
    engines = {_engine(public, private) for public, private in pairs}
    if len(engines) != 1 or None in engines:
        return None
    engine = engines.pop() or 0
    doubles = [at for at in _behind(engine) if all(_keeps_double(*pair, at) for pair in pairs)]
    singles = [at for at in _behind(engine) if all(_keeps_single(*pair, at) for pair in pairs)]
    if len(doubles) != 1 or len(singles) != 1:
        return None
    table = int.from_bytes(pairs[0][1][:8], sys.byteorder)
    known = _Layout(table, engine, doubles[0], singles[0])
    read = _reader(address, known)
    same = [(read(), read_publicly(twin)) for _ in _states_of(twin)]
    agrees = all(ours == theirs for ours, theirs in same) and len(set(same)) == len(same)
    return known if agrees else None


def _states_of(twin: Any) -> Iterator[None]:
    """Puts the twin into states that differ in every part, the kept numbers included."""
    set_state = sys.modules["torch"].Generator.set_state
    for number, (has_double, has_single) in enumerate(product((1, 0, 1), repeat=2)):
        twin.manual_seed(0x1234567890 + number)
        yield
        state = sys.modules["torch"].Generator.get_state(twin)
        made = bytearray(ctypes.string_at(state.data_ptr(), state.nbytes))
        left = 1 + number * 7
        _PUBLIC_HEAD.pack_into(made, 0, 0xABCDEF0123 * (number + 3), left, 1, _WORDS + 1 - left)
        words = np.frombuffer(made, "=u8", _WORDS, _PUBLIC_HEAD.size)
        words[:] = words[::-1].copy()
        struct.pack_into("=ddd", made, _PUBLIC_DOUBLE - 8, 0.0, has_double * (0.3 + number), 0.0)
        struct.pack_into("=i4x", made, _PUBLIC_DOUBLE + 16, has_double)
        struct.pack_into("=f?3x", made, _PUBLIC_FLOAT, has_single * (0.7 + number), bool(has_single))
        ctypes.memmove(state.data_ptr(), bytes(made), len(made))
        set_state(twin, state)
        yield


def _engine(public: bytes, private: bytes) -> int | None:
    """Where the seed lies; None unless the state is there exactly once, as a whole."""
    words = _public_words(public)
    at = private.find(words)
    if at < _PRIVATE_HEAD.size or private.find(words, at + 1) != -1:
        return None
    seed, left, seeded, position = _PUBLIC_HEAD.unpack_from(public)
    return (
        at - 20 if (seed, left, seeded, position) == struct.unpack_from("=Qi?3xI", private, at - 20) else None
    )


def _behind(engine: int) -> range:
    return range(engine + _END, engine + _END + _NORMALS_WITHIN, 4)


def _keeps_double(public: bytes, private: bytes, at: int) -> bool:
    kept = _PUBLIC.unpack(public)[0]
    value = public[_PUBLIC_DOUBLE : _PUBLIC_DOUBLE + 8]
    return private[at + 8] == kept and (not kept or private[at : at + 8] == value)


def _keeps_single(public: bytes, private: bytes, at: int) -> bool:
    kept = _PUBLIC.unpack(public)[1]
    value = public[_PUBLIC_FLOAT : _PUBLIC_FLOAT + 4]
    return private[at + 4] == kept and (not kept or private[at : at + 4] == value)


# --- what is watched ---------------------------------------------------------------------------------------


class TorchStream:
    """A ``torch.Generator`` of any device; a device that is not initialised is never initialised here."""

    __slots__ = ("_address", "_on_cuda", "_pointer", "_read", "owner")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        device = owner.device.type
        self._on_cuda = device == "cuda"
        # The address where memory is read, which is looked up each time: the owner keeps the C++ object.
        self._pointer: Any = None
        self._read: Callable[[], int] | None = None
        if device == "cpu" and layout() is not None:
            self._pointer = ctypes.c_uint64.from_address(id(owner) + _POINTER)
            self._bind()

    def _bind(self) -> None:
        self._address = self._pointer.value
        known = layout()
        self._read = None
        if known is not None and self._address:
            table = ctypes.c_uint64.from_address(self._address).value
            self._read = _reader(self._address, known) if table == known.table else None

    def fingerprint(self) -> int:
        """The state as an unsigned 64-bit number, never 0.

        Raises:
            RuntimeError: The generator is of a CUDA device that this process has not initialised, as in a
                child forked after CUDA was.
        """
        if self._pointer is not None:
            if self._pointer.value != self._address:
                self._bind()
            if self._read is not None:
                return self._read() or 1
        if self._on_cuda and not sys.modules["torch.cuda"].is_initialized():
            raise RuntimeError("the CUDA generator's device is not initialised in this process")
        return read_publicly(self.owner) or 1
