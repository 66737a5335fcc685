"""Where the peers' tests hand their sources to the framework, and how each is put under watch there.

Nothing is imported here that the tests have not imported: only what is loaded is looked at.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from batchaudit.consumers.transit import replaced

Watch = Callable[[Any], Any]
"""Gives the watched source of a source, and anything else as it is."""

_KERAS = "keras.src.trainers.data_adapters"
_TF_KERAS = "tf_keras.src"

# Classes whose constructor's first argument is a source.
_TAKE_A_SOURCE = {
    f"{_KERAS}.py_dataset_adapter": ("PyDatasetAdapter", "PyDatasetEnqueuer"),
    f"{_KERAS}.generator_data_adapter": ("GeneratorDataAdapter",),
    f"{_KERAS}.tf_dataset_adapter": ("TFDatasetAdapter",),
    f"{_KERAS}.torch_data_loader_adapter": ("TorchDataLoaderAdapter",),
    f"{_KERAS}.grain_dataset_adapter": ("GrainDatasetAdapter",),
    f"{_KERAS}.array_data_adapter": ("ArrayDataAdapter",),
    f"{_TF_KERAS}.engine.data_adapter": ("GeneratorDataAdapter", "KerasSequenceAdapter", "DatasetAdapter"),
    f"{_TF_KERAS}.utils.data_utils": ("GeneratorEnqueuer", "OrderedEnqueuer"),
}
# The same, of those that hand batches to the model, also of arrays: batchaudit's own hooks are there.
_CONSUME_A_SOURCE = {
    "keras.src.trainers.epoch_iterator": ("EpochIterator",),
    f"{_TF_KERAS}.engine.data_adapter": ("DataHandler",),
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
    "torch.utils.data": ("DataLoader",),
}


@contextmanager
def watched_by(watch: Watch, *, hooked: bool) -> Iterator[None]:
    """Within it, `watch` is given each source that goes through one of the doors.

    Args:
        watch: puts a source under watch.
        hooked: whether batchaudit's hooks are in place, which see to what is handed to a consumer.
    """
    with ExitStack() as stack:
        for _, cls in [*_loaded(_TAKE_A_SOURCE), *(_loaded(_CONSUME_A_SOURCE) if hooked else ())]:
            stack.enter_context(replaced(cls, __init__=_taking(cls.__init__, watch)))
        for _, cls in _loaded(_ARE_ITERATED):
            stack.enter_context(replaced(cls, __iter__=_iterated(cls.__iter__, watch)))
        for module, cls in _loaded(_ARE_SOURCES):
            stand_in = _stand_in(cls, watch)
            for holder in (module, *_tests_that_have(cls)):
                stack.enter_context(replaced(holder, **{cls.__name__: stand_in}))
        yield


def _loaded(places: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Any, Any]]:
    """The module and the class, for each class of the modules that the tests have imported."""
    for name, classes in places.items():
        module = sys.modules.get(name)
        if module is not None:
            yield from ((module, getattr(module, each)) for each in classes)


def _tests_that_have(cls: Any) -> Iterator[Any]:
    """The modules of tests that have imported a class by its name."""
    for name, module in list(sys.modules.items()):
        is_of_tests = name.endswith("_test") or name.startswith("test_")
        if is_of_tests and vars(module).get(cls.__name__) is cls:
            yield module


def _taking(original: Callable[..., None], watch: Watch) -> Callable[..., None]:
    signature = inspect.signature(original)
    first = list(signature.parameters)[1]

    @functools.wraps(original)
    def init(*args: Any, **kwargs: Any) -> None:
        call = signature.bind(*args, **kwargs)
        if first in call.arguments:
            call.arguments[first] = watch(call.arguments[first])
        original(*call.args, **call.kwargs)

    return init


def _iterated(original: Callable[[Any], Any], watch: Watch) -> Callable[[Any], Any]:
    @functools.wraps(original)
    def iterate(self: Any) -> Any:
        return original(watch(self))

    return iterate


class _Maker(type):
    """The type of a class that stands in for another: what it makes is watched, and of the other's type."""

    original: type
    watch: Watch

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.watch(cls.original(*args, **kwargs))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.original)


def _stand_in(original: Any, watch: Watch) -> type:
    body = {"original": original, "watch": staticmethod(watch), "__doc__": original.__doc__}
    if hasattr(original, "__class_getitem__"):  # `DataLoader[int]` means the original
        body["__class_getitem__"] = staticmethod(original.__class_getitem__)
    return _Maker(original.__name__, (original,), body)
