"""Drives a source with workers, each family of strategies in its own file.

To add a family, add its options to `spec.py` and its file here; the file has one function,
`drive(job, strategy)`, and imports its framework at the top: it is only imported when it is asked for.
"""

from __future__ import annotations

import importlib
import sys

from batchaudit.errors import UsageError
from batchaudit.sources import kind_of
from batchaudit.strategies.job import Job, Skip
from batchaudit.strategies.spec import Strategy, parse

__all__ = ["Job", "Skip", "Strategy", "drive", "parse", "require"]

# Which module drives a family, and which of the package's extras brings what it imports.
_DRIVERS = {
    "serial": ("serial", None),
    "threads": ("threads", None),
    "fork": ("processes", None),
    "spawn": ("processes", None),
    "forkserver": ("processes", None),
    "tf_keras-threads": ("tf_keras", "tensorflow"),
    "tf_keras-processes": ("tf_keras", "tensorflow"),
    "keras-threads": ("keras", "tensorflow"),
    "keras-processes": ("keras", "tensorflow"),
    "tf.data": ("tf_data", "tensorflow"),
}


def require(strategy: Strategy) -> None:
    """Imports what a strategy needs.

    Args:
        strategy: the strategy.

    Raises:
        UsageError: a framework is not installed; the message says which extra brings it.
    """
    if strategy.family != "as-is":
        _driver(strategy.family)


def drive(job: Job, strategy: Strategy) -> None:
    """Drives one source by one strategy; every batch goes to `job.deliver`.

    Args:
        job: what to drive.
        strategy: how.

    Raises:
        Skip: this strategy cannot run this source; the message is the reason.
        WorkerError: a worker raised or died; the message holds its own traceback.
        UsageError: the source yields nothing, or never ends.
    """
    family = strategy.family
    if family == "as-is":
        # Only a Keras 3 PyDataset carries worker settings of its own; what else there is runs as it is.
        family = "keras-threads" if _is_py_dataset(job.make()) else "serial"
    _driver(family).drive(job, strategy)


def _is_py_dataset(source: object) -> bool:
    kind_of(source)
    if "keras" not in sys.modules:
        return False
    return bool(_driver("keras-threads").is_py_dataset(source))


def _driver(family: str):  # type: ignore[no-untyped-def]
    module, extra = _DRIVERS[family]
    try:
        return importlib.import_module(f"batchaudit.strategies.{module}")
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").startswith("batchaudit"):
            raise
        raise UsageError(
            f"strategy {family} needs {error.name}, which is not installed: pip install 'batchaudit[{extra}]'"
        ) from None
