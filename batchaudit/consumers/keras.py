"""Keras 3: what reaches the model in `fit`, `evaluate` and `predict`, on every backend. Requires Keras 3.

All three go through one `EpochIterator`, each pass over which is an epoch. The iterator of a watched source
gets a subclass of its own class, and so does its adapter (see `keras_adapters`); all other iterators are left
as they are.

The source is claimed for as long as the iterator lives, not only for its epochs: TensorFlow goes on to fill
its prefetch buffer between them.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import CodeType, GeneratorType
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDataset
from keras.src.trainers.epoch_iterator import EpochIterator

from batchaudit import consumers
from batchaudit.capture.recorder import Recorder
from batchaudit.consumers import keras_adapters, places, trainers
from batchaudit.consumers.consumer import Consumer
from batchaudit.consumers.transit import replaced
from batchaudit.sources import arrays, recorder_of, subclass

# A list of many things is data, not a structure of arrays.
_MOST_LEAVES = 64

# The methods of a trainer that pull a batch to learn its shapes.
_BUILDERS = ("_symbolic_build", "_maybe_symbolic_build")


@contextmanager
def hooks() -> Iterator[None]:
    """Within it, the epoch iterators of watched sources tell what is delivered."""
    with ExitStack() as stack:
        stack.enter_context(replaced(EpochIterator, __init__=_watching(EpochIterator.__init__)))
        stack.enter_context(replaced(PyDataset, __init__=_placing(PyDataset.__init__)))
        yield


def _watching(original: Any) -> Any:
    @functools.wraps(original)
    def watching(
        self: Any, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        given, consumer = (x, y, sample_weight), None
        with suppress(Exception):  # a failure to look must not stop a training
            given, consumer = _consumed(given, kwargs.get("steps_per_epoch"))
        if consumer is None:
            original(self, *given, *args, **kwargs)
            return
        try:
            with consumer.recorder.probing():
                original(self, *given, *args, **kwargs)
        except BaseException:
            consumer.release()
            raise
        consumer.peeking = False
        with suppress(Exception):
            _watch(self, consumer)

    return watching


def _placing(original: Any) -> Any:
    @functools.wraps(original)
    def placing(self: Any, *args: Any, **kwargs: Any) -> None:
        with suppress(Exception):
            places.note(self)
        original(self, *args, **kwargs)

    return placing


def _watch(iterator: Any, consumer: Consumer) -> None:
    keras_adapters.watch(iterator.data_adapter, consumer)
    iterator._batchaudit_consumer = consumer
    keras_adapters.become(iterator, _EpochIterator)
    # TensorFlow's graphs may keep the consumer until the collector comes for them.
    weakref.finalize(iterator, consumer.release).atexit = False


class _EpochIterator:
    """What an epoch iterator of a watched source does around its own class's methods."""

    _batchaudit_consumer: Consumer
    data_adapter: Any

    def __iter__(self) -> Any:
        self._batchaudit_consumer.building = sys._getframe(1).f_code.co_name in _BUILDERS
        return super().__iter__()  # type: ignore[misc]

    def _enumerate_iterator(self) -> Iterator[Any]:
        if not self._batchaudit_consumer.building:
            self._batchaudit_consumer.begin_epoch()
        yield from super()._enumerate_iterator()  # type: ignore[misc]

    def _get_iterator(self) -> Any:
        batches = super()._get_iterator()  # type: ignore[misc]
        return (
            batches if self.data_adapter.batchaudit_tells else self._batchaudit_consumer.delivering(batches)
        )

    def reset(self) -> None:
        self._batchaudit_consumer.start_over()
        super().reset()  # type: ignore[misc]


# -- the source -----------------------------------------------------------------------------------


def _consumed(given: tuple[Any, ...], steps: int | None) -> tuple[tuple[Any, ...], Consumer | None]:
    """What Keras is to be given for (x, y, sample_weight), and the consumer where a source is watched."""
    if isinstance(given[0], DataAdapter):
        return given, None
    if _recorder(given) is None:
        given, recorder = _adopted(given, steps)
    else:
        recorder = _recorder(given)
    if recorder is None or recorder.passes is None or recorder.off():
        return given, None
    x = given[0]
    if data_adapters.is_tf_dataset(x):
        # Its elements are noted where they are delivered: the user's own is not looked at twice.
        return (subclass.untwin(x), *given[1:]), Consumer(recorder, makes=False)
    if not _is_fed(x):
        return tuple(_unwatched(each) for each in given), Consumer(recorder, makes=False)
    consumer = Consumer(recorder, makes=True)
    if isinstance(x, GeneratorType):
        x = keras_adapters.noted_peeks(x, consumer)
    return (x, *given[1:]), consumer


def _unwatched(thing: Any) -> Any:
    """The same structure with the user's own arrays."""
    return thing if _recorder(thing) is None else tree.map_structure(arrays.unwatched, thing)


def _recorder(given: Any) -> Recorder | None:
    found = (recorder_of(leaf) for leaf in _leaves(given))
    return next((recorder for recorder in found if recorder is not None), None)


def _leaves(thing: Any) -> Iterator[Any]:
    """The leaves of a structure of arrays, and whatever else Keras is given."""
    if not isinstance(thing, (dict, list, tuple)) or len(thing) > _MOST_LEAVES:
        yield thing
        return
    for each in thing.values() if isinstance(thing, dict) else thing:
        yield from _leaves(each)


# -- sources that nobody has wrapped --------------------------------------------------------------


def _adopted(given: tuple[Any, ...], steps: int | None) -> tuple[tuple[Any, ...], Recorder | None]:
    x = given[0]
    source = x if _is_fed(x) else next((each for each in _leaves(x) if isinstance(each, np.ndarray)), None)
    if source is None:
        return given, None
    place, split = _place_and_split(source)
    watched = consumers.adopted(source, place=place, split=split, steps=steps)
    recorder = _recorder(watched)
    return ((watched, *given[1:]) if watched is not source and source is x else given), recorder


def _is_fed(x: Any) -> bool:
    """Whether Keras takes batches from it, and does not cut them out of it."""
    return (
        isinstance(x, (PyDataset, GeneratorType))
        or data_adapters.is_tf_dataset(x)
        or data_adapters.is_torch_dataloader(x)
        or data_adapters.is_grain_dataset(x)
    )


def _place_and_split(source: Any) -> tuple[str, str | None]:
    place, line, frame = places.of(source), places.caller(), trainers.executing("keras")
    if frame is None:
        return place or line, None
    split = trainers.SPLITS[frame.f_code.co_name]
    if split == "training" and frame.f_lineno != _first_lines.setdefault(frame.f_code, frame.f_lineno):
        # `fit` makes its iterator for training first, and in another of its lines the one for validation.
        return place or f"{line} (validation)", "validation"
    return place or line, split


_first_lines: dict[CodeType, int] = {}
