"""The user's own loops over a `tf.data.Dataset`. Requires TensorFlow, which the program has loaded by then.

`for batch in dataset` asks a watched dataset for its iterator, which is all that is needed. A loop in a
`tf.function` does not ask: AutoGraph makes operations of it, and of a dataset that is an argument only its
handle arrives. And where an audit takes whatever comes, a dataset that is iterated by the user's own code is
watched from then on.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

from tensorflow.python.autograph.operators import py_builtins
from tensorflow.python.data.ops import dataset_autograph, dataset_ops
from tensorflow.python.eager.polymorphic_function import polymorphic_function
from tensorflow.python.framework import ops

from batchaudit import consumers
from batchaudit.consumers import places
from batchaudit.consumers.transit import replaced
from batchaudit.sources import recorder_of, tf_data

_Dataset = dataset_ops.DatasetV2


@contextmanager
def hooks() -> Iterator[None]:
    """Within it, loops over watched datasets are seen also in compiled functions."""
    with ExitStack() as stack:
        stack.enter_context(
            replaced(
                _Dataset,
                __init__=_placing(_Dataset.__init__),
                __iter__=_iterating(_Dataset.__iter__),
                as_numpy_iterator=_iterating(_Dataset.as_numpy_iterator),
            )
        )
        handing = _handing(dataset_ops.DatasetSpec._to_components)
        stack.enter_context(replaced(dataset_ops.DatasetSpec, _to_components=handing))
        if hasattr(dataset_autograph, "_general_purpose_scan"):
            scan = dataset_autograph._general_purpose_scan
            stack.enter_context(replaced(dataset_autograph, _general_purpose_scan=_looping(scan)))
        for name in ("enumerate_registry", "zip_registry"):
            stack.enter_context(_compiled_builtin(getattr(getattr(py_builtins, name, None), "_registry", {})))
        yield


def _placing(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        with suppress(Exception):
            places.note(self)
        original(self, *args, **kwargs)

    return init


def _iterating(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`iter(dataset)`, for a loop in the user's own code over a dataset that nobody watches yet."""

    @functools.wraps(original)
    def iterating(self: Any) -> Any:
        watched = self
        with suppress(Exception):
            watched = _adopted(self, sys._getframe(1))
        return original(self) if watched is self else getattr(watched, original.__name__)()

    return iterating


def _adopted(dataset: Any, asker: FrameType) -> Any:
    if recorder_of(dataset) is not None or not places.is_theirs(asker):
        return dataset
    return consumers.adopted(dataset, place=places.of(dataset) or places.caller(asker))


def _looping(original: Callable[..., Any]) -> Callable[..., Any]:
    """The loop that AutoGraph makes of `for batch in dataset`."""

    @functools.wraps(original)
    def scan(dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return original(_consumed(dataset), *args, **kwargs)

    return scan


def _handing(original: Callable[..., Any]) -> Callable[..., Any]:
    """A dataset's handle, where it becomes the argument of a compiled function."""

    @functools.wraps(original)
    def to_components(self: Any, value: Any) -> Any:
        is_dataset = isinstance(value, _Dataset) and _is_argument(sys._getframe(1))
        return original(self, _consumed(value) if is_dataset else value)

    return to_components


def _is_argument(frame: FrameType | None) -> bool:
    """Whether a `tf.function` that the user's own code calls is being given its arguments."""
    while frame is not None and "/tensorflow/" in frame.f_code.co_filename.replace("\\", "/"):
        if frame.f_code is _CALL:
            return True
        frame = frame.f_back
    return False


_CALL = polymorphic_function.Function.__call__.__code__


@contextmanager
def _compiled_builtin(registry: dict[Any, Any]) -> Iterator[None]:
    """Within it, AutoGraph's `enumerate(dataset)` and `zip(dataset, ...)` consume as `for` does."""
    original = registry.get(_Dataset)
    if original is None:
        yield
        return

    @functools.wraps(original)
    def builtin(*args: Any, **kwargs: Any) -> Any:
        return original(*(_consumed(each) for each in args), **kwargs)

    registry[_Dataset] = builtin
    try:
        yield
    finally:
        registry[_Dataset] = original


def _consumed(dataset: Any) -> Any:
    with suppress(Exception):
        place = places.of(dataset)
        # One that is made within the function that is being compiled cannot be watched from outside.
        if place and recorder_of(dataset) is None and isinstance(dataset._variant_tensor, ops.EagerTensor):
            dataset = consumers.adopted(dataset, place=place)
        return tf_data.consumed(dataset)
    return dataset
