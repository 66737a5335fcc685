"""Hugging Face's `Dataset` and `IterableDataset`. Requires datasets, which the user's program has loaded.

In a training both are mostly read through a `DataLoader` or a `tf.data.Dataset`: wrap that one, to see what
reaches the model and in which worker it was made. Wrapped itself, a dataset shows what is asked of it. What
`map`, `shuffle`, `with_format`, ... make of it is another dataset, which is not watched.
"""

from __future__ import annotations

import copy
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import generator
from batchaudit.sources.kinds import Kind
from batchaudit.sources.proxy import as_number
from batchaudit.sources.subclass import Override, twin, untwin

_MOST_STAGES = 64


def kind(source: object) -> Kind | None:
    """INDEXED for a `Dataset`, ITERABLE for an `IterableDataset`; None for anything else."""
    if _is_a("Dataset", source):
        return Kind.INDEXED
    return Kind.ITERABLE if _is_a("IterableDataset", source) else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched twin of a dataset.

    Args:
        source: a `Dataset`, of which a record is what one question for rows brings: one row, or a batch of
            several, with their numbers as ids where its format makes arrays of them ("numpy", "torch"). A
            column is not noted. Or an `IterableDataset`, of which a record is one element, which is a batch
            after `batch` and from `iter`.
        recorder: notes them.

    Returns:
        The twin.
    """
    if not _is_a("Dataset", source):
        return twin(source, recorder, _OF_STREAMS, watch)
    watched = twin(source, recorder, _OF_ROWS, watch)
    # With a copy of itself a `Dataset` begins to make another one.
    for name, copied in (("__copy__", copy.copy), ("__deepcopy__", copy.deepcopy)):
        setattr(type(watched), name, _of_the_source(copied))
    return watched


def _of_the_source(copied: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *memo: copied(untwin(self), *memo)


def id_space(source: Any) -> str:
    """Which table the ids of a `Dataset`'s samples are rows of; "" for a dataset that has no row numbers."""
    # The rows of a selection are numbered anew.
    return f"rows-{id(source)}" if _is_a("Dataset", source) else ""


def about(source: Any) -> dict[str, Any]:
    """How many rows a `Dataset` has; whether an `IterableDataset` shuffles, and is to be told the epoch.

    Args:
        source: the dataset.
    """
    if _is_a("Dataset", source):
        return {"items": len(source)}
    return {"shuffles": bool(shuffles(source)), "set_epoch": True}


def shuffles(source: Any) -> bool | None:
    """Whether an `IterableDataset` was made by `shuffle`; None for anything else."""
    if not _is_a("IterableDataset", source):
        return None
    if getattr(source, "_shuffling", None) is not None:  # before datasets 5
        return True
    stage = getattr(source, "_ex_iterable", None)
    for _ in range(_MOST_STAGES):
        if stage is None or "Shuffled" in type(stage).__name__:
            return stage is not None
        stage = getattr(stage, "ex_iterable", None)
    return False


def _is_a(name: str, source: object) -> bool:
    cls = getattr(sys.modules.get("datasets"), name, None)
    return isinstance(cls, type) and isinstance(source, cls)


def _getitem(recorder: Recorder, original: Any, key: Any) -> Any:
    if isinstance(key, str):
        return original(key)
    rows = _rows(key, original)

    def ask(key: Any) -> Any:
        if rows is not None:
            recorder.note_ids(rows)
        return original(key)

    return recorder.produce(ask, key, index=as_number(key))


def _getitems(recorder: Recorder, original: Any, keys: Any) -> Any:
    return recorder.produce(original, keys)  # a list of rows


def _rows(key: Any, original: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of the rows that are asked for; None where it is not several that are, by their numbers."""
    count = len(original.args[0])
    if isinstance(key, slice):
        return np.arange(*key.indices(count), dtype=np.int64)
    # Nothing else is read, since an iterator could be read but once.
    if not isinstance(key, (list, tuple, range, np.ndarray)):
        return None
    try:
        rows = np.array([operator.index(row) for row in key], np.int64)
    except TypeError:
        return None
    return np.where(rows < 0, rows + count, rows)


def _iter(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    made = original(*args, **kwargs)
    if recorder.off():
        return made
    recorder.hook("iterator", epoch=_epoch(original.args[0]))
    return generator.watch(made, recorder)


def _iter_stream(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    # In a persistent worker, too, the epoch that was set in the parent is seen.
    recorder.believes(original.args[0].epoch)
    return _iter(recorder, original, *args, **kwargs)


def _set_epoch(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(*args, **kwargs)
    epoch = original.args[0].epoch
    recorder.believes(epoch)
    recorder.hook("set_epoch", epoch=epoch)
    return result


def _epoch(dataset: Any) -> int | None:
    """The epoch that was set on a dataset; None for one that takes none."""
    epoch = getattr(dataset, "epoch", None)
    return None if epoch is None else int(epoch)


_OF_ROWS: dict[str, Override] = {
    "__getitem__": _getitem,
    "__getitems__": _getitems,
    "__iter__": _iter,
    "iter": _iter,
}
_OF_STREAMS: dict[str, Override] = {"__iter__": _iter_stream, "iter": _iter_stream, "set_epoch": _set_epoch}
