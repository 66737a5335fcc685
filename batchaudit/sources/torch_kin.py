"""Which loaders a framework has made from a watched one: the same dataset in the same order.

Accelerate takes a loader apart and builds one of its own from its dataset and batch sampler, or from classes
that hold these. Requires torch.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch.utils.data import IterableDataset

from batchaudit.capture.recorder import Recorder

_MOST_DEEP = 4


class _Watched(NamedTuple):
    dataset: _Reference
    samplers: tuple[_Reference, ...]
    recorder: Recorder


class _Reference:
    """An object that is not kept alive: a list, which takes no weak reference, is known by its id alone."""

    def __init__(self, thing: Any) -> None:
        self._id = id(thing)
        try:
            self._weak: weakref.ref[Any] | None = weakref.ref(thing)
        except TypeError:
            self._weak = None

    def is_to(self, thing: Any) -> bool:
        return self._id == id(thing) and (self._weak is None or self._weak() is thing)

    @property
    def is_gone(self) -> bool:
        return self._weak is not None and self._weak() is None


_known: list[_Watched] = []


def remember(loader: Any, recorder: Recorder) -> None:
    """Takes down what a watched loader is made of.

    Args:
        loader: the user's loader.
        recorder: its recorder.
    """
    _known[:] = [each for each in _known if not each.dataset.is_gone and not _all_gone(each.samplers)]
    samplers = [] if isinstance(loader.dataset, IterableDataset) else [loader.batch_sampler, loader.sampler]
    references = tuple(_Reference(sampler) for sampler in samplers if sampler is not None)
    _known.append(_Watched(_Reference(loader.dataset), references, recorder))


def recorder_of_kin(loader: Any) -> Recorder | None:
    """The recorder of the watched loader that a loader was made from; None where there is none.

    Args:
        loader: a loader that is not watched itself.
    """
    if not _known:
        return None
    datasets = list(_inside(loader.dataset, ("dataset",)))[: None if _is_shard(loader.dataset) else 1]
    samplers: list[Any] | None = None
    for each in reversed(_known):  # the last one that was watched
        if not any(each.dataset.is_to(dataset) for dataset in datasets):
            continue
        if not each.samplers:
            return each.recorder
        if samplers is None:
            samplers = [*_samplers_of(loader)]
        if any(reference.is_to(sampler) for reference in each.samplers for sampler in samplers):
            return each.recorder
    return None


def forget() -> None:
    """Forgets all watched loaders."""
    _known.clear()


def _all_gone(references: tuple[_Reference, ...]) -> bool:
    return bool(references) and all(reference.is_gone for reference in references)


def _is_shard(dataset: Any) -> bool:
    # Other datasets that hold a dataset give other samples than it does.
    return type(dataset).__module__.startswith("accelerate.")


def _samplers_of(loader: Any) -> Iterator[Any]:
    for sampler in (loader.batch_sampler, loader.sampler):
        if sampler is not None:
            yield from _inside(sampler, ("batch_sampler", "sampler"))


def _inside(thing: Any, names: tuple[str, ...]) -> Iterator[Any]:
    for _ in range(_MOST_DEEP):
        yield thing
        held = next((vars(thing)[name] for name in names if name in getattr(thing, "__dict__", {})), None)
        if held is None:
            return
        thing = held
