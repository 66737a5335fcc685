"""Gives the global random streams back as they were: an audit may not change what the program draws next."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def preserved_streams(seed: int | None = None) -> Iterator[None]:
    """Restores NumPy's, Python's, torch's and TensorFlow's global streams at the end of the context.

    A stream whose module is not loaded when the context begins is left alone: loading it here would
    change what the workers that are forked later inherit.

    Args:
        seed: where given, the streams start from it within the context.
    """
    restores = [restore for stream in _GLOBAL for restore in stream(seed)]
    try:
        yield
    finally:
        for restore in restores:
            restore()


def _numpy(seed: int | None) -> Iterator[Callable[[], Any]]:
    random = sys.modules.get("numpy.random")
    if random is not None:
        state = random.get_state(legacy=False)
        if seed is not None:
            random.seed(seed)
        yield lambda: random.set_state(state)


def _python(seed: int | None) -> Iterator[Callable[[], Any]]:
    random = sys.modules.get("random")
    if random is not None:
        state = random.getstate()
        if seed is not None:
            random.seed(seed)
        yield lambda: random.setstate(state)


def _torch(seed: int | None) -> Iterator[Callable[[], Any]]:
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        state = torch.get_rng_state()
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield lambda: torch.set_rng_state(state)


def _tensorflow(seed: int | None) -> Iterator[Callable[[], Any]]:
    """What `tf.random.set_seed` governs: the stream from which unseeded operations get their seeds.

    The counters inside TensorFlow's cached eager kernels can be neither read nor set.
    """
    context = sys.modules.get("tensorflow.python.eager.context")
    # `_context`, not `context()`, which makes one.
    rng = getattr(getattr(context, "_context", None), "_rng", None)
    if rng is not None:
        state = rng.getstate()
        if seed is not None:
            rng.seed(seed)
        yield lambda: rng.setstate(state)


def _tensorflow_generator(seed: int | None) -> Iterator[Callable[[], Any]]:
    """What `tf.random.get_global_generator()` gives; only once the program has asked for it."""
    module = sys.modules.get("tensorflow.python.ops.stateful_random_ops")
    generator = getattr(module, "global_generator", None)
    if generator is not None:
        state = generator.state.numpy()
        if seed is not None:
            generator.reset_from_seed(seed)
        yield lambda: generator.state.assign(state)


_GLOBAL = (_numpy, _python, _torch, _tensorflow, _tensorflow_generator)
