"""Arrays that are given whole to a framework's `fit`, which cuts the batches out of them itself.

Nothing is seen where the array is: only the framework's own iteration shows the batches. A watched array is
a view of the user's that says whose it is; the hooks in `consumers` give the framework the user's own. A part
of it, such as `fit(validation_split=...)` takes, is not watched: the two parts are sources of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from batchaudit.capture.recorder import Recorder

_MOST = 3  # inputs, targets, sample weights


def is_arrays(source: object) -> bool:
    """Whether a source is one array, or a tuple of up to three that have a row a sample: (x, y, weights).

    Args:
        source: what the user wants to be watched. (A list of arrays is a list of batches.)
    """
    if isinstance(source, np.ndarray):
        return source.ndim > 0
    if type(source) is not tuple or not 1 <= len(source) <= _MOST:
        return False
    arrays = [each for each in source if isinstance(each, np.ndarray) and each.ndim > 0]
    return len(arrays) == len(source) and len({len(each) for each in arrays}) == 1


def is_tensor(source: object) -> bool:
    """Whether it is a framework's own array, which no stand-in can take the place of."""
    if isinstance(source, np.ndarray):
        return False
    return all(hasattr(source, name) for name in ("dtype", "shape", "ndim"))


def about(source: Any) -> dict[str, Any]:
    """How many samples arrays have.

    Args:
        source: an array or a tuple of arrays.
    """
    first = source[0] if isinstance(source, tuple) else source
    return {"items": len(first)}


def watch(source: Any, recorder: Recorder) -> Any:
    """Views of arrays that carry their recorder.

    Args:
        source: an array or a tuple of arrays.
        recorder: notes the batches that a framework cuts out of them.

    Returns:
        A view, or a tuple of views, of the same memory.
    """
    if isinstance(source, tuple):
        return tuple(_view(each, recorder) for each in source)
    return _view(source, recorder)


def unwatched(tree: Any) -> Any:
    """The user's own array of a watched one; anything else as it is."""
    return tree._its_source if isinstance(tree, WatchedArray) and tree.is_whole else tree


def recorder_of(source: object) -> Recorder | None:
    """The recorder of a watched array; None for anything else, and for a part of one."""
    return source._its_recorder if isinstance(source, WatchedArray) else None


class WatchedArray(np.ndarray[Any, Any]):
    """An array that is watched. What is cut out of it, or computed from it, is not."""

    # Not the names of a twin: an array is none.
    _its_recorder: Recorder | None = None
    _its_source: Any = None

    @property
    def is_whole(self) -> bool:
        """Whether it is the array that was watched, and not a part of it."""
        return self._its_recorder is not None

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()


def _view(array: np.ndarray[Any, Any], recorder: Recorder) -> WatchedArray:
    watched = array.view(WatchedArray)
    watched._its_recorder, watched._its_source = recorder, array
    return watched
