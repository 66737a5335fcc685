"""tf_keras' `fit`, `evaluate` and `predict`. Requires tf_keras, which the user's program has loaded by then.

All three make a `DataHandler`, which turns what they are given into a dataset and iterates it. A dataset and
arrays are watched there, where the model takes them; generators and `Sequence`s also where they are made,
which may be another thread or process, and the tickets of their batches come along through tf_keras' queue.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.engine import data_adapter
from tf_keras.src.utils import data_utils

from batchaudit import consumers
from batchaudit.capture.recorder import Recorder
from batchaudit.consumers import places, trainers
from batchaudit.consumers.consumer import Consumer
from batchaudit.consumers.transit import (
    Transit,
    live_parcel,
    recorder_behind,
    replaced,
    taking,
    without_tickets,
)
from batchaudit.sources import arrays, recorder_of, tf_data, tf_looking_stage
from batchaudit.sources.subclass import is_twin, untwin

_CONSUMER = "_batchaudit_consumer"


@contextmanager
def hooks() -> Iterator[None]:
    """Within it, tf_keras tells of what it consumes of watched sources; all others it treats as ever."""
    with ExitStack() as stack:
        for owner, stand_ins in _STAND_INS.items():
            stood_in = {name: make(getattr(owner, name)) for name, make in stand_ins.items()}
            stack.enter_context(replaced(owner, **stood_in))
        stack.callback(_training_places.clear)
        yield


class _Current(threading.local):
    """Whose adapter is being made, and whose queue is being opened, in this thread."""

    consumer: Consumer | None = None
    transit: Transit | None = None


_current = _Current()


@contextmanager
def _currently(**values: Any) -> Iterator[None]:
    before = {name: getattr(_current, name) for name in values}
    vars(_current).update(values)
    try:
        yield
    finally:
        vars(_current).update(before)


# -- the handler: one a `fit`, `evaluate` or `predict` --------------------------------------------


def _init(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def init(self: Any, x: Any, y: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any) -> None:
        given, consumer = (x, y, sample_weight), None
        with suppress(Exception):  # a failure to look must not stop a training
            given, consumer = _consumed(given, kwargs)
        if consumer is None:
            with _currently(consumer=None):
                return original(self, *given, *args, **kwargs)
        vars(self)[_CONSUMER] = consumer
        # TensorFlow's graphs, or a traceback, may keep the handler and the consumer for longer.
        try:
            with _currently(consumer=consumer), consumer.recorder.probing():
                original(self, *given, *args, **kwargs)
        except BaseException:
            consumer.release()
            raise
        consumer.peeking = False
        return None

    return init


def _configure(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def configure(self: Any, *args: Any, **kwargs: Any) -> None:
        consumer = vars(self).get(_CONSUMER)
        if consumer is not None:
            # The adapter has taken its look by now; what it made comes next in this thread.
            consumer.transit.peeked = [ticket for ticket in [consumer.recorder.take_ticket()] if ticket]
            noted = tf_data.noting(self._adapter.get_dataset(), _telling(consumer))
            vars(self._adapter)["get_dataset"] = lambda: noted
        original(self, *args, **kwargs)

    return configure


def _telling(consumer: Consumer) -> tf_looking_stage.Note:
    known = weakref.ref(consumer)  # the dataset's graph may live until the collector comes for it

    def note(batch: Any, waited_ns: int) -> None:
        consumer = known()
        if consumer is not None:
            consumer.deliver(batch, waited_ns)

    return note


def _enumerate_epochs(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def enumerate_epochs(self: Any) -> Iterator[Any]:
        consumer = vars(self).get(_CONSUMER)
        if consumer is None:
            yield from original(self)
            return
        for epoch in original(self):
            consumer.begin_epoch()
            yield epoch
            consumer.end_epoch()

    return enumerate_epochs


# -- its source -----------------------------------------------------------------------------------


def _consumed(
    given: tuple[Any, Any, Any], kwargs: dict[str, Any]
) -> tuple[tuple[Any, Any, Any], Consumer | None]:
    """What tf_keras is to be given for (x, y, sample_weight), and the consumer where a source is watched."""
    x, y, weights = given
    executing = trainers.executing("tf_keras")
    function = executing.f_code.co_name if executing is not None else ""
    recorder = _recorder(x)
    if recorder is None and function:
        x, recorder = _adopted(x, function, kwargs)
    if recorder is None or recorder.passes is None or recorder.off():
        return given, None
    made = recorder_of(x) is not None and tf_data.kind(x) is None and not isinstance(x, np.ndarray)
    consumer = Consumer(recorder, makes=made)
    consumer.building = not function  # `adapt` and the like train no model
    if is_twin(x) and tf_data.kind(x) is not None:
        x = untwin(x)
    x, y, weights = (tf.nest.map_structure(arrays.unwatched, each) for each in (x, y, weights))
    return (x, y, weights), consumer


def _recorder(x: Any) -> Recorder | None:
    known = recorder_of(x)
    if known is not None or not isinstance(x, (dict, list, tuple)):
        return known
    found = (recorder_of(leaf) for leaf in tf.nest.flatten(x) if isinstance(leaf, np.ndarray))
    return next((recorder for recorder in found if recorder is not None), None)


def _adopted(x: Any, function: str, kwargs: dict[str, Any]) -> tuple[Any, Recorder | None]:
    """The source, watched where an open audit takes whatever comes, with its recorder."""
    source = x
    if isinstance(x, (dict, list, tuple)):
        source = next((leaf for leaf in tf.nest.flatten(x) if isinstance(leaf, np.ndarray)), None)
    if not _is_source(source):
        return x, None
    split = trainers.SPLITS[function]
    if function == "fit" and "class_weight" not in kwargs:
        split = "validation"  # `fit` makes that handler without what only a training has
    place = places.of(source) or places.caller()
    if split == "training":
        _training_places.add(place)
    elif split == "validation" and place in _training_places:
        place += " (validation)"
    steps = kwargs.get("steps_per_epoch")
    watched = consumers.adopted(
        source, place=place, split=split, steps=steps if steps and steps > 0 else None
    )
    return (x if isinstance(watched, np.ndarray) or source is not x else watched), recorder_of(watched)


def _is_source(x: Any) -> bool:
    if isinstance(x, (np.ndarray, data_utils.Sequence)) or tf_data.kind(x) is not None:
        return True
    return hasattr(x, "__next__") and hasattr(x, "__iter__")


_training_places: set[str] = set()


# -- its workers ----------------------------------------------------------------------------------


def _handle_multiprocessing(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def handle(self: Any, x: Any, workers: int, use_multiprocessing: bool, *args: Any) -> Any:
        generator_fn = original(self, x, workers, use_multiprocessing, *args)
        consumer = _current.consumer
        if consumer is None:
            return generator_fn
        transit = consumer.transit

        def pooled() -> Any:
            with _currently(transit=transit):
                return generator_fn()

        if workers > 1 or (workers > 0 and use_multiprocessing):
            return pooled
        return lambda: transit.follow(generator_fn())

    return handle


def _get(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get(self: Any) -> Any:
        batches = original(self)
        return without_tickets(batches) if _current.transit is None else _current.transit.unpack(batches)

    return get


def produce_next(uid: int) -> Any:
    """Stands in for `data_utils.next_sample` in the workers: the same, with the ticket of what is watched."""
    source = data_utils._SHARED_SEQUENCES[uid]
    recorder = recorder_behind(source)
    try:
        with taking(recorder):
            batch = next(source)
    except ValueError as error:  # "generator already executing" comes from outside the watched frame
        if recorder is not None:
            recorder.raised(error)
        raise
    return live_parcel(recorder, batch)


def produce_index(uid: int, index: int) -> Any:
    """Stands in for `data_utils.get_index` in the workers: the same, with the ticket of what is watched."""
    source = data_utils._SHARED_SEQUENCES[uid]
    recorder = recorder_behind(source)
    with taking(recorder):
        batch = source[index]
    return live_parcel(recorder, batch)


_STAND_INS: dict[Any, dict[str, Callable[[Any], Any]]] = {
    data_adapter.DataHandler: {
        "__init__": _init,
        "_configure_dataset_and_inferred_steps": _configure,
        "enumerate_epochs": _enumerate_epochs,
    },
    data_adapter.GeneratorDataAdapter: {"_handle_multiprocessing": _handle_multiprocessing},
    data_adapter.KerasSequenceAdapter: {"_handle_multiprocessing": _handle_multiprocessing},
    data_utils.GeneratorEnqueuer: {"get": _get},
    data_utils.OrderedEnqueuer: {"get": _get},
    data_utils: {
        "next_sample": lambda original: produce_next,
        "get_index": lambda original: produce_index,
    },
}
