"""Datasets of both Kerases at module level, so that spawned workers can import them."""

from __future__ import annotations

import keras
import tf_keras

from tests.loaders import Broken, NoisyTable, Table


class PyTable(Table, keras.utils.PyDataset):
    """A Keras 3 dataset."""

    def __init__(self, count=8, **options):
        keras.utils.PyDataset.__init__(self, **options)
        Table.__init__(self, count)


class NoisyPyTable(NoisyTable, PyTable):
    """It draws from NumPy's global stream."""


class BrokenPyTable(Broken, keras.utils.PyDataset):
    """Something happens to the worker that makes batch 2."""

    def __init__(self, kind):
        keras.utils.PyDataset.__init__(self)
        Broken.__init__(self, kind)


class NoSuper(Table, keras.utils.PyDataset):
    """It forgets `super().__init__()`."""


class EndlessPyTable(PyTable):
    """It has no length."""

    @property
    def num_batches(self):
        return None


class TfTable(Table, tf_keras.utils.Sequence):
    """A tf_keras Sequence."""


class NoisyTfTable(NoisyTable, TfTable):
    """It draws from NumPy's global stream."""


class BrokenTfTable(Broken, TfTable):
    """Something happens to the worker that makes batch 2."""
