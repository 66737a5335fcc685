"""What makes or seeds random streams, wrapped for a while: what was called, and what if it were otherwise?

A generator that is made for one sample, drawn from and dropped is never seen by who reads streams. What makes
it is seen here, where the program calls it by whatever name: NumPy's `default_rng` and classes, `seed` and
`Random` of Python, torch's `manual_seed` and `Generator`, TensorFlow's and JAX's seeds and stateless draws.
For probes alone: it is the program's modules that are changed, for as long as the context lasts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from batchaudit.capture.private_streams import find_streams

Note = Callable[[str], None]
"""Told the name of what was called."""

ANOTHER = 0xB1D
"""A seed of the global streams for making an item otherwise."""
_OTHERWISE = 0x5EED
# Who looks these up in itself means its own.
_CLOSED = ("numpy.", "torch._", "tensorflow.python.", "jax._", "batchaudit.")
_OPEN = ("numpy.random",)
_STATELESS = ("uniform", "normal", "truncated_normal", "categorical", "gamma", "binomial", "poisson")


@contextmanager
def wrapped(note: Note, *, otherwise: bool = False) -> Iterator[None]:
    """Tells of every call that makes or seeds a random stream.

    Args:
        note: told the name of what was called.
        otherwise: whether what is seeded gets another seed than the program says.
    """
    twins = dict(_twins(note, _other if otherwise else lambda seed: seed))
    replaced = []
    for module in list(sys.modules.values()):
        for name, value in _mentions(module, twins):
            replaced.append((vars(module), name, value))
    # The dictionary, since a module may do more than that where an attribute is set.
    for names, name, value in replaced:
        names[name] = twins[id(value)][1]
    try:
        yield
    finally:
        for names, name, value in replaced:
            names[name] = value


def _mentions(module: Any, twins: dict[int, tuple[Any, Any]]) -> list[tuple[str, Any]]:
    with suppress(Exception):  # a module may be anything
        name = vars(module)["__name__"]
        if not isinstance(module, ModuleType) or (name.startswith(_CLOSED) and name not in _OPEN):
            return []
        return [(name, value) for name, value in list(vars(module).items()) if id(value) in twins]
    return []


def _twins(note: Note, other: Callable[[Any], Any]) -> Iterator[tuple[int, tuple[Any, Any]]]:
    """By its id, each that is to be wrapped and what stands in for it."""
    for module, make in _WRAPPED.items():
        if module in sys.modules:
            for name, original, stand_in in make(sys.modules[module], other):
                yield id(original), (original, _noted(original, stand_in, note, name))


def _noted(original: Any, stand_in: Any, note: Note, name: str) -> Any:
    if isinstance(original, type):
        return _class(original, stand_in, note, name)

    def called(*args: Any, **kwargs: Any) -> Any:
        if _is_ours(sys._getframe(1)):
            return original(*args, **kwargs)
        note(name)
        return stand_in(*args, **kwargs)

    return called


def _class(original: type, methods: dict[str, Any], note: Note, name: str) -> type:
    """A subclass that says what is made of it; what is of the class is of the subclass, too."""

    class Meta(type(original)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, subclass: Any) -> bool:
            return issubclass(subclass, original)

    def told(key: str, method: Any) -> Any:
        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            if _is_ours(sys._getframe(1)):
                return getattr(original, key)(self, *args, **kwargs)
            note(name)
            return method(self, *args, **kwargs)

        return called

    body = {key: told(key, method) for key, method in methods.items()}
    return Meta(original.__name__, (original,), {**body, "__module__": original.__module__})


def _is_ours(caller: FrameType) -> bool:
    """Whether it is the look at a batch that makes a generator, to compare another with."""
    return str(caller.f_globals.get("__name__")).startswith("batchaudit.capture.")


# -- who is wrapped -------------------------------------------------------------------------------

_Wrapped = Iterator[tuple[str, Any, Any]]


def _numpy(random: Any, other: Callable[[Any], Any]) -> _Wrapped:
    def first(original: Any) -> Any:
        return lambda seed=None, **kwargs: original(other(seed), **kwargs)

    yield "numpy.random.default_rng", random.default_rng, first(random.default_rng)
    yield "numpy.random.seed", random.seed, first(random.seed)
    names = ("RandomState", "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    for cls in (getattr(random, name) for name in names if hasattr(random, name)):
        yield f"numpy.random.{cls.__name__}", cls, _made_with(cls, other)


def _made_with(cls: Any, other: Callable[[Any], Any]) -> dict[str, Any]:
    def make(self: Any, seed: Any = None, *args: Any, **kwargs: Any) -> None:
        if isinstance(kwargs.get("key"), int):  # Philox
            kwargs["key"] = other(kwargs["key"])
        cls.__init__(self, other(seed), *args, **kwargs)

    def seed_again(self: Any, seed: Any = None) -> None:
        cls.seed(self, other(seed))

    return {"__init__": make, **({"seed": seed_again} if hasattr(cls, "seed") else {})}


def _python(random: Any, other: Callable[[Any], Any]) -> _Wrapped:
    cls = random.Random

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        cls.seed(self, _other_of_python(a, other), version)

    def of_all(a: Any = None, version: int = 2) -> None:
        random._inst.seed(_other_of_python(a, other), version)

    yield "random.Random", cls, {"seed": seed}
    yield "random.seed", random.seed, of_all


def _torch(torch: Any, other: Callable[[Any], Any]) -> _Wrapped:
    cls = torch.Generator

    def seed(self: Any, number: Any) -> Any:
        return cls.manual_seed(self, other(number))

    yield "torch.manual_seed", torch.manual_seed, _with(torch.manual_seed, 0, "seed", other)
    yield "torch.Generator", cls, {"manual_seed": seed}


def _tensorflow(tf: Any, other: Callable[[Any], Any]) -> _Wrapped:
    yield "tf.random.set_seed", tf.random.set_seed, _with(tf.random.set_seed, 0, "seed", other)
    for name in _STATELESS:
        drawn = getattr(tf.random, f"stateless_{name}", None)
        if drawn is not None:
            yield f"tf.random.stateless_{name}", drawn, _with(drawn, 1, "seed", lambda s: _shifted(s, other))


def _jax(random: Any, other: Callable[[Any], Any]) -> _Wrapped:
    for name in ("PRNGKey", "key"):
        yield f"jax.random.{name}", getattr(random, name), _with(getattr(random, name), 0, "seed", other)


_WRAPPED: dict[str, Callable[[Any, Callable[[Any], Any]], _Wrapped]] = {
    "numpy.random": _numpy,
    "random": _python,
    "torch": _torch,
    "tensorflow": _tensorflow,
    "jax.random": _jax,
}


def _with(original: Any, place: int, name: str, other: Callable[[Any], Any]) -> Any:
    """A function whose seed is replaced, by position or by name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if name in kwargs:
            kwargs[name] = other(kwargs[name])
        elif len(args) > place:
            args = (*args[:place], other(args[place]), *args[place + 1 :])
        return original(*args, **kwargs)

    return call


