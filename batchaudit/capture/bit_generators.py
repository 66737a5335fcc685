"""The state of a NumPy bit generator as a 64-bit number, from its own memory where that is proved right.

NumPy's public ``state`` and ``get_state`` cost up to 29 µs, too much for twice a batch. The memory way is
used for a class only if, on a twin generator made for the purpose, it gives the same number as the public
way, before and after the twin is drawn from. The proof is made once a process for each class. Where it fails
the public way is used; both give the same number, so that processes can be compared.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from xxhash import xxh3_64_intdigest

#: Reads the state as a 64-bit number, from a seed that stands for what is kept outside that state.
Reader = Callable[[int], int]

#: Memory can be read at an object's id in CPython alone.
ID_IS_ADDRESS = sys.implementation.name == "cpython"
#: A Mersenne twister: 624 words of 32 bits and a position.
MT_BYTES = 625 * 4


def memory(address: int, size: int) -> memoryview:
    """A live view of ``size`` bytes at ``address``; whoever keeps it keeps the memory's owner too."""
    return memoryview((ctypes.c_ubyte * size).from_address(address))


def same_on_twin(fast: Callable[[], int], slow: Callable[[], int], draw: Callable[[], object]) -> bool:
    """Whether two ways of reading one generator agree, and see it move, over a few draws."""
    seen = set()
    try:
        for _ in range(4):
            value = slow()
            if fast() != value or value in seen:
                return False
            seen.add(value)
            draw()
    except Exception:  # an unknown layout may fail in any way: it is then not used
        return False
    return True


def _plain(value: Any) -> object:
    """A bit generator's ``state``, with arrays as bytes, so that its ``repr`` holds all of its content."""
    if isinstance(value, dict):
        return [(key, _plain(item)) for key, item in sorted(value.items())]
    return value.tobytes() if hasattr(value, "tobytes") else value


def _public_bits(bit_generator: Any, seed: int) -> int:
    """The fingerprint through the public ``state``."""
    state = bit_generator.state
    name, inner = state["bit_generator"], state["state"]
    if name == "MT19937":
        return xxh3_64_intdigest(inner["key"].tobytes() + struct.pack("=i", inner["pos"]), seed)
    if name in ("PCG64", "PCG64DXSM"):
        half = struct.pack("=iI", state["has_uint32"], state["uinteger"])
        words = b"".join(inner[word].to_bytes(16, sys.byteorder) for word in ("state", "inc"))
        return xxh3_64_intdigest(words, xxh3_64_intdigest(half, seed))
    return xxh3_64_intdigest(repr(_plain(state)).encode(), seed)


def _mt19937_bits(bit_generator: Any) -> Reader:
    # mt19937_state: uint32 key[624], int pos
    return partial(xxh3_64_intdigest, memory(bit_generator.ctypes.state_address, MT_BYTES))


def _pcg64_bits(bit_generator: Any) -> Reader:
    # pcg64_state: a pointer to {uint128 state, uint128 inc}, int has_uint32, uint32 uinteger
    address = bit_generator.ctypes.state_address
    target = ctypes.c_uint64.from_address(address).value
    start = id(bit_generator)
    if not start <= target <= start + type(bit_generator).__basicsize__ - 32:
        raise ValueError("the state lies outside its object: an unknown layout")
    words, half = memory(target, 32), memory(address + 8, 8)
    return lambda seed: xxh3_64_intdigest(words, xxh3_64_intdigest(half, seed))


_BIT_LAYOUTS = (("MT19937", _mt19937_bits), ("PCG64", _pcg64_bits), ("PCG64DXSM", _pcg64_bits))
_proved_bits: dict[type, bool] = {}


def _bits_proved(cls: type, layout: Callable[[Any], Reader]) -> bool:
    """Whether ``layout`` reads bit generators of this class right; found out once a process."""
    proved = _proved_bits.get(cls)
    if proved is None:
        twin = cls(20)
        # An odd number of 32-bit draws leaves half a word behind, which is a part of the state.
        generator = sys.modules["numpy.random"].Generator(twin)
        draw = partial(generator.integers, 1 << 32, size=701, dtype="uint32")
        read = layout(twin)
        proved = same_on_twin(partial(read, 0), partial(_public_bits, twin, 0), draw)
        _proved_bits[cls] = proved
    return proved


def bit_reader(bit_generator: Any) -> Reader:
    """The cheapest proved way to read a NumPy bit generator; the caller keeps the bit generator alive."""
    module = sys.modules["numpy.random"]
    for name, layout in _BIT_LAYOUTS if ID_IS_ADDRESS else ():
        cls = getattr(module, name, None)
        if cls is not None and issubclass(type(bit_generator), cls):
            try:
                if _bits_proved(cls, layout):
                    return layout(bit_generator)
            except (AttributeError, TypeError, ValueError):
                _proved_bits[cls] = False
            break
    return partial(_public_bits, bit_generator)
