"""Begins the audit inside the script's process; imported once the program has imported a framework."""

from __future__ import annotations

import sys
from pathlib import Path

from batchaudit import consumers
from batchaudit.capture.provenance import Place, place
from batchaudit.watching import Watched


def begin(folder: str, attempt: int) -> None:
    """Watches from now on whatever this process gives to its frameworks, until it ends.

    Args:
        folder: the run's folder.
        attempt: which start of the run this is.
    """
    consumers.begin(Watched(Path(folder), attempt, everything=True, where=where))


def where() -> Place:
    """Rank and world size: as `torch.distributed` has them where it is in use, else as the launcher says."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return Place(distributed.get_rank(), distributed.get_world_size())
    return place()
