"""grain's `DataLoader`, `MapDataset` and `IterDataset`. Requires grain, which the user's program has loaded.

grain's own worker processes each make a slice of the elements. Where nothing but the prefetch from these
processes lies between them and the consumer, the elements are noted in the workers: the iterator that runs
there sends the ticket of the record along with the element, and the consumer's iterator takes it off again.
Elsewhere they are noted where they are asked for. Nothing is put below a transformation of the user's, so
each has the seed, and each checkpoint the form, that it has unwatched.
"""

from __future__ import annotations

import copy
import sys
import time
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources.delivery import Delivery
from batchaudit.sources.kinds import Kind
from batchaudit.sources.parcel import Parcel
from batchaudit.sources.proxy import WatchedIterator, as_number
from batchaudit.sources.subclass import Override, is_twin, twin, untwin

# Stages that hand on each element of the one before, as it is and in order.
_PASSING_ON = frozenset(
    {
        "ThreadPrefetchIterDataset",
        "WithOptionsIterDataset",
        "_DataLoaderPipelineMarkerIterDataset",
        "_DataLoaderStateIterDataset",
        "_WithSeedIterDataset",
    }
)
_IN_TURNS = "InterleaveIterDataset"
_IN_A_PROCESS = "ProcessPrefetchIterDataset"

# What makes another dataset of a `MapDataset`. Its threads would ask the watched one in no order.
_TRANSFORMATIONS = (
    "apply", "batch", "filter", "map", "map_with_index", "pipe", "random_map", "repeat", "seed", "shuffle",
    "slice",
)  # fmt: skip


def kind(source: object) -> Kind | None:
    """INDEXED for a `MapDataset`, ITERABLE for an `IterDataset` or a `DataLoader`; None for anything else."""
    if _is_a("MapDataset", source):
        return Kind.INDEXED
    return Kind.ITERABLE if _is_a("IterDataset", source) or _is_a("DataLoader", source) else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched twin of a loader or dataset; a record is one element, which is a batch after `batch`.

    Args:
        source: the user's object.
        recorder: notes each element, in grain's workers where that can be.

    Returns:
        The twin. What `map`, `shuffle`, ... make of a `MapDataset` is not watched, whereas its
        `to_iter_dataset()` is.
    """
    if _is_a("MapDataset", source):
        return twin(source, recorder, _OF_MAPS, watch)
    return twin(source, recorder, {"__iter__": _iter}, watch)


def about(source: Any) -> dict[str, Any]:
    """How many elements a pass over a `MapDataset` has, and whether a source shuffles.

    Args:
        source: the user's object.
    """
    said: dict[str, Any] = {}
    if _is_a("MapDataset", source):
        said["batches"] = len(source)
    sampler: Any = getattr(source, "_sampler", None)
    if hasattr(sampler, "_shuffle"):
        said["shuffles"] = bool(sampler._shuffle)
    elif not _is_a("DataLoader", source):
        said["shuffles"] = _has_shuffle(source)
    return said


def _has_shuffle(dataset: Any, left: int = 64) -> bool:
    if left == 0 or "Shuffle" in type(dataset).__name__:
        return left > 0
    return any(_has_shuffle(parent, left - 1) for parent in getattr(dataset, "_parents", ()))


def _is_a(name: str, source: object) -> bool:
    cls = getattr(sys.modules.get("grain"), name, None)
    return isinstance(cls, type) and isinstance(source, cls)


# -- MapDataset -----------------------------------------------------------------------------------


def _getitem(recorder: Recorder, original: Any, index: Any) -> Any:
    if isinstance(index, slice):  # another dataset
        return original(index)
    return recorder.produce(original, index, index=as_number(index))


def _to_iter_dataset(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    return watch(_of_the_source(recorder, original, *args, **kwargs), recorder)


def _of_the_source(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    return original.func(untwin(original.args[0]), *args, **kwargs)


_OF_MAPS: dict[str, Override] = {
    **dict.fromkeys(_TRANSFORMATIONS, _of_the_source),
    "__getitem__": _getitem,
    "to_iter_dataset": _to_iter_dataset,
}


# -- the consumer's side --------------------------------------------------------------------------


def _iter(recorder: Recorder, original: Any) -> Any:
    # Of the source and not of the twin: grain's `__iter__` may call itself.
    source = untwin(original.args[0])
    if recorder.off():
        return source.__iter__()
    recorder.hook("iterator")
    noting = (
        _loader_noting(source, recorder) if _is_a("DataLoader", source) else _dataset_noting(source, recorder)
    )
    if noting is None:
        return _Iterator(source.__iter__(), recorder)
    made = noting.__iter__()
    if hasattr(source, "has_child"):  # grain notes there that a dataset has been iterated
        source.has_child = noting.has_child
    return _Unpacking(made, recorder)


class _Iterator(WatchedIterator):
    """Watches an iterator of grain's where its elements are asked for."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # Checkpoints and grain's own stages ask whether it is one of grain's.
        return type(self._batchaudit_source)

    def __str__(self) -> str:
        return str(self._batchaudit_source)

    def __repr__(self) -> str:
        return repr(self._batchaudit_source)


