"""Keras 3's data adapters and its enqueuer, made to tell which batch it is that comes out. Requires Keras 3.

An adapter that feeds a watched source gets a subclass of its own class. Nothing of Keras is replaced: what is
not watched runs through none of this, and nothing refers back to the adapter, which ends when it always did.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from keras.src.trainers.data_adapters import py_dataset_adapter
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.torch_data_loader_adapter import TorchDataLoaderAdapter

from batchaudit.consumers.consumer import Consumer
from batchaudit.consumers.transit import Transit, live_parcel, taking
from batchaudit.sources import recorder_of, tf_data


def watch(adapter: Any, consumer: Consumer) -> None:
    """Makes an adapter follow its batches.

    Args:
        adapter: Keras', of a watched source.
        consumer: notes what is delivered.
    """
    kind: type = _Adapter
    if isinstance(adapter, PyDatasetAdapter):
        kind = _OfPyDataset
        if adapter.enqueuer is not None:
            _follow_enqueuer(adapter.enqueuer, consumer.transit)
    elif isinstance(adapter, TorchDataLoaderAdapter):
        kind = _OfDataLoader
    elif isinstance(adapter, GeneratorDataAdapter):
        adapter.generator = functools.partial(_replayed, adapter.generator, consumer.transit)
    adapter._batchaudit_consumer = consumer
    become(adapter, kind)


def become(thing: Any, mixin: Any) -> None:
    """Puts a mixin before an object's class.

    Args:
        thing: an object of the framework's.
        mixin: what its methods do around the original ones.
    """
    base: Any = type(thing)
    thing.__class__ = _mixed(mixin, base)


@functools.cache
def _mixed(mixin: Any, base: Any) -> Any:
    names = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(base.__name__, (mixin, base), names)


def noted_peeks(generator: Generator[Any, Any, Any], consumer: Consumer) -> Generator[Any, Any, Any]:
    """A watched generator, for Keras to peek at: it will replay what it took, at each iteration.

    Args:
        generator: the watched generator.
        consumer: keeps the tickets of what is taken while it is `peeking`.

    Yields:
        The same batches.
    """
    for batch in generator:
        if consumer.peeking:
            consumer.transit.peeked.append(consumer.recorder.take_ticket())
        yield batch
        del batch


def _replayed(restored: Any, transit: Transit) -> Iterator[Any]:
    return transit.follow(restored())


class _Adapter:
    """Any adapter: its dataset has one more stage, where the batches leave the pipeline."""

    _batchaudit_consumer: Consumer
    batchaudit_tells = False
    """Whether the dataset itself tells of what is delivered, wherever it is iterated."""

    def get_tf_dataset(self) -> Any:
        consumer = self._batchaudit_consumer
        with consumer.recorder.probing():
            dataset = super().get_tf_dataset()  # type: ignore[misc]
        self.batchaudit_tells = True
        return tf_data.noting(dataset, consumer.deliver)

    def on_epoch_end(self) -> None:
        self._batchaudit_consumer.end_epoch()
        super().on_epoch_end()  # type: ignore[misc]


class _OfPyDataset(_Adapter):
    enqueuer: Any

    def _get_iterator(self) -> Any:
        batches = super()._get_iterator()  # type: ignore[misc]
        # What comes out of the enqueuer brings its tickets.
        return batches if self.enqueuer else self._batchaudit_consumer.transit.follow(batches)


class _OfDataLoader(_Adapter):
    def get_numpy_iterator(self) -> Any:
        batches: Iterable[Any] = super().get_numpy_iterator()  # type: ignore[misc]
        return self._batchaudit_consumer.transit.follow(batches)


# -- Keras' pool ----------------------------------------------------------------------------------


def _follow_enqueuer(enqueuer: Any, transit: Transit) -> None:
    enqueuer.executor_fn = functools.partial(_pool, enqueuer.executor_fn)
    enqueuer._batchaudit_transit = transit
    become(enqueuer, _Enqueuer)


def produce_index(uid: int, index: int) -> Any:
    """Stands in for `py_dataset_adapter.get_index` in the workers: the same, with the ticket.

    Args:
        uid: Keras' number of the dataset.
        index: of the batch.

    Returns:
        The batch and its ticket; after the audit the batch.
    """
    source = py_dataset_adapter._SHARED_SEQUENCES[uid]
    recorder = recorder_of(source)
    with taking(recorder):
        batch = source[index]
    return live_parcel(recorder, batch)


class _Enqueuer:
    """Takes the batches out of their parcels."""

    _batchaudit_transit: Transit

    def get(self) -> Iterator[Any]:
        return self._batchaudit_transit.unpack(super().get())  # type: ignore[misc]


class _Pool:
    """Keras' pool, as far as an enqueuer uses it, with `produce_index` for what it is told to call."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def apply_async(self, function: Any, args: Any) -> Any:
        if function is py_dataset_adapter.get_index:
            function = produce_index
        return self._pool.apply_async(function, args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _pool(make: Any, sequences: Any) -> _Pool:
    return _Pool(make(sequences))
