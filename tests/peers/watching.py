"""A pytest plugin that watches every source which the tests of a peer hand to that peer.

The wrapper is put where sources enter a framework: the constructors of its adapters and enqueuers, the
iteration over its indexed datasets, and the making of its image iterators. The tests themselves, which
know nothing of it, say whether anything behaves otherwise.

Requires pytest, batchaudit, and the folder that `outcomes` writes to. Each test has a journal of its own.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import outcomes
import pytest

from batchaudit import sources
from batchaudit.capture.recorder import Recorder
from batchaudit.errors import UsageError
from batchaudit.journal.writer import JournalWriter
from batchaudit.sources.proxy import Proxy
from batchaudit.sources.subclass import is_twin
from batchaudit.strategies.transit import replaced

_KERAS = "keras.src.trainers.data_adapters"
_TF_KERAS = "tf_keras.src"

# Classes whose constructor's first argument is a source.
_TAKE_A_SOURCE = {
    f"{_KERAS}.py_dataset_adapter": ("PyDatasetAdapter", "PyDatasetEnqueuer"),
    f"{_KERAS}.generator_data_adapter": ("GeneratorDataAdapter",),
    f"{_TF_KERAS}.engine.data_adapter": ("GeneratorDataAdapter", "KerasSequenceAdapter", "DatasetAdapter"),
    f"{_TF_KERAS}.utils.data_utils": ("GeneratorEnqueuer", "OrderedEnqueuer"),
}
# Classes of sources over which a person may iterate without an adapter.
_ARE_ITERATED = {
    f"{_KERAS}.py_dataset_adapter": ("PyDataset",),
    f"{_TF_KERAS}.utils.data_utils": ("Sequence",),
}
# Classes of sources that the framework, or a person, makes and uses as they are.
_ARE_SOURCES = {
    f"{_TF_KERAS}.preprocessing.image": (
        "Iterator",
        "NumpyArrayIterator",
        "DirectoryIterator",
        "DataFrameIterator",
    ),
}


class Watch:
    """Puts sources under watch, and counts them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.journal: JournalWriter | None = None
        self._generators: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, source: Any) -> Any:
        """The source, watched; itself where it is watched already, or no source of batches."""
        if self.journal is None or self._is_watched(source):
            return source
        try:
            watched = sources.watch(source, Recorder(self.journal))
        except UsageError:  # what the test expects the framework itself to refuse
            self.refused[type(source).__name__] += 1
            return source
        self.counts[type(source).__name__] += 1
        if inspect.isgenerator(watched):
            self._generators.add(watched)
        return watched

    def _is_watched(self, source: Any) -> bool:
        if inspect.isgenerator(source):
            return source in self._generators
        # A chain is what tf_keras' adapter makes of a batch it peeked at and the source it was given.
        return is_twin(source) or isinstance(source, (Proxy, itertools.chain))


watch = Watch()
_patches = ExitStack()


def pytest_collection_finish() -> None:
    # By now the tests have imported what they test; nothing is imported here that they would not have.
    for _, cls in _loaded(_TAKE_A_SOURCE):
        _patches.enter_context(replaced(cls, __init__=_taking(cls.__init__)))
    for _, cls in _loaded(_ARE_ITERATED):
        _patches.enter_context(replaced(cls, __iter__=_iterated(cls.__iter__)))
    for module, cls in _loaded(_ARE_SOURCES):
        _patches.enter_context(replaced(module, **{cls.__name__: _stand_in(cls)}))


def pytest_unconfigure() -> None:
    _patches.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    test = item.nodeid.partition("::")[2]
    folder = Path(os.environ[outcomes.OUT], outcomes.JOURNAL)
    watch.counts.clear()
    watch.refused.clear()
    watch.journal = JournalWriter(folder, source=test, strategy="as-is", run="peers")
    try:
        return (yield)
    finally:
        watch.journal.close()
        watch.journal = None
        outcomes.write(outcomes.WATCHED, {"test": test, "watched": watch.counts, "refused": watch.refused})


def _loaded(places: dict[str, tuple[str, ...]]) -> Iterator[tuple[Any, Any]]:
    """The module and the class, for each class of the modules that the tests have imported."""
    for name, classes in places.items():
        module = sys.modules.get(name)
        if module is not None:
            yield from ((module, getattr(module, each)) for each in classes)


def _taking(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)
    first = list(signature.parameters)[1]

    @functools.wraps(original)
    def init(*args: Any, **kwargs: Any) -> None:
        call = signature.bind(*args, **kwargs)
        call.arguments[first] = watch(call.arguments[first])
        original(*call.args, **call.kwargs)

    return init


def _iterated(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def iterate(self: Any) -> Any:
        return original(watch(self))

    return iterate


class _Maker(type):
    """The type of a class that stands in for another: what it makes is watched, and of the other's type."""

    original: type

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return watch(cls.original(*args, **kwargs))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.original)


def _stand_in(original: type) -> type:
    return _Maker(original.__name__, (original,), {"original": original, "__doc__": original.__doc__})
