"""One random generator being watched: its state as a 64-bit number, read without drawing from it.

Requires nothing but what the program has loaded: every class is looked up in ``sys.modules``. State is read
from memory where that is proved to give the same number as the public call (see `bit_generators` and
`torch_generators`). Only content is hashed, never an address: clones in forked children read equal.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from xxhash import xxh3_64_intdigest

from batchaudit.capture.bit_generators import (
    ID_IS_ADDRESS,
    MT_BYTES,
    Reader,
    bit_reader,
    memory,
    same_on_twin,
)
from batchaudit.capture.torch_generators import TorchStream

# A gaussian kept for the next call belongs to the state. It goes in as the seed of the hash; the constant
# keeps a kept 0.0 apart from nothing kept.
_GAUSS_KEPT = 0x9E3779B97F4A7C15
_HEADER_BYTES = object.__basicsize__

#: A class's ``__mro__`` and ``__dict__`` without the user's metaclass having a say.
mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
namespace: Callable[[type], Any] = type.__dict__["__dict__"].__get__


class Stream(Protocol):
    """One random generator being watched."""

    owner: Any

    def fingerprint(self) -> int:
        """The state as an unsigned 64-bit number, never 0."""


def kept_gaussian(bits: int) -> int:
    """The hash seed that stands for a kept gaussian with these 64 bits."""
    return bits ^ _GAUSS_KEPT


def _double_bits(value: float) -> int:
    return int(struct.unpack("=Q", struct.pack("=d", value))[0])


class BitStream:
    """A ``numpy.random.Generator``, or a bit generator that is held without one."""

    __slots__ = ("_bit_generator", "_read", "owner")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        generator_class = sys.modules["numpy.random"].Generator
        # Kept because its memory is read; an owner that is one itself is kept once, so that whether the user
        # still holds it can be told from its reference count.
        self._bit_generator = None
        if issubclass(type(owner), generator_class):
            self._bit_generator = generator_class.bit_generator.__get__(owner)
        self._read = bit_reader(self._bit_generator or owner)

    def fingerprint(self) -> int:
        """The state as an unsigned 64-bit number, never 0."""
        return self._read(0) or 1


_gauss_offsets: dict[type, int | None] = {}


def _gauss_offset(cls: Any) -> int | None:
    """Where a ``RandomState`` keeps its gaussian; None if the public call must be asked. Found out once."""
    if cls not in _gauss_offsets:
        try:
            _gauss_offsets[cls] = _find_gauss(cls) if ID_IS_ADDRESS else None
        except Exception:  # an unknown layout may fail in any way: it is then not used
            _gauss_offsets[cls] = None
    return _gauss_offsets[cls]


def _find_gauss(cls: Any) -> int | None:
    """The offset of ``int has_gauss; double gauss``, found and proved on a twin.

    The pair follows a pointer to the object's own ``bitgen_t``, by which it is recognised.
    """
    twin = cls(20)
    start, size = id(twin), cls.__basicsize__
    words = (ctypes.c_uint64 * (size // 8)).from_address(start)
    inside = [at for at in range(2, len(words) - 2) if start < words[at] < start + size]
    for at in inside:
        offset = (at + 1) * 8
        fast, slow = partial(_gauss_in_memory, twin, offset), partial(_gauss_public, cls, twin)
        # The first of each two draws leaves a gaussian behind and the second takes it.
        drawn = [(fast(), slow(), twin.standard_normal()) for _ in range(5)]
        if all(quick == public for quick, public, _ in drawn) and any(public for _, public, _ in drawn):
            return offset
    return None


def _gauss_in_memory(owner: Any, offset: int) -> int:
    start = id(owner) + offset
    if ctypes.c_int.from_address(start).value == 0:
        return 0
    return kept_gaussian(ctypes.c_uint64.from_address(start + 8).value)


def _gauss_public(cls: Any, owner: Any) -> int:
    state = cls.get_state(owner, legacy=False)
    return kept_gaussian(_double_bits(state["gauss"])) if state["has_gauss"] else 0


class LegacyStream:
    """A ``numpy.random.RandomState``, such as NumPy's global stream.

    Its bit generator can be exchanged (``np.random.set_bit_generator``), and it keeps every second gaussian
    itself: the bit generator does not move at a second ``randn()``, this does.
    """

    __slots__ = ("_bit_generator", "_cls", "_current", "_gauss", "_has_gauss", "_read", "owner")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self._cls: Any = sys.modules["numpy.random"].RandomState
        self._current: Callable[[Any], Any] = self._cls._bit_generator.__get__
        self._bind(self._current(owner))
        offset = _gauss_offset(self._cls)
        self._has_gauss = None if offset is None else ctypes.c_int.from_address(id(owner) + offset)
        self._gauss = None if offset is None else ctypes.c_uint64.from_address(id(owner) + offset + 8)

    def _bind(self, bit_generator: Any) -> None:
        self._bit_generator = bit_generator
        self._read = bit_reader(bit_generator)

    def fingerprint(self) -> int:
        """The state as an unsigned 64-bit number, never 0."""
        bit_generator = self._current(self.owner)
        if bit_generator is not self._bit_generator:
            self._bind(bit_generator)
        if self._has_gauss is None or self._gauss is None:
            return self._read(_gauss_public(self._cls, self.owner)) or 1
        if self._has_gauss.value:
            return self._read(kept_gaussian(self._gauss.value)) or 1
        return self._read(0) or 1


def _python_public(base: Any, owner: Any, seed: int) -> int:
    """The fingerprint through ``getstate``, in the order of the memory: position, then words."""
    *words, position = base.getstate(owner)
    return xxh3_64_intdigest(struct.pack("=i624I", position, *words), seed)


_proved_python: dict[type, bool] = {}


def _python_proved(base: Any) -> bool:
    proved = _proved_python.get(base)
    if proved is None:
        twin = base(20)
        proved = base.__basicsize__ >= _HEADER_BYTES + MT_BYTES and same_on_twin(
            partial(xxh3_64_intdigest, memory(id(twin) + _HEADER_BYTES, MT_BYTES), 0),
            partial(_python_public, base, twin, 0),
            twin.random,
        )
        _proved_python[base] = proved
    return proved


class PythonStream:
    """A ``random.Random``, such as the one behind Python's ``random`` functions."""

    __slots__ = ("_read", "_reads_gauss", "owner")

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        base: Any = sys.modules["_random"].Random
        if ID_IS_ADDRESS and _python_proved(base):
            # index and words: the C part of the object, right behind its header
            self._read: Reader = partial(xxh3_64_intdigest, memory(id(owner) + _HEADER_BYTES, MT_BYTES))
        else:
            self._read = partial(_python_public, base, owner)
        # A property of the user's by this name would be the user's code: leave it alone.
        self._reads_gauss = not any("gauss_next" in namespace(cls) for cls in mro(type(owner)))

    def fingerprint(self) -> int:
        """The state as an unsigned 64-bit number, never 0."""
        gauss = None
        if self._reads_gauss:
            try:
                gauss = object.__getattribute__(self.owner, "gauss_next")
            except AttributeError:  # a subclass that never called Random.__init__
                gauss = None
        return self._read(0 if gauss is None else kept_gaussian(_double_bits(gauss))) or 1


_KINDS: tuple[tuple[str, str, Callable[[Any], Stream]], ...] = (
    ("random", "Random", PythonStream),
    ("numpy.random", "RandomState", LegacyStream),
    ("numpy.random", "Generator", BitStream),
    ("numpy.random", "BitGenerator", BitStream),
    ("torch", "Generator", TorchStream),
)


def stateless(cls: type) -> bool:
    """Whether the class looks like a generator but has no state to read (``random.SystemRandom``)."""
    system = getattr(sys.modules.get("random"), "SystemRandom", None)
    return system is not None and issubclass(cls, system)


def stream_kind(cls: type) -> Callable[[Any], Stream] | None:
    """What watches objects of this class, or None if they are no generators that this module can read."""
    if stateless(cls):
        return None
    for module, name, kind in _KINDS:
        known = getattr(sys.modules.get(module), name, None)
        if isinstance(known, type) and issubclass(cls, known):
            return kind
    return None


def watch(owner: Any) -> Stream:
    """A stream over ``owner``, which is one of the generators that `stream_kind` knows."""
    kind = stream_kind(type(owner))
    if kind is None:
        raise TypeError(f"{type(owner).__name__} is no random generator that can be read")
    return kind(owner)
