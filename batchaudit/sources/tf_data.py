"""`tf.data.Dataset`. Requires TensorFlow, which the user's program has loaded by then.

The consumer of a dataset may be Python (`for batch in dataset`) or a compiled training step that pulls
from the iterator inside a graph, as Keras does. Only a look inside the pipeline sees both, so what is
iterated has one more stage, after all others: it notes the element and passes it on as it is.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from batchaudit.capture.passes import Pass
from batchaudit.capture.recorder import EXHAUSTED, Recorder
from batchaudit.sources import tf_stages
from batchaudit.sources.kinds import Kind
from batchaudit.sources.subclass import is_twin, recorder_of, twin, untwin
from batchaudit.sources.tf_looking_stage import Note, Stage, is_deterministic


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
    return untwin(dataset) if recorder.off() else _stage_of(dataset, recorder)


# -- a twin's iterations --------------------------------------------------------------------------

# Built once a twin: a stage takes ~10 ms to trace. It holds the user's dataset, not the twin. With it
# stands whether TensorFlow was to be deterministic, for which another stage is needed.
_stages: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _iter(recorder: Recorder, original: Any) -> Any:
    return iter(consumed(original.args[0]))


def _reduce(recorder: Recorder, original: Any, *args: Any, **kwargs: Any) -> Any:
    return consumed(original.args[0]).reduce(*args, **kwargs)


def _stage_of(dataset: Any, recorder: Recorder) -> Any:
    staged, deterministic = _stages.get(dataset, (None, False))
    if staged is None or deterministic != is_deterministic():
        import tensorflow as tf

        with tf.init_scope():  # also for a loop that is being compiled, as the user's dataset is
            own = untwin(dataset)
            count = _count(own)
            staged = _staged(own, lambda: _one_pass(recorder, count))
            _stages[dataset] = staged, is_deterministic()
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
        if recorder.off():
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
        staged = Stage(dataset.element_spec, begin).put_on(dataset)
        return staged if staged.element_spec == dataset.element_spec else dataset
    except Exception:  # an exotic dataset must not stop a training
        return dataset
