"""How each family of sources is watched without changing how it behaves; one file each family.

A family's file has two functions: `kind(source)`, which says what can be done with a source of that
family (None: not mine), and `watch(source, recorder)`, which makes a watched source of it. To add a
family, add its file here, before those that take anything.
"""

from __future__ import annotations

from typing import Any

from batchaudit.capture.recorder import Recorder
from batchaudit.errors import UsageError
from batchaudit.sources import generator, indexed, iterator, tf_data
from batchaudit.sources.kinds import Kind as Kind

_FAMILIES = (generator, tf_data, indexed, iterator)


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


def _family(source: object) -> tuple[Any, Kind]:
    for family in _FAMILIES:
        kind = family.kind(source)
        if kind is not None:
            return family, kind
    raise UsageError(
        f"{type(source).__name__} is not a source of batches: expected a generator, an iterator, an "
        "iterable, a Keras PyDataset or Sequence, or a tf.data.Dataset."
    )
