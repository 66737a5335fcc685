"""All that the diagnosis sees of one source under one strategy."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import UNHASHABLE, Tables


@dataclass(frozen=True)
class Evidence:
    """One run's tables and figures, with what is known of how it was driven.

    Attributes:
        source: the source's name.
        strategy: the strategy as it was asked for.
        kind: what can be done with the source: "iterator", "iterable", "indexed", "dataset"; "" not known.
        renewed: whether each epoch was driven on a new source from the user's callable.
        tables: the events.
        epochs: the figures of each epoch.
        shares: each worker's share of each epoch.
        streams: the random streams that moved.
        shared_process: whether several workers are threads of one process.
        baseline: what serial passes gave.
        workers_configured: how many workers the strategy was to have; 0 for none.
        ended_early: whether the run was cut short, so that what was not seen might have come later.
        made_by: the framework that the source is of, where it says so: "torch", "keras", "tf_keras".
    """

    source: str
    strategy: str
    kind: str
    renewed: bool
    tables: Tables
    epochs: pd.DataFrame
    shares: pd.DataFrame
    streams: list[str]
    shared_process: bool
    baseline: Baseline
    workers_configured: int = 0
    ended_early: bool = False
    made_by: str = ""

    @property
    def family(self) -> str:
        """The strategy without its number of workers and options."""
        return self.strategy.split(",")[0].split(":")[0]

    @property
    def framework(self) -> str:
        """The framework whose workers made the batches: "torch", "keras", "tf_keras"; "" where none did."""
        named = self.family.split("-")[0]
        if named in ("torch", "keras", "tf_keras"):
            return named
        # torch alone tells its workers their seed.
        return "torch" if bool((self.tables.produced["framework_seed"] > 0).any()) else self.made_by

    @property
    def threaded(self) -> bool:
        """Whether the workers are threads over one source: they share its state and their process'."""
        if self.family.endswith("threads"):
            return True
        return self.shared_process and not bool((self.made["framework_worker"] >= 0).all())

    @property
    def hashed(self) -> bool:
        """Whether every batch could be hashed whole; what could not may be equal or not."""
        return not bool((self.tables.produced["flags"] & UNHASHABLE).any())

    @property
    def made(self) -> pd.DataFrame:
        """What workers produced: no looks ahead."""
        return self.tables.produced[self.tables.produced["worker"] >= 0]
