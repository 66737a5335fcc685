"""PyTorch's `DataLoader`. Requires torch, which the user's program has loaded by then.

Everything is watched where torch itself makes an iterator (`_get_iterator`), so a loader that is built anew
of the same class (as Lightning does) or whose class has an `__iter__` of the user's is watched as well. What
runs in the iterators and the workers is in `torch_iterators` and `torch_workers`, which import torch.
"""

from __future__ import annotations

import sys
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import stored_data
from batchaudit.sources.kinds import Kind
from batchaudit.sources.subclass import Override, twin


def kind(source: object) -> Kind | None:
    """ITERABLE for a `DataLoader`, where torch is loaded; None otherwise."""
    return Kind.ITERABLE if is_loader(source) else None


def is_loader(source: object) -> bool:
    """Whether a source is a torch `DataLoader`, without loading torch to find out."""
    data = sys.modules.get("torch.utils.data")
    loader = getattr(data, "DataLoader", None)
    return loader is not None and isinstance(source, loader)


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched twin of a loader.

    Args:
        source: the loader.
        recorder: notes what its workers produce, and what is taken from its iterators.

    Returns:
        The twin.
    """
    from batchaudit.sources import torch_kin

    torch_kin.remember(source, recorder)
    # The streams are looked for in the dataset, where it is used. With persistent workers a loader's end is
    # theirs, and must not wait for the collector.
    return twin(source, recorder, _OVERRIDES, watch, looks_inside=False)


def id_space(source: Any) -> str:
    """Which dataset the ids of a loader's samples are indices of; "" where there are no indices.

    Args:
        source: the loader.
    """
    from batchaudit.sources import torch_ids

    stored = torch_ids.stored_items(source.dataset) if has_indices(source) else None
    return "" if stored is None else f"dataset-{id(stored)}"


def about(source: Any) -> dict[str, Any]:
    """How many stored items a loader's dataset has, how its batches are made up, and who makes the order.

    Args:
        source: the loader.

    Returns:
        What is known of: "items", the dataset's length; "data", a token of what it holds; "drawn", how many
        of its items its sampler asks for in a pass; "batch_size"; "drop_last"; "batches" of a pass;
        "shuffles", whether somebody asked for another order than that of the data; "set_epoch", whether its
        dataset or a sampler wants to be told the epoch.
    """
    said: dict[str, Any] = {}
    if has_indices(source):
        items = _length(source.dataset)
        said |= {} if items is None else {"items": items}
        said["data"] = stored_data.token(source.dataset)
    if source.batch_size is not None:
        said |= {"batch_size": int(source.batch_size), "drop_last": bool(source.drop_last)}
    return said | _of_order(source) | _of_length(source)


def _of_order(loader: Any) -> dict[str, Any]:
    batches = loader.batch_sampler
    makers = [loader.dataset, loader.sampler, batches, getattr(batches, "sampler", None)]
    said: dict[str, Any] = {"set_epoch": any(hasattr(type(maker), "set_epoch") for maker in makers)}
    shuffles = _shuffles(loader) if has_indices(loader) else _streams_shuffle(loader.dataset)
    if shuffles is not None:
        said["shuffles"] = shuffles
    return said


def _streams_shuffle(dataset: Any) -> bool | None:
    from batchaudit.sources import hugging_face, webdataset

    known = (family.shuffles(dataset) for family in (hugging_face, webdataset))
    return next((shuffles for shuffles in known if shuffles is not None), None)


def _shuffles(loader: Any) -> bool | None:
    """Whether the samplers of a map-style loader were made to shuffle; None where that is not known."""
    from torch.utils.data import BatchSampler, SequentialSampler

    batches = loader.batch_sampler
    sampler = loader.sampler
    if batches is not None and type(batches) is not BatchSampler:
        # The loader's own sampler is a stand-in where batches are made by somebody else.
        own = getattr(batches, "sampler", sampler if type(sampler) is not SequentialSampler else None)
        known = None if own is None else _sampler_shuffles(own)
        return known or _draws(batches) or None
    return _sampler_shuffles(sampler)


def _sampler_shuffles(sampler: Any) -> bool | None:
    from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler
    from torch.utils.data.distributed import DistributedSampler

    if type(sampler) is SequentialSampler or isinstance(sampler, range):
        return False
    if isinstance(sampler, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)):
        return True
    if isinstance(sampler, DistributedSampler):
        return bool(sampler.shuffle)
    return _draws(sampler) or None


def _draws(sampler: Any) -> bool:
    from batchaudit.sources import shuffling

    return shuffling.draws(sampler)


def _of_length(loader: Any) -> dict[str, Any]:
    """How many samples and batches a pass has, where samplers say it: a dataset of a stream is not asked."""
    if not has_indices(loader):
        return {}
    said: dict[str, Any] = {}
    batches = loader.batch_sampler
    count = _length(loader.sampler if batches is None else batches)
    if count is not None:
        said["batches"] = count
    own = getattr(batches, "sampler", None)
    drawn = _length(own) if loader.batch_size is not None and own is loader.sampler else None
    if drawn is not None:
        said["drawn"] = drawn
    return said


def _length(thing: Any) -> int | None:
    """How long a sampler or dataset is; None where it does not say, or might draw a number to say it."""
    from batchaudit.sources import shuffling

    if not hasattr(type(thing), "__len__") or shuffling.length_draws(thing):
        return None
    return len(thing)


def is_sized(source: Any) -> bool:
    """Whether a loader says how long it is.

    Args:
        source: the loader. To ask it makes it remember that it was asked, and warn of a wrong answer later.
    """
    held = vars(source)
    asked = "_IterableDataset_len_called"
    before = held.get(asked)
    try:
        len(source)
    except Exception:
        return False
    finally:
        if asked in held:
            held[asked] = before
    return True


def has_indices(loader: Any) -> bool:
    """Whether the samples of a loader's dataset are asked for by index.

    Args:
        loader: the loader.
    """
    from torch.utils.data import IterableDataset

    return not isinstance(loader.dataset, IterableDataset)


def _iter(recorder: Recorder, original: Any) -> Any:
    from batchaudit.sources import torch_iterators

    return torch_iterators.iterate(recorder, original.args[0], original)


def _get_iterator(recorder: Recorder, original: Any) -> Any:
    from batchaudit.sources import torch_iterators

    return torch_iterators.make_iterator(recorder, original.args[0], original)


_OVERRIDES: dict[str, Override] = {"__iter__": _iter, "_get_iterator": _get_iterator}
