"""Sources of which batch i can be asked for: Keras' `PyDataset` and `Sequence`, image iterators, lists.

The frameworks read `__getitem__`, the length and the epoch hooks; all of these stay the user's, with a
look around the first and a note of the calls of the last.
"""

from __future__ import annotations

from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import hooks, shuffling
from batchaudit.sources.kinds import Kind
from batchaudit.sources.proxy import WatchedList, as_number
from batchaudit.sources.subclass import Override, twin

_NOT_SOURCES = (str, bytes, bytearray, dict)


def kind(source: object) -> Kind | None:
    """INDEXED for an object with `__getitem__` and a number of batches; None otherwise."""
    if isinstance(source, _NOT_SOURCES) or not hasattr(source, "__getitem__"):
        return None
    return Kind.INDEXED if hasattr(source, "__len__") or hasattr(type(source), "num_batches") else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched twin of an indexed source; a list or tuple of batches becomes a `WatchedList`.

    Args:
        source: the user's object.
        recorder: notes each batch with the index that was asked for.

    Returns:
        The twin.
    """
    try:
        return twin(source, recorder, _OVERRIDES, watch)
    except TypeError:
        return WatchedList(source, recorder)


def about(source: Any) -> dict[str, Any]:
    """What an indexed source says of its items, and of what it does between epochs.

    Args:
        source: the user's object.

    Returns:
        What is known of: "batches" of a pass; "rows" that all arrays which it holds have in common, which may
        be those of its samples; "hooks" of its own that change what its items are; "order", whether the one
        that they make anew is "shuffled" or "sorted" so far.
    """
    said: dict[str, Any] = {"hooks": hooks.that_matter(source)}
    order = hooks.order_held(source)
    if order:
        said["order"] = order
    count = None if shuffling.length_draws(source) else batch_count(source)
    if count is not None:
        said["batches"] = count
        rows = _rows_held(source, count)
        if rows is not None:
            said["rows"] = rows
    return said


def _rows_held(source: Any, batches: int) -> int | None:
    """How many rows the arrays have that a source holds; None where they differ, or hold no samples."""
    try:
        held = object.__getattribute__(source, "__dict__").values()
    except AttributeError:
        return None
    counts = {len(each) for each in held if _is_array(each)}
    [rows] = counts if len(counts) == 1 else [None]
    return rows if rows is not None and rows >= max(batches, 1) else None


def _is_array(value: object) -> bool:
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and len(shape) > 0 and hasattr(value, "dtype")


def batch_count(source: Any) -> int | None:
    """How many batches an indexed source has.

    Args:
        source: an indexed source.

    Returns:
        The number of batches of an epoch; None for an endless one.
    """
    # Keras 3 believes `num_batches` before `__len__`.
    if hasattr(type(source), "num_batches"):
        count = source.num_batches
        return None if count is None else int(count)
    return len(source)


def _getitem(recorder: Recorder, original: Any, index: Any) -> Any:
    return recorder.produce(original, index, index=as_number(index))


def _next(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    return recorder.produce(original, *args, **kwargs)


def _hook(name: str) -> Override:
    def note(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
        recorder.hook(name)
        return original(*args, **kwargs)

    return note


def _image_batch(recorder: Recorder, original: Any, index_array: Any) -> Any:
    # Keras' image iterators make every batch here, whichever way it was asked for, from the indices of
    # its samples in the folder or array.
    recorder.note_ids(index_array)
    return original(index_array)


HOOKS: dict[str, Override] = {
    "on_epoch_begin": _hook("on_epoch_begin"),
    "on_epoch_end": _hook("on_epoch_end"),
    "_get_batches_of_transformed_samples": _image_batch,
}
"""What is noted beside the batches themselves."""

_OVERRIDES: dict[str, Override] = {"__getitem__": _getitem, "__next__": _next, "next": _next, **HOOKS}
