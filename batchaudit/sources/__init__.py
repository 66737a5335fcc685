"""How each family of sources is watched without changing how it behaves; one file each family.

A family's file has two functions: `kind(source)`, which says what can be done with a source of that
family (None: not mine), and `watch(source, recorder)`, which makes a watched source of it. To add a
family, add its file here, before those that take anything.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.errors import UsageError
from batchaudit.sources import (
    arrays,
    generator,
    grain,
    hugging_face,
    indexed,
    iterator,
    lightning,
    shuffling,
    subclass,
    tf_data,
    torch_loader,
    webdataset,
)
from batchaudit.sources.kinds import Kind as Kind
from batchaudit.sources.proxy import Proxy
from batchaudit.sources.subclass import is_twin

_FAMILIES = (generator, tf_data, torch_loader, hugging_face, webdataset, grain, indexed, iterator)
_FRAMEWORKS = ("torch", "keras", "tf_keras", "tensorflow", "grain", "webdataset", "datasets")
_OF_PARTS: tuple[Any, ...] = (lightning,)


def kind_of(source: object) -> Kind:
    """What can be done with a source.

    Args:
        source: the user's object.

    Returns:
        Its kind.

    Raises:
        UsageError: it yields no batches in any way that is known.
    """
    return _family(source)[1]


def length_of(source: Any) -> int | None:
    """How many batches a pass over a source has; None where it does not say.

    Args:
        source: the user's object.
    """
    if kind_of(source) is Kind.INDEXED:
        return indexed.batch_count(source)
    return len(source) if hasattr(type(source), "__len__") else None


def watch(source: Any, recorder: Recorder) -> Any:
    """Makes a watched source of the user's: the same type, length, attributes, hooks and picklability.

    Args:
        source: the user's object.
        recorder: notes what it produces.

    Returns:
        The watched source.

    Raises:
        UsageError: it yields no batches in any way that is known.
    """
    return _family(source)[0].watch(source, recorder)


def recorder_of(source: object) -> Recorder | None:
    """The recorder of a watched source.

    Args:
        source: any object.

    Returns:
        Its recorder; None for what is not watched.
    """
    if is_twin(source):
        return subclass.recorder_of(source)
    if isinstance(source, Proxy):
        recorder: Recorder = source._batchaudit_recorder
        return recorder
    return generator.recorder_of(source) or arrays.recorder_of(source)


def unwatched(source: Any) -> Any:
    """The user's own object of a watched one.

    Args:
        source: a watched source. A generator is returned as it is: it cannot be parted from the user's.
    """
    if is_twin(source):
        return subclass.untwin(source)
    if isinstance(source, Proxy):
        return source._batchaudit_source
    return arrays.unwatched(source)


def family_of_parts(source: object) -> Any:
    """The family of a source that only gives sources: a `LightningDataModule`; None for any other object."""
    return next((family for family in _OF_PARTS if family.is_one(source)), None)


def workers_of(source: Any) -> int:
    """How many workers a source's own settings ask for; 0 for none.

    Args:
        source: the user's object.
    """
    for name in ("workers", "num_workers"):
        workers = getattr(source, name, None)
        if isinstance(workers, int):
            return workers
    return 0


def framework_of(source: object) -> str:
    """The framework that a source's class comes from: "torch", "keras", "tf_keras", ...; "" for none.

    Args:
        source: the user's object.
    """
    packages = [cls.__module__.partition(".")[0] for cls in type(source).__mro__]
    return next((name for name in packages if name in _FRAMEWORKS), "")


def about(source: Any) -> dict[str, Any]:
    """What a source says of itself before it is driven.

    Args:
        source: the user's object.

    Returns:
        "kind", "workers", "framework" and "ids" (see `kind_of`, `workers_of`, `framework_of`,
        `id_space`), and what its family's `about(source)` adds: "items", how many stored items it has;
        "batch_size"; "drop_last"; "shuffles". What is not known is left out. Plain values.
    """
    arrays_given = arrays.is_arrays(source)
    family = arrays if arrays_given else _family(source)[0]
    said = {
        "kind": "arrays" if arrays_given else kind_of(source).value,
        "workers": workers_of(source),
        "framework": framework_of(source),
        "ids": id_space(source),
    }
    more = getattr(family, "about", None)
    if more is not None:
        with suppress(Exception):  # it is the user's own code that is asked
            said.update(more(source))
    return said


def id_space(source: Any) -> str:
    """Which stored items the ids of a source's samples name; "" where only its own.

    Args:
        source: the user's object. Two sources of which this is the same have the same ids for the same items.
    """
    space = getattr(_family(source)[0], "id_space", None)
    return str(space(source)) if space is not None else ""


def endless_length(source: Any) -> int | None:
    """How many batches an epoch of a source has that says so and yet goes on for ever; None for any other.

    Args:
        source: the user's object; Keras' image iterators are such.
    """
    if not hasattr(source, "__next__") or not hasattr(type(source), "__len__"):
        return None
    try:
        return None if shuffling.length_draws(source) else length_of(source)
    except Exception:  # it is the user's own code
        return None


def _family(source: object) -> tuple[Any, Kind]:
    for family in _FAMILIES:
        kind = family.kind(source)
        if kind is not None:
            return family, kind
    raise UsageError(
        f"{type(source).__name__} is not a source of batches: expected a generator, an iterator, an "
        "iterable, a Keras PyDataset or Sequence, a tf.data.Dataset, a torch DataLoader, a Hugging Face, "
        "webdataset or grain dataset, or a LightningDataModule."
    )
