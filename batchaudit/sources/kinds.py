"""What a source can do, which decides how a strategy may drive it."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """How batches are got out of a source."""

    ITERATOR = "iterator"
    """`next()` only: a generator or another iterator. One pass, and workers are replicas or share it."""
    ITERABLE = "iterable"
    """`iter()` gives a new pass each time."""
    INDEXED = "indexed"
    """`source[i]` gives batch i: workers can be given indices."""
    DATASET = "dataset"
    """A `tf.data.Dataset`: it runs its own workers, inside TensorFlow."""
