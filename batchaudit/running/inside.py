"""Begins the audit inside the script's process; imported once the program has imported a framework."""

from __future__ import annotations

import os
from pathlib import Path

from batchaudit import consumers
from batchaudit.journal.keeping import Keeping
from batchaudit.running.child import KEEPING
from batchaudit.watching import Watched


def begin(folder: str, attempt: int) -> None:
    """Watches from now on whatever this process gives to its frameworks, until it ends.

    Args:
        folder: the run's folder.
        attempt: which start of the run this is.

    Raises:
        UsageError: the key cannot be read: better no log than one that anybody can guess.
    """
    most, _, key_file = os.environ.get(KEEPING, "").partition("\n")
    keeping = Keeping.of(int(most) if most else None, key_file or None)
    consumers.begin(Watched(Path(folder), attempt, everything=True, keeping=keeping))