class _Unpacking(_Iterator):
    """Takes the tickets off the elements that come from workers."""

    __slots__ = ("_batchaudit_delivery",)

    def __init__(self, source: Any, recorder: Recorder) -> None:
        super().__init__(source, recorder)
        object.__setattr__(self, "_batchaudit_delivery", Delivery(recorder))

    def __next__(self) -> Any:
        asked = time.monotonic_ns()
        try:
            element = self._batchaudit_source.__next__()
        except StopIteration:
            self._batchaudit_delivery.end()
            raise
        ticket, batch = element
        self._batchaudit_delivery.hand_on(batch, ticket, time.monotonic_ns() - asked)
        return batch


# -- the workers' side ----------------------------------------------------------------------------


def watch_in_worker(source: Any, recorder: Recorder) -> Any:
    """A watched twin of the part of a pipeline that grain sends to a worker; its elements are parcels.

    Args:
        source: the dataset that the worker iterates.
        recorder: notes its elements there.

    Returns:
        The twin.
    """
    return twin(source, recorder, {"__iter__": _iter_in_worker}, watch_in_worker)


def _iter_in_worker(recorder: Recorder, original: Any) -> Any:
    return _Packing(untwin(original.args[0]).__iter__(), recorder)


class _Packing(_Iterator):
    """Notes a worker's elements, and sends each with the ticket of its record."""

    __slots__ = ()

    def __next__(self) -> Parcel:
        recorder, source = self._batchaudit_recorder, self._batchaudit_source
        with recorder.as_worker(source._ctx.mp_context.process_index):
            batch = recorder.produce(source.__next__)
        return Parcel(recorder.take_ticket(), batch)


def _loader_noting(source: Any, recorder: Recorder) -> Any:
    """A copy of a `DataLoader` whose elements are parcels from its workers; None where that cannot be."""
    if type(source).__iter__ is not sys.modules["grain"].DataLoader.__iter__:
        return None
    dataset = _dataset_noting(source._dataset, recorder)
    return None if dataset is None else _changed(source, _dataset=dataset)


def _dataset_noting(dataset: Any, recorder: Recorder) -> Any:
    """A copy of a dataset whose elements are parcels from its workers; None where that cannot be."""
    name = type(dataset).__name__
    if is_twin(dataset):  # watched by itself
        return None
    if name in _PASSING_ON:
        parent = _dataset_noting(dataset._parents[0], recorder)
        return None if parent is None else _changed(dataset, _parents=(parent,))
    if name == _IN_A_PROCESS:
        parent = watch_in_worker(dataset._parents[0], recorder)
        return _changed(dataset, _parents=(parent,))
    if name == _IN_TURNS and isinstance(dataset._datasets, (list, tuple)):
        parts = [_dataset_noting(part, recorder) for part in dataset._datasets]
        return None if any(part is None for part in parts) else _changed(dataset, _datasets=parts)
    return None


def _changed(thing: Any, **values: Any) -> Any:
    made = copy.copy(thing)
    vars(made).update(values)
    return made
