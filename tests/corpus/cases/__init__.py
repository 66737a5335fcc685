"""The corpus' cases, one module each family of loaders; a module is found by being in this folder.

A module has `CASES: tuple[Case, ...]`, `HEALTHY: tuple[Healthy, ...]`, or both.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from tests.corpus.case import Case, Healthy

Entry = Case | Healthy


def modules() -> list[str]:
    """The names of the modules that hold cases, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def entries_of(module: str) -> tuple[Entry, ...]:
    """The cases and healthy loaders of one module.

    Args:
        module: its name in this folder.
    """
    loaded = importlib.import_module(f"{__name__}.{module}")
    return (*getattr(loaded, "CASES", ()), *getattr(loaded, "HEALTHY", ()))


def find(identity: str) -> Entry:
    """One case, with as few modules imported as possible.

    What is not imported cannot change what is measured: NumPy's random streams, for one, are only there once
    somebody has imported them, and a process without them forks other children than one with them.

    Args:
        identity: its id.

    Raises:
        KeyError: no module has it.
    """
    quoted = f'"{identity}"'
    here = Path(__file__).parent
    likely = sorted(modules(), key=lambda name: quoted not in (here / f"{name}.py").read_text())
    for module in likely:
        for entry in entries_of(module):
            if entry.id == identity:
                return entry
    raise KeyError(identity)