# -- another seed ---------------------------------------------------------------------------------


def _other(seed: Any) -> Any:
    """A seed of the same kind that is another one; what is no seed is left as it is."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, _OTHERWISE))
    if isinstance(seed, (int, np.integer)):
        return (int(seed) ^ _OTHERWISE) if seed >= 0 else seed
    if isinstance(seed, float):
        return seed + _OTHERWISE
    if isinstance(seed, (list, tuple, np.ndarray)):
        return [*(int(number) for number in np.ravel(seed)), _OTHERWISE]
    return seed


def _other_of_python(seed: Any, other: Callable[[Any], Any]) -> Any:
    if isinstance(seed, (str, bytes, bytearray)) and other is _other:
        return seed + "+" if isinstance(seed, str) else bytes(seed) + b"+"
    return other(seed)


def _shifted(seed: Any, other: Callable[[Any], Any]) -> Any:
    """The pair of numbers that a stateless draw of TensorFlow's takes, perhaps a tensor."""
    return seed if other is not _other else seed + np.asarray(_OTHERWISE, np.int32)


@contextmanager
def moved_on(source: Any) -> Iterator[None]:
    """Within it, the random streams that a source holds are elsewhere than they were.

    Args:
        source: the user's object.
    """
    with ExitStack() as stack:
        for stream in find_streams([source]).streams:
            with suppress(Exception):  # a generator of a kind of its own
                stack.callback(_move_on(stream))
        yield


def _move_on(stream: Any) -> Callable[[], Any]:
    """Draws from a stream; returns what puts it back."""
    if hasattr(stream, "getstate"):  # random.Random
        state = stream.getstate()
        stream.random()
        return lambda: stream.setstate(state)
    if hasattr(stream, "set_state"):  # torch.Generator, RandomState
        state = stream.get_state()
        stream.random_sample() if hasattr(stream, "random_sample") else _draw_of_torch(stream)
        return lambda: stream.set_state(state)
    bits = getattr(stream, "bit_generator", stream)
    state = bits.state
    bits.random_raw(1)
    return lambda: setattr(bits, "state", state)


def _draw_of_torch(generator: Any) -> None:
    import torch

    torch.empty(1).uniform_(generator=generator)
