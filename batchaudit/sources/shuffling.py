"""Whether an object of the user's was made to draw an order: read from its code and from what it holds."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

from batchaudit.capture.stream_state import stream_kind

_LIBRARIES = ("random", "numpy.random", "torch.random")
_OF_TORCH = ("randperm", "randint", "rand", "multinomial", "Generator", "manual_seed")


def draws(thing: object) -> bool:
    """Whether an object holds a random generator, or code of its class names a function that draws.

    Args:
        thing: a sampler, or whatever makes an order.
    """
    held = getattr(thing, "__dict__", {})
    if any(stream_kind(type(value)) is not None for value in held.values()):
        return True
    return any(_is_random(value) for value in _named(type(thing)))


def _named(cls: type) -> Iterator[object]:
    """What the methods of a class name, of the globals of their modules, and of the modules among those."""
    for base in cls.__mro__:
        for member in list(vars(base).values()):
            if isinstance(member, types.FunctionType):
                yield from _of_code(member.__code__, member.__globals__)


def _of_code(code: types.CodeType, scope: dict[str, Any]) -> Iterator[object]:
    for name in code.co_names:
        value = scope.get(name)
        yield value
        if isinstance(value, types.ModuleType):
            yield from (vars(value).get(other) for other in code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _of_code(constant, scope)


def _is_random(value: object) -> bool:
    """Whether something is a library of random numbers, or a function of one."""
    if value is None:
        return False
    libraries = [sys.modules[name] for name in _LIBRARIES if name in sys.modules]
    if any(value is library for library in libraries):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and any(value is getattr(torch, name, None) for name in _OF_TORCH):
        return True
    owner = getattr(value, "__self__", None)  # random.shuffle and numpy.random.permutation are methods
    module = getattr(value, "__module__", "") or getattr(type(owner), "__module__", "")
    return callable(value) and (module == "random" or str(module).startswith("numpy.random"))
