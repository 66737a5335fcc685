"""Begins the audit inside the script's process; imported once the program has imported a framework."""

from __future__ import annotations

from pathlib import Path

from batchaudit import consumers
from batchaudit.watching import Watched


def begin(folder: str, attempt: int) -> None:
    """Watches from now on whatever this process gives to its frameworks, until it ends.

    Args:
        folder: the run's folder.
        attempt: which start of the run this is.
    """
    consumers.begin(Watched(Path(folder), attempt, everything=True))
