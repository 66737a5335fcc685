"""What a loader's parts say: which stored items a batch is of, and which epoch they think it is.

Requires torch.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from batchaudit.sources import hooks

_MOST_DEEP = 8
UNKNOWN = -1


def stored_items(dataset: Any) -> Any:
    """The dataset that the indices of a chain of `Subset`s end in.

    Args:
        dataset: a map-style dataset.
    """
    while _is_subset(dataset):
        dataset = dataset.dataset
    return dataset


def ids_of(dataset: Any, index: Any) -> np.ndarray[Any, Any] | None:
    """Which stored items a fetch is of.

    Args:
        dataset: a map-style dataset.
        index: what the sampler gave: a list of indices, or one.

    Returns:
        int64, shape (samples,): indices of `stored_items(dataset)`; None where they are no integers.
    """
    # Nothing else is read, since an iterator could be read but once.
    if not isinstance(index, (list, tuple, range, np.ndarray, torch.Tensor)):
        index = [index]
    try:
        # What samplers give nearly always; a bool is of another type.
        ids = index if type(index) is list and set(map(type, index)) == {int} else [*map(_whole, index)]
        while _is_subset(dataset):
            ids = [_whole(dataset.indices[each]) for each in ids]
            dataset = dataset.dataset
        return np.array(ids, np.int64)
    except Exception:  # keys, slices, or an index that the dataset itself will refuse
        return None


def believed_epoch(dataset: Any) -> int:
    """The epoch that a dataset says it is in.

    Args:
        dataset: the dataset; those that it is a part of are asked after it.

    Returns:
        Its number; -1 where it does not say.
    """
    for _ in range(_MOST_DEEP):
        for name in hooks.EPOCH:
            found = _number(_own(dataset, name))
            if found is not None:
                return found
        dataset = _own(dataset, "dataset")
        if dataset is None:
            break
    return UNKNOWN


def sampler_epoch(loader: Any) -> int | None:
    """The epoch that was set on a loader's sampler; None where none of its samplers takes one.

    Args:
        loader: the loader.
    """
    batches = getattr(loader, "batch_sampler", None)
    for sampler in (getattr(loader, "sampler", None), getattr(batches, "sampler", None), batches):
        if hasattr(type(sampler), "set_epoch"):
            return believed_epoch(sampler)
    return None


def _is_subset(dataset: Any) -> bool:
    cls = type(dataset)
    return isinstance(dataset, Subset) and cls.__getitem__ is Subset.__getitem__


def _whole(index: Any) -> int:
    if isinstance(index, (bool, np.bool_)):
        raise TypeError("no index")
    return operator.index(index)


def _own(thing: Any, name: str) -> Any:
    """An attribute or property, without asking a `__getattr__` of the user's."""
    try:
        held = object.__getattribute__(thing, "__dict__")
        if name in held:
            return held[name]
    except AttributeError:  # an object of slots
        pass
    if not hasattr(type(thing), name):
        return None
    try:
        return getattr(thing, name)
    except Exception:
        return None


def _number(value: Any) -> int | None:
    """A number that may be shared between processes: an int, a tensor of one, a `multiprocessing.Value`."""
    if hasattr(type(value), "get_obj"):  # not `.value`, which takes a lock
        value = value.get_obj()
    if type(value).__module__.startswith(("ctypes", "multiprocessing.sharedctypes")):
        value = getattr(value, "value", None)
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 and not value.is_floating_point() else None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    return None
