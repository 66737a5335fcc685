"""All that the diagnosis sees of one source under one strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import LIVE, UNHASHABLE, Tables, chosen
from batchaudit.analysis.walk import Walk, walk


def family_of(strategy: str) -> str:
    """A strategy without its number of workers and options."""
    return strategy.split(",")[0].split(":")[0]


@dataclass(frozen=True)
class Evidence:
    """One run's tables and figures, with what is known of how it was driven.

    Attributes:
        source: the source's name.
        strategy: the strategy as it was asked for; "live" where the user's own program drove the source.
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
        about: what the source says of itself (`sources.about`): "framework", "split", "ids", "items" ...
        probes: what probes of this strategy gave, by name (see `probes`).
        unprobed: why a probe could not be made, by name.
        rank: which training process it is of.
        keys: the names of the keys that its digests and ids went through; "" for none. Keyed ones tell what
            is equal; they have no order, and no number of theirs means anything.
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
    about: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Tables] = field(default_factory=dict)
    unprobed: Mapping[str, str] = field(default_factory=dict)
    rank: int = 0
    keys: frozenset[str] = frozenset({""})

    @property
    def keyed(self) -> bool:
        """Whether digests and ids went through a key."""
        return self.keys != {""}

    @cached_property
    def walk(self) -> Walk:
        """Which stored items were delivered, in which order."""
        return walk(self.tables, self.baseline)

    @cached_property
    def serial_walk(self) -> Walk | None:
        """The same of the serial pass over all epochs; None where there is none."""
        return None if self.baseline.first is None else walk(self.baseline.first, self.baseline)

    def told(self, probe: str) -> dict[str, Any] | None:
        """The last object that a probe logged (`Tables.told`); None where there is none."""
        probed = self.probes.get(probe)
        return next(reversed(probed.told(probe)), None) if probed is not None else None

    @property
    def items(self) -> int | None:
        """How many stored items the source says that it has; None where it does not say."""
        items = self.about.get("items")
        return items if isinstance(items, int) else None

    @property
    def live(self) -> bool:
        """Whether the user's own program drove the source."""
        return self.strategy == LIVE

    @property
    def split(self) -> str:
        """The source's part in the training: "training", "validation" or "prediction"; "" for not known."""
        return str(self.about.get("split", ""))

    @property
    def family(self) -> str:
        """The strategy without its number of workers and options."""
        return family_of(self.strategy)

    @property
    def framework(self) -> str:
        """The framework whose workers made the batches: "torch", "keras", "tf_keras"; "" where none did."""
        named = self.family.split("-")[0]
        if named in ("torch", "keras", "tf_keras"):
            return named
        # torch alone tells its workers their seed.
        by_seed = bool((self.tables.produced["framework_seed"] > 0).any())
        return "torch" if by_seed else str(self.about.get("framework", ""))

    @property
    def threaded(self) -> bool:
        """Whether the workers are threads over one source: they share its state and their process'."""
        if self.family.endswith("threads"):
            return True
        return self.shared_process and not bool((self.made["framework_worker"] >= 0).all())

    @cached_property
    def hashed(self) -> bool:
        """Whether every batch could be hashed whole; what could not may be equal or not."""
        return not bool((self.tables.produced["flags"] & UNHASHABLE).any())

    @cached_property
    def made(self) -> pd.DataFrame:
        """What workers produced: no looks ahead."""
        produced = self.tables.produced
        return chosen(produced, (produced["worker"] >= 0).to_numpy())

    @cached_property
    def workers_seen(self) -> int:
        """How many workers made something."""
        return int(self.made["worker"].nunique())

    @cached_property
    def used(self) -> pd.DataFrame:
        """What of that was delivered."""
        return chosen(self.made, (self.made["epoch"] >= 0).to_numpy())
