"""Loops over a PyTorch `DataLoader` that nobody wrapped: made from a watched one, or taken as it comes.

A watched loader sees to itself. Frameworks also build loaders of their own from its parts (Accelerate), and
an audit of a whole program takes every loader that is iterated over. Requires torch.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info

from batchaudit import consumers
from batchaudit.capture.recorder import Recorder
from batchaudit.consumers import places
from batchaudit.consumers.transit import replaced
from batchaudit.sources import recorder_of, torch_iterators, torch_kin
from batchaudit.sources.subclass import is_twin

# Keras says itself what its model gets, and batchaudit iterates over it in its name.
_OWN_HOOKS = ("keras.src.", "tf_keras.src.", "batchaudit.")

_adopted: dict[int, tuple[weakref.ref[Any], Recorder]] = {}


@contextmanager
def hooks() -> Iterator[None]:
    """Within it loaders that are no twins are watched too, where they belong to an open audit."""
    _forget()
    methods = {
        "__init__": _making(DataLoader.__init__),
        "__iter__": _iterating(DataLoader.__iter__),
        "_get_iterator": _opening(DataLoader._get_iterator),
    }
    with replaced(DataLoader, **methods):
        yield
    _forget()


def _forget() -> None:
    _adopted.clear()
    torch_kin.forget()


def _making(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it stands in for one
        places.note(self)
        original(self, *args, **kwargs)

    return __init__


def _iterating(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def __iter__(self: Any) -> Any:  # noqa: N807 - it stands in for one
        recorder = _known(self)
        if recorder is None and _may_be_adopted(self, sys._getframe(1).f_globals.get("__name__", "")):
            recorder = _adopt(self)
        if recorder is None:
            return original(self)
        return torch_iterators.iterate(recorder, self, functools.partial(original, self))

    return __iter__


def _opening(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def _get_iterator(self: Any) -> Any:
        recorder = _known(self)
        if recorder is None:
            return original(self)
        return torch_iterators.make_iterator(recorder, self, functools.partial(original, self))

    return _get_iterator


def _known(loader: Any) -> Recorder | None:
    """The recorder of a loader that is no twin."""
    if is_twin(loader):
        return None
    held = _adopted.get(id(loader))
    if held is not None and held[0]() is loader:
        return held[1]
    return torch_kin.recorder_of_kin(loader)


def _may_be_adopted(loader: Any, caller: str) -> bool:
    return not is_twin(loader) and get_worker_info() is None and not caller.startswith(_OWN_HOOKS)


def _adopt(loader: Any) -> Recorder | None:
    # What is evaluated needs no gradients.
    split = None if torch.is_grad_enabled() and not torch.is_inference_mode_enabled() else "validation"
    watched = consumers.adopted(loader, place=places.of(loader), split=split)
    recorder = None if watched is loader else recorder_of(watched)
    if recorder is not None:
        number = id(loader)
        _adopted[number] = (weakref.ref(loader, lambda _: _adopted.pop(number, None)), recorder)
    return recorder
