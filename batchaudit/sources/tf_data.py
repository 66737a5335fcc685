"""`tf.data.Dataset`. Requires TensorFlow, which the user's program has loaded by then.

The consumer of a dataset may be Python (`for batch in dataset`) or a compiled training step that pulls
from the iterator inside a graph, as Keras does. Only a look inside the pipeline sees both, so what is
iterated has one more stage, after all others: it notes the element and passes it on as it is.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from batchaudit.capture.passes import Pass
from batchaudit.capture.recorder import EXHAUSTED, Recorder
from batchaudit.sources import tf_stages
from batchaudit.sources.kinds import Kind
from batchaudit.sources.subclass import is_twin, recorder_of, twin, untwin

Note = Callable[[Any, int], object]
"""`note(batch, waited_ns)`: is told of an element, and for how long its consumer waited for it."""

# An iterator that is still used after this many newer ones begins another pass: nothing grows with the run.
_ITERATORS = 256


def kind(source: object) -> Kind | None:
    """DATASET for a `tf.data.Dataset`, where TensorFlow is loaded; None otherwise."""
    tf = sys.modules.get("tensorflow")
    dataset = getattr(getattr(tf, "data", None), "Dataset", None)
    return Kind.DATASET if dataset is not None and isinstance(source, dataset) else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A dataset with the same elements, each of whose iterators is watched.

    Args:
        source: the dataset.
        recorder: notes each element as it leaves the pipeline.

    Returns:
        A twin of the dataset. What is made of it by `map`, `take`, `batch`, ... is not watched.
    """
    return twin(source, recorder, {"__iter__": _iter, "reduce": _reduce}, watch)


def about(source: Any) -> dict[str, Any]:
    """How a pipeline makes its batches and its order.

    Args:
        source: the dataset.

    Returns:
        What is known of: "batches" of a pass; "items" that its last stage of batches takes in a pass,
        "batch_size" and "drop_last" of that stage; "shuffles", whether a stage gives another order in each
        pass; "echoes", whether one repeats each element at once; "fixed_tail", whether the items that are
        dropped are the same in each pass; "hooks", what the objects that its generators hold would do
        between epochs.
    """
    return tf_stages.about(source)


def noting(dataset: Any, note: Note) -> Any:
    """The dataset with one more stage, which tells of each element that its consumer takes.

    Args:
        dataset: a `tf.data.Dataset`; anything else (a distributed dataset) is returned as it is.
        note: called in one of TensorFlow's threads with the element, its tensors as NumPy arrays (ragged and
            sparse ones as such; what holds no data of its own, such as an optional, as None). What it raises
            is dropped.

    Returns:
        A dataset of the same elements, element_spec and cardinality; the dataset itself where it has
        elements that cannot be passed through a stage.
    """
    return _staged(dataset, lambda: note)


def consumed(dataset: Any) -> Any:
    """What a program iterates when it iterates a dataset, for where TensorFlow does not ask `iter()` for it.

    Args:
        dataset: any dataset.

    Returns:
        For a watched one, the user's own with the stage that notes its elements; any other as it is.
    """
    if not is_twin(dataset) or kind(dataset) is None:
        return dataset
    recorder = recorder_of(dataset)
    return untwin(dataset) if recorder.closed() else _stage_of(dataset, recorder)


# -- a twin's iterations --------------------------------------------------------------------------

# Built once a twin: a stage takes ~10 ms to trace. It holds the user's dataset, not the twin.
_stages: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _iter(recorder: Recorder, original: Any) -> Any:
    return iter(consumed(original.args[0]))


