"""What a comparison of two runs found; every face renders it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchaudit.health import Health
from batchaudit.report.document import plain

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1

SAME, DIFFERENT, UNKNOWN = "same", "different", "unknown"

GRAINS = ("batches", "samples", "ids")
"""In which a stream is compared. Samples and ids may be equal where batches are not."""


@dataclass(frozen=True)
class Grain:
    """The streams of one pair, compared in one grain.

    Attributes:
        same: whether they are equal, one by one; None where what could not be hashed may decide it.
        counts: `a` and `b`, how many there are; `equal`, at the same place; `moved`, in both, elsewhere;
            `missing`, in A and not in B; `extra`, in B and not in A; `unknown`, places that could not be
            hashed.
        epochs: pandas frame: the same, a row an epoch.
    """

    same: bool | None
    counts: dict[str, int]
    epochs: pd.DataFrame


@dataclass(frozen=True)
class Pair:
    """One stream of run A beside one of run B.

    Attributes:
        source_a: the name of the source in A.
        source_b: the same in B.
        strategy_a: the strategy in A.
        strategy_b: the same in B.
        rank: the training process whose streams these are.
        batches: batch by batch.
        samples: sample by sample; None where not every sample was hashed.
        ids: id by id; None where not every sample of both has one.
        sizes_alike: whether the batches are of equal sizes, one by one.
        first: the first batches that differ: `kind`, `what` (in words), and `a` and `b` with attempt, epoch,
            step and digest; None where none do.
        notes: what a reader must know of it.
    """

    source_a: str
    source_b: str
    strategy_a: str
    strategy_b: str
    rank: int
    batches: Grain
    samples: Grain | None = None
    ids: Grain | None = None
    sizes_alike: bool = True
    first: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Whether the streams are the same, batch by batch."""
        if self.batches.same is None:
            return UNKNOWN
        return SAME if self.batches.same else DIFFERENT


@dataclass(frozen=True)
class Alone:
    """A stream that the other run has nothing to compare with.

    Attributes:
        run: "a" or "b".
        source: the source's name.
        strategy: its strategy.
        rank: the training process.
        batches: how many were delivered.
    """

    run: str
    source: str
    strategy: str
    rank: int
    batches: int


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        path: its folder, as it was named.
        attempts: which attempts make up its streams, in order.
        complete: whether its log is whole.
        log: how much of it could be read.
    """

    path: str
    attempts: tuple[int, ...]
    complete: bool = True
    log: Health = field(default_factory=Health)


@dataclass(frozen=True)
class Comparison:
    """Whether two runs delivered the same streams.

    Attributes:
        a: the run that the other is measured against.
        b: the other.
        pairs: what was compared.
        alone: what could not be, because only one run has it.
        notes: what a reader must know.
    """

    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    alone: tuple[Alone, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether both logs are whole."""
        return self.a.complete and self.b.complete

    @property
    def seen(self) -> str:
        """The verdict about what the logs hold, be they whole or not."""
        verdicts = {pair.verdict for pair in self.pairs}
        if self.alone or DIFFERENT in verdicts:
            return DIFFERENT
        return UNKNOWN if UNKNOWN in verdicts else SAME

    @property
    def verdict(self) -> str:
        """The verdict: "same", "different", or "unknown", as it is where a log is not whole."""
        return self.seen if self.complete else UNKNOWN

    @property
    def same(self) -> bool:
        """Whether the runs are known to have delivered the same streams."""
        return self.verdict == SAME

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints: plain values only, None where something is not known."""
        return {
            "schema_version": SCHEMA_VERSION,
            "same": self.same,
            "verdict": self.verdict,
            "complete": self.complete,
            "run_a": _side(self.a),
            "run_b": _side(self.b),
            "pairs": [_pair(pair) for pair in self.pairs],
            "only_in_a": [_alone(one) for one in self.alone if one.run == "a"],
            "only_in_b": [_alone(one) for one in self.alone if one.run == "b"],
            "notes": plain(self.notes),
        }

    def to_json(self) -> str:
        """The same document as strict JSON text, ending in a line break."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def __str__(self) -> str:
        from batchaudit.report.comparison_console import as_text

        return as_text(self)

    __repr__ = __str__


def _side(side: Side) -> dict[str, Any]:
    return {
        "run": plain(side.path),
        "attempts": list(side.attempts),
        "complete": side.complete,
        "log": plain(side.log.counts),
    }


def _alone(one: Alone) -> dict[str, Any]:
    return {
        "source": plain(one.source),
        "strategy": plain(one.strategy),
        "rank": one.rank,
        "batches": one.batches,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    from batchaudit.report.comparison_words import summary

    names = ("source_a", "source_b", "strategy_a", "strategy_b", "rank", "verdict")
    return {
        **{name: plain(getattr(pair, name)) for name in names},
        "same": pair.verdict == SAME,
        "summary": plain(summary(pair)),
        "first_difference": plain(pair.first),
        **{name: _grain(getattr(pair, name)) for name in GRAINS},
        "notes": plain(pair.notes),
    }


def _grain(grain: Grain | None) -> dict[str, Any] | None:
    if grain is None:
        return None
    epochs = [
        {str(name): int(value) for name, value in row.items()} for row in grain.epochs.to_dict("records")
    ]
    return {"same": grain.same, **grain.counts, "epochs": epochs}
