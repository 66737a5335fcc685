"""The stages of a `tf.data` pipeline: where it shuffles, where it batches, which generators it holds.

Only the Python objects of the stages are read; nothing is iterated. TensorFlow is imported by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from batchaudit.sources import hooks

_MOST_STAGES = 256
# Stages that hand on each element they take, in their order.
_ONE_FOR_ONE = ("Map", "Prefetch", "Options", "Cache", "AssertCardinality", "Model")
_IN_ORDER = (*_ONE_FOR_ONE, "Shuffle", "Batch", "Take", "Skip", "Shard", "Repeat", "Filter")
_STORED = ("TensorSlice", "Range", "Tensor")


def about(dataset: Any) -> dict[str, Any]:
    """See `tf_data.about`."""
    stages = list(_stages(dataset))
    said: dict[str, Any] = {}
    if any(_reshuffles(stage) for stage in stages):
        said["shuffles"] = True
    elif _in_one_order(dataset):
        said["shuffles"] = False
    batches = _count(dataset)
    if batches is not None:
        said["batches"] = batches
    said |= _of_batches(dataset)
    if any(_echoes(stage) for stage in stages):
        said["echoes"] = True
    shards = [count for count in (_constant(stage, "_num_shards") for stage in stages) if count is not None]
    if shards:
        said["shards"] = [int(count) for count in shards]
    held = hooks.of_what_is_held(_functions(stages))
    if held:
        said["hooks"] = held
    return said


def _stages(dataset: Any) -> Iterator[Any]:
    """The pipeline's stages, from its end on; each once."""
    waiting: list[Any] = [dataset]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_STAGES:
        stage = waiting.pop(0)
        if id(stage) in seen:
            continue
        seen.add(id(stage))
        yield stage
        with suppress(Exception):  # a dataset of another make
            waiting.extend(stage._inputs())


def _is(stage: Any, *names: str) -> bool:
    """Whether a stage's class has one of these words in its name."""
    return any(name in type(stage).__name__ for name in names)


def _reshuffles(stage: Any) -> bool:
    if not _is(stage, "Shuffle"):
        return False
    setting = getattr(stage, "_reshuffle_each_iteration", True)
    return setting is None or bool(setting)


def _echoes(stage: Any) -> bool:
    """Whether a stage gives each element several times on purpose: `flat_map(lambda x: ...repeat(k))`."""
    if not _is(stage, "FlatMap", "Interleave"):
        return False
    try:
        made = {node.op for node in stage._map_func.function.graph.as_graph_def().node}
    except Exception:  # a stage of another make
        return False
    datasets = {name for name in made if "Dataset" in name}
    return "RepeatDataset" in datasets and datasets <= {
        "RepeatDataset",
        "TensorDataset",
        "TensorSliceDataset",
    }


def _of_batches(dataset: Any) -> dict[str, Any]:
    """What is known of the last stage that makes batches."""
    stage = _batching(dataset)
    if stage is None:
        return {}
    said: dict[str, Any] = {}
    size, drops = _constant(stage, "_batch_size"), _constant(stage, "_drop_remainder")
    if size is not None:
        said["batch_size"] = int(size)
    if drops is not None:
        said["drop_last"] = bool(drops)
    items = _count(stage._input_dataset)
    if items is not None:
        said["items"] = items
    said["fixed_tail"] = _in_one_order(stage._input_dataset)
    return said


def _batching(dataset: Any) -> Any:
    stage = dataset
    for _ in range(_MOST_STAGES):
        if _is(stage, "BatchDataset") and not _is(stage, "Unbatch", "Rebatch", "Ragged", "FlatMap"):
            return stage
        if not _is(stage, *_ONE_FOR_ONE) and not _is(stage, "Shuffle", "Repeat"):
            return None
        if _is(stage, "FlatMap") or not hasattr(stage, "_input_dataset"):
            return None
        stage = stage._input_dataset
    return None


def _in_one_order(dataset: Any) -> bool:
    """Whether a pipeline gives the same stored elements in the same order in each pass."""
    stage = dataset
    for _ in range(_MOST_STAGES):
        if _is(stage, "FlatMap") or (_is(stage, "Shuffle") and _reshuffles(stage)):
            return False
        inputs = stage._inputs()
        if not inputs:
            return _is(stage, *_STORED)
        if len(inputs) > 1 or not _is(stage, *_IN_ORDER):
            return False
        stage = inputs[0]
    return False


def _count(dataset: Any) -> int | None:
    try:
        count = int(dataset.cardinality())
    except Exception:  # a dataset of an old-style graph
        return None
    return count if count >= 0 else None


def _constant(stage: Any, name: str) -> Any:
    import tensorflow as tf

    value = getattr(stage, name, None)
    return None if value is None else tf.get_static_value(value)


def _functions(stages: list[Any]) -> Iterator[object]:
    """The Python functions that stages were made with."""
    for stage in stages:
        wrapped = getattr(stage, "_map_func", None)
        function = getattr(wrapped, "_func", None)
        if function is not None:
            yield function
