"""The stage that is put behind a `tf.data` pipeline: it shows each element and passes it on as it is.

Requires TensorFlow, which the user's program has loaded by then. The stage runs for every element of a
training: a `numpy_function` in an ordinary `map` costs 120 µs, of which 100 are spent on handing the element
to another thread and back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Note = Callable[[Any, int], object]
"""`note(batch, waited_ns)`: is told of an element, and for how long its consumer waited for it."""

# An iterator that is still used after this many newer ones begins another pass: nothing grows with the run.
_ITERATORS = 256


class Stage:
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
        self._deterministic = is_deterministic()
        self._composite = any(
            not isinstance(leaf, tf.TensorSpec) for leaf in tf.nest.flatten(spec) if self._is_data(leaf)
        )
        self._pack = self._packer()

    def put_on(self, dataset: Any) -> Any:
        """The dataset with this stage behind it.

        Args:
            dataset: a `tf.data.Dataset` of such elements.
        """
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
        return self._map(tf.data.Dataset.zip((self._ticks(), dataset)), self._element()).with_options(options)

    def _ticks(self) -> Any:
        """The number of the iterator and the time, for each element.

        A tick is pulled before the element: what passes between them is the consumer's wait. The first one
        says that there is a new iterator, also one inside a compiled loop.
        """
        tf = self._tf

        def of_one_iterator(_: Any) -> Any:
            number = tf.numpy_function(self._new_iterator, [], tf.int64)
            number.set_shape([])
            return tf.data.Dataset.from_tensors(number).repeat()

        def tick(number: Any) -> tuple[Any, Any]:
            # TensorFlow's own clock, which costs nothing, fails where the program wants it deterministic.
            if not self._deterministic:
                return number, tf.timestamp()
            now = tf.numpy_function(time.time, [], tf.float64)
            now.set_shape([])
            return number, now

        numbers = tf.data.Dataset.range(1).flat_map(tf.autograph.experimental.do_not_convert(of_one_iterator))
        endless = tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        return self._map(numbers.apply(endless), tick)

    def _map(self, dataset: Any, function: Callable[..., Any]) -> Any:
        """`map`, run in the thread that asks for the element, which spares a switch of threads for each."""
        function = self._tf.autograph.experimental.do_not_convert(function)
        if not self._composite:
            with suppress(ImportError, AttributeError, TypeError):  # it is TensorFlow's own, and may change
                from tensorflow.python.data.ops.map_op import _MapDataset

                return _MapDataset(dataset, function, use_inter_op_parallelism=False)
        return dataset.map(function)

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

        return element

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
            self._notes[number](self._pack(tensors), waited)
        return True

    def _packer(self) -> Callable[[tuple[Any, ...]], Any]:
        """What puts an element's tensors together again; most are flat."""
        spec = self._spec
        if self._is_data(spec) and not self._composite:
            return lambda tensors: tensors[0]
        if type(spec) is tuple and not self._composite and all(map(self._is_data, spec)):
            return tuple
        if type(spec) is dict and not self._composite and all(map(self._is_data, spec.values())):
            names = sorted(spec)  # as tf.nest flattens it
            return lambda tensors: dict(zip(names, tensors, strict=True))
        return self._packed

    def _packed(self, tensors: tuple[Any, ...]) -> Any:
        tf = self._tf
        leaves, left = [], list(tensors)
        for spec in tf.nest.flatten(self._spec):
            parts = len(tf.nest.flatten(spec, expand_composites=True)) if self._is_data(spec) else 0
            flat, left = left[:parts], left[parts:]
            leaves.append(tf.nest.pack_sequence_as(spec, flat, expand_composites=True) if parts else None)
        return tf.nest.pack_sequence_as(self._spec, leaves)


def is_deterministic() -> bool:
    """Whether the program has asked TensorFlow for deterministic operations."""
    try:
        from tensorflow.python.framework import config

        return bool(config.is_op_determinism_enabled())
    except Exception:  # a TensorFlow that does not know of it
        return False


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