def _reduce(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    return consumed(original.args[0]).reduce(*args, **kwargs)


def _stage_of(dataset: Any, recorder: Recorder) -> Any:
    staged = _stages.get(dataset)
    if staged is None:
        import tensorflow as tf

        with tf.init_scope():  # also for a loop that is being compiled, as the user's dataset is
            own = untwin(dataset)
            count = _count(own)
            staged = _stages[dataset] = _staged(own, lambda: _one_pass(recorder, count))
    return staged


def _count(dataset: Any) -> int:
    """How many elements a pass has; negative where that is not known, or endless."""
    try:
        return int(dataset.cardinality())
    except Exception:  # a dataset of an old-style graph
        return -1


def _one_pass(recorder: Recorder, count: int) -> Note:
    """Begins a pass over a watched dataset, and gives what notes its elements."""
    recorder.hook("iterator")
    passes, taken = recorder.passes, None

    def note(batch: Any, waited_ns: int) -> None:
        nonlocal taken
        if recorder.closed():
            return
        consumed = passes is not None and passes.here and recorder.asked_by_consumer
        with recorder.as_worker(0):  # whichever of TensorFlow's threads runs the pipeline's last stage
            if passes is None or not consumed:
                recorder.produce(lambda: batch)
                return
            taken = taken or Pass(passes)
            epoch, step = taken.take()
            recorder.consume(batch, epoch=epoch, step=step, waited_ns=waited_ns)
            if taken.taken == count:
                recorder.hook(EXHAUSTED, epoch=epoch, step=taken.taken)

    return note


# -- the stage ------------------------------------------------------------------------------------


def _staged(dataset: Any, begin: Callable[[], Note]) -> Any:
    """The dataset with a stage that calls `begin` for each iterator, and what that gives for each element."""
    if kind(dataset) is None:
        return dataset
    try:
        staged = _Stage(dataset.element_spec, begin).put_on(dataset)
        return staged if staged.element_spec == dataset.element_spec else dataset
    except Exception:  # an exotic dataset must not stop a training
        return dataset


class _Stage:
    """The stage as TensorFlow traces it, and the Python that it calls.

    Args:
        spec: of an element.
        begin: gives what notes the elements of a new iterator.
    """

    def __init__(self, spec: Any, begin: Callable[[], Note]) -> None:
        import tensorflow as tf

        self._tf = tf
        self._spec = spec
        self._begin = begin
        self._notes: dict[int, Note] = {}
        self._iterators = 0
        self._composite = any(
            not isinstance(leaf, tf.TensorSpec) for leaf in tf.nest.flatten(spec) if self._is_data(leaf)
        )

    def put_on(self, dataset: Any) -> Any:
        tf = self._tf
        options = tf.data.Options()
        if _is_prefetched_by_tensorflow(dataset):
            # TensorFlow puts a prefetch behind such a pipeline. Behind this stage it would make what is only
            # prefetched look as if it had been consumed: it belongs before it.
            dataset = dataset.prefetch(tf.data.AUTOTUNE)
        if dataset.options().experimental_optimization.inject_prefetch is None:
            options.experimental_optimization.inject_prefetch = False
        if dataset.options().experimental_external_state_policy is None:
            # The stage has nothing that a saved iterator would miss.
            options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.WARN
        # A tick is pulled before the element: what passes between them is the consumer's wait. Its first one
        # says that there is a new iterator, also one inside a compiled loop.
        ticks = tf.data.Dataset.counter().scan(tf.constant(0, tf.int64), self._tick())
        return tf.data.Dataset.zip((ticks, dataset)).map(self._element()).with_options(options)

    def _tick(self) -> Any:
        tf = self._tf

        def first() -> Any:
            number = tf.numpy_function(self._new_iterator, [], tf.int64)
            number.set_shape([])
            return number

        def tick(number: Any, _: Any) -> Any:
            number = tf.cond(tf.equal(number, 0), first, lambda: number)
            with tf.control_dependencies([number]):
                return number, (number, tf.timestamp())

        return tf.autograph.experimental.do_not_convert(tick)

    def _element(self) -> Any:
        tf = self._tf

        def element(tick: Any, whole: Any) -> Any:
            leaves = tf.nest.flatten(whole)
            shown = [self._is_data(spec) for spec in tf.nest.flatten(self._spec)]
            tensors = [
                part
                for leaf, its in zip(leaves, shown, strict=True)
                if its
                for part in tf.nest.flatten(leaf, expand_composites=True)
            ]
            # Composite tensors can only be put together again from eager tensors.
            call = tf.py_function if self._composite else tf.numpy_function
            with tf.control_dependencies([call(self._look, [*tick, *tensors], tf.bool)]):
                same = [
                    tf.nest.map_structure(tf.identity, leaf, expand_composites=True) if its else leaf
                    for leaf, its in zip(leaves, shown, strict=True)
                ]
            return tf.nest.pack_sequence_as(whole, same)

        return tf.autograph.experimental.do_not_convert(element)

    def _is_data(self, spec: Any) -> bool:
        tf = self._tf
        if isinstance(spec, tf.TensorSpec):
            return spec.dtype not in (tf.variant, tf.resource)
        return isinstance(spec, (tf.RaggedTensorSpec, tf.SparseTensorSpec))

    def _new_iterator(self) -> Any:
        import numpy as np

        self._iterators += 1
        number = self._iterators
        with suppress(Exception):
            self._notes[number] = self._begin()
            self._notes.pop(number - _ITERATORS, None)
        return np.int64(number)

    def _look(self, number: Any, asked: Any, *tensors: Any) -> bool:
        with suppress(Exception):  # whatever goes wrong here is not the user's
            waited = max(0, int((time.time() - float(asked)) * 1e9))
            number = int(number)
            if number not in self._notes:
                self._notes[number] = self._begin()
            self._notes[number](self._packed(list(tensors)), waited)
        return True

    def _packed(self, tensors: list[Any]) -> Any:
        tf = self._tf
        leaves = []
        for spec in tf.nest.flatten(self._spec):
            parts = len(tf.nest.flatten(spec, expand_composites=True)) if self._is_data(spec) else 0
            flat, tensors = tensors[:parts], tensors[parts:]
            leaves.append(tf.nest.pack_sequence_as(spec, flat, expand_composites=True) if parts else None)
        return tf.nest.pack_sequence_as(self._spec, leaves)


# What runs ahead of its consumer by itself.
_AHEAD = ("Prefetch", "ParallelMap", "ParallelInterleave", "ParallelBatch", "MapAndBatch")


def _is_prefetched_by_tensorflow(dataset: Any) -> bool:
    """Whether TensorFlow would put a prefetch behind a pipeline that does not end with one."""
    options = dataset.options()
    optimization = options.experimental_optimization
    settings = (
        optimization.inject_prefetch,
        optimization.apply_default_optimizations,
        options.autotune.enabled,
    )
    if False in settings:
        return False
    last = dataset
    while type(last).__name__.startswith("_Options"):
        last = last._input_dataset
    return not any(name in type(last).__name__ for name in _AHEAD)
