"""webdataset's pipelines: `WebDataset`, `WebLoader`, `DataPipeline`.

Requires webdataset, which the program has loaded.

A `WebLoader` is a pipeline whose first stage is a torch `DataLoader`: its workers are watched as those of any
other, but what it delivers is what leaves the pipeline.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from typing import Any

from batchaudit.capture.ids import sample_ids
from batchaudit.capture.recorder import Recorder
from batchaudit.sources import torch_loader
from batchaudit.sources.delivery import Delivery
from batchaudit.sources.kinds import Kind
from batchaudit.sources.proxy import WatchedIterator
from batchaudit.sources.subclass import twin, untwin

_KEY = "__key__"


def kind(source: object) -> Kind | None:
    """ITERABLE for a pipeline of webdataset's, where that is loaded; None otherwise."""
    pipeline = getattr(sys.modules.get("webdataset"), "DataPipeline", None)
    return Kind.ITERABLE if isinstance(pipeline, type) and isinstance(source, pipeline) else None


def watch(source: Any, recorder: Recorder) -> Any:
    """A watched twin of a pipeline.

    Args:
        source: the pipeline.
        recorder: notes what leaves it, with the samples' "__key__" as ids where a batch has them; of a
            `WebLoader` also what its workers make.

    Returns:
        The twin. A stage that is appended to it is watched with it.
    """
    return twin(source, recorder, {"__iter__": _iter}, watch)


def about(source: Any) -> dict[str, Any]:
    """Whether a pipeline shuffles.

    Args:
        source: the pipeline.
    """
    found = shuffles(source)
    return {} if found is None else {"shuffles": found}


def shuffles(source: Any) -> bool | None:
    """Whether a stage of a pipeline shuffles; None for anything else, and where its loader's own says it."""
    if kind(source) is None:
        return None
    filters: Any = sys.modules.get("webdataset.filters")
    stages = list(source.pipeline)
    if stages and torch_loader.is_loader(stages[0]):
        inner = shuffles(stages[0].dataset)
        if inner:
            return True
    by_class = getattr(filters, "detshuffle", None)
    by_function = getattr(filters, "_shuffle", None)
    return any(
        (by_class is not None and isinstance(stage, by_class))
        or (by_function is not None and getattr(stage, "f", None) is by_function and _buffer(stage) > 1)
        for stage in stages
    )


def _buffer(stage: Any) -> int:
    """How many items a stage shuffles among; one that was asked for without a shuffle holds none."""
    size = stage.args[0] if stage.args else stage.kw.get("bufsize", 2)
    return size if isinstance(size, int) else 2


def keys_of(batch: Any) -> list[str] | None:
    """The names of a batch's samples in their shards.

    Args:
        batch: what a pipeline yields.

    Returns:
        One a sample; None where the batch has lost them.
    """
    keys = batch.get(_KEY) if isinstance(batch, dict) else None
    if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
        return keys
    return None


def _iter(recorder: Recorder, original: Callable[[], Any]) -> Any:
    source = untwin(original.args[0])  # type: ignore[attr-defined]
    if recorder.off():
        return source.__iter__()
    stages = source.pipeline
    if not stages or not torch_loader.is_loader(stages[0]):
        recorder.hook("iterator")
        return _Iterator(source.__iter__(), recorder)
    loading = copy.copy(source)
    loading.pipeline = [torch_loader.watch(stages[0], recorder), *stages[1:]]
    return _Loading(loading.__iter__(), recorder, changes=len(stages) > 1)


class _Iterator(WatchedIterator):
    """Watches one pass over a pipeline in the process that runs it."""

    __slots__ = ()

    def __next__(self) -> Any:
        return self._batchaudit_recorder.produce(self._next)

    def _next(self) -> Any:
        batch = self._batchaudit_source.__next__()
        keys = keys_of(batch)
        if keys is not None:
            self._batchaudit_recorder.note_ids(sample_ids(list, keys))
        return batch


class _Loading(WatchedIterator):
    """Watches one pass over a pipeline that begins with a watched loader.

    Args:
        source: the iterator of the pipeline.
        recorder: the loader's, too.
        changes: whether stages after the loader put the batches together anew.
    """

    __slots__ = ("_batchaudit_changes", "_batchaudit_delivery")

    def __init__(self, source: Any, recorder: Recorder, *, changes: bool) -> None:
        super().__init__(source, recorder)
        object.__setattr__(self, "_batchaudit_changes", changes)
        object.__setattr__(self, "_batchaudit_delivery", Delivery(recorder))

    def __next__(self) -> Any:
        recorder = self._batchaudit_recorder
        asked = time.monotonic_ns()
        recorder.claim()  # what the loader hands to the next stage is not delivered yet
        try:
            batch = self._batchaudit_source.__next__()
        except StopIteration:
            self._batchaudit_delivery.end()
            raise
        finally:
            recorder.release()
        ticket = recorder.take_ticket()
        self._batchaudit_delivery.hand_on(
            batch, 0 if self._batchaudit_changes else ticket, time.monotonic_ns() - asked
        )
        return batch
