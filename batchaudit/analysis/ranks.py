"""One source as several training processes were given it. Requires pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import Tables


@dataclass(frozen=True)
class Ranks:
    """One source in several ranks of one attempt.

    Attributes:
        source: its name.
        strategy: how it was driven; "live" in a training of the user's own.
        of: each rank's evidence, by rank.
        pooled: the events of all ranks together; `delivered` and `produced` have a column `rank`.
        silent: the ranks that asked for batches and were given none.
        missing: the ranks that the world size says should be there, and of which there is no log.
    """

    source: str
    strategy: str
    of: Mapping[int, Evidence]
    pooled: Tables
    silent: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
