"""Drives a source with workers, each family of strategies in its own file.

To add a family, add its options to `spec.py` and its file here; the file has one function,
`drive(job, strategy)`, and imports its framework at the top: it is only imported when it is asked for.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from batchaudit.errors import UsageError
from batchaudit.sources import kind_of
from batchaudit.sources.torch_loader import is_loader
from batchaudit.strategies.forks import earlier_garbage_kept
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
    "torch": ("torch", "torch"),
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
        source = job.make()
        job = replace(job, make=_beginning_with(source, job.make))
        family = _own_machinery(source)
    elif family == "serial":
        source = job.make()
        job = replace(job, make=_beginning_with(source, job.make))
        family = "torch" if is_loader(source) else family
    with earlier_garbage_kept():  # whatever the family: a source may fork by itself
        _driver(family).drive(job, strategy)


def _own_machinery(source: object) -> str:
    """What drives a source by its own settings: a `DataLoader` and a Keras 3 `PyDataset` carry some."""
    if is_loader(source):
        return "torch"
    return "keras-threads" if _is_py_dataset(source) else "serial"


def _beginning_with(source: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    """Gives a source that has been made already, then what `make` gives."""
    made = [source]
    return lambda: made.pop() if made else make()


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
