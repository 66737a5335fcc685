"""Whether an object of the user's draws an order or its length: read from its code and what it holds."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

from batchaudit.capture.stream_state import stream_kind

_LIBRARIES = ("random", "numpy.random", "torch.random")
_MOST_ASKED = 64
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


def length_draws(thing: object) -> bool:
    """Whether to ask an object how long it is might draw from a random stream, and change the training.

    Args:
        thing: a sampler, a dataset.

    Returns:
        Whether the code behind its `__len__` names a function that draws, or an attribute that holds a random
        generator; also where there is too much code to tell.
    """
    waiting: list[tuple[object, object]] = [(thing, _member(thing, "__len__"))]
    asked: set[tuple[int, int]] = set()
    while waiting:
        owner, function = waiting.pop()
        if isinstance(function, property):
            function = function.fget
        if not isinstance(function, types.FunctionType) or (id(owner), id(function)) in asked:
            continue
        asked.add((id(owner), id(function)))
        if len(asked) > _MOST_ASKED:
            return True
        if any(_is_random(value) for value in _of_code(function.__code__, function.__globals__)):
            return True
        for name in _names(function.__code__):
            held = getattr(owner, "__dict__", {}).get(name)
            if held is not None and stream_kind(type(held)) is not None:
                return True
            waiting.append((owner, _member(owner, name)))
            waiting.append((held, _member(held, "__len__")))
            waiting.append((None, function.__globals__.get(name)))
    return False


def _member(thing: object, name: str) -> object:
    return next((vars(cls)[name] for cls in type(thing).__mro__ if name in vars(cls)), None)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


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
