"""`tf.data.Dataset`. Requires TensorFlow, which the user's program has loaded by then.

The consumer of a dataset may be Python (`for batch in dataset`) or a compiled training step that pulls
from the iterator inside a graph, as Keras does. Only a look inside the pipeline sees both, so each new
iterator gets one more stage, after all others: it notes the element and passes it on as it is.
"""

from __future__ import annotations

import sys
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.sources.kinds import Kind
from batchaudit.sources.subclass import twin


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
        A twin of the dataset.
    """
    return twin(source, recorder, {"__iter__": _iter}, watch)


def _iter(recorder: Recorder, original: Any) -> Any:
    recorder.hook("iterator")
    return iter(_noting(original.args[0], recorder))


def _noting(dataset: Any, recorder: Recorder) -> Any:
    """The dataset with one more stage, which notes each element."""
    import tensorflow as tf

    spec = dataset.element_spec
    composite = any(not isinstance(leaf, tf.TensorSpec) for leaf in tf.nest.flatten(spec))

    def note(*flat: Any) -> bool:
        batch = tf.nest.pack_sequence_as(spec, list(flat), expand_composites=composite)
        with recorder.as_worker(0):  # whichever of TensorFlow's threads runs the pipeline's last stage
            recorder.produce(lambda: batch)
        return True

    def stage(*element: Any) -> Any:
        whole = element if isinstance(spec, tuple) else element[0]
        flat = tf.nest.flatten(whole, expand_composites=True)
        # Composite tensors can only be put together again from eager tensors. None has no tensor at all.
        call = tf.py_function if composite else tf.numpy_function
        tensors = [leaf for leaf in flat if leaf is not None]
        with tf.control_dependencies([call(note, tensors, tf.bool)]):
            same = [None if leaf is None else tf.identity(leaf) for leaf in flat]
        return tf.nest.pack_sequence_as(whole, same, expand_composites=True)

    return dataset.map(stage)
