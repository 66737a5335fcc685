"""What the advice is made from, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from batchaudit.analysis.spread import Spread
from batchaudit.analysis.timing import Steps, Timing

_SHARED = 0.7
"""Of what a second thread can add: one that adds less is held up by the first."""
_FREE = 1.5
"""Two threads that get less done than this many times as much as one share the machine with others."""


@dataclass(frozen=True)
class Costs:
    """What a batch of a source costs, whatever drives it. Times are in seconds.

    Attributes:
        cores: processor cores that the audit could use; 0 for not known.
        pickled: bytes of a batch's pickle; None where it was not sent.
        send: what a worker process is busy for with sending a batch.
        receive: what the consumer is busy for with receiving one.
        together: how many times as many batches two threads make as one; None where it was not tried.
        pair: how many times as much two threads get done as one where nothing holds them; below 2 where
            another program had a part of the machine.
    """

    cores: int = 0
    pickled: int | None = None
    send: Spread | None = None
    receive: Spread | None = None
    together: Spread | None = None
    pair: Spread | None = None

    @property
    def shares(self) -> bool:
        """Whether one thread keeps another from making batches: both want something of which there is one."""
        if self.together is None:
            return False
        free = 2.0 if self.pair is None else min(self.pair.middle, 2.0)
        return self.together.middle < 1 + _SHARED * (free - 1)

    @property
    def busy_machine(self) -> bool:
        """Whether other programs had so much of the machine that what was measured says little of it."""
        return self.pair is not None and self.cores > 1 and self.pair.middle < _FREE


@dataclass(frozen=True)
class Option:
    """One strategy that is compared.

    Attributes:
        strategy: as it was written.
        family: without its workers and options.
        workers: how many it has; 0 for none.
        timing: what was measured; None where nothing was.
        causes: what the audit found wrong with it, that is not wrong without workers too.
        fix: of the first of them.
        refused: why it could not be measured; None where it could.
        asked: whether somebody asked for it; else it was tried to compare it.
    """

    strategy: str
    family: str
    workers: int = 0
    timing: Timing | None = None
    causes: tuple[str, ...] = ()
    fix: str = ""
    refused: str | None = None
    asked: bool = True

    @property
    def ahead(self) -> bool:
        """Whether batches are made while the training is at a step, and not between two."""
        return self.workers > 0

    @property
    def clean(self) -> bool:
        """Whether it was measured and nothing was found wrong with it."""
        return self.timing is not None and not self.causes


@dataclass(frozen=True)
class Question:
    """All that is known of one source.

    Attributes:
        source: its name.
        kind: what can be done with it: "iterator", "iterable", "indexed", "dataset"; "" for not known.
        options: the strategies, `serial` among them where it was measured.
        costs: what a batch costs.
        step_time: seconds of a training step; None where nobody said.
        nbytes: of a batch; None for not known.
        samples: of a batch; None for not known.
        steps: what a watched training did; None for an audit.
        complete: whether the log is whole: what is missing may hold duplicates.
        own: the causes that were found without workers, too: no strategy is to blame for them.
    """

    source: str
    kind: str
    options: tuple[Option, ...]
    costs: Costs = field(default_factory=Costs)
    step_time: float | None = None
    nbytes: float | None = None
    samples: float | None = None
    steps: Steps | None = None
    complete: bool = True
    own: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reason:
    """One conclusion: the rule that leads to it, and the numbers that it was led from."""

    rule: str
    text: str


@dataclass(frozen=True)
class Compared:
    """One strategy in the comparison.

    Attributes:
        option: what was measured, and what was found.
        speed_up: its rate over that of `serial`; None where one of them was not measured.
        bound: the most that could be expected of it, over `serial`; None where that is not known.
        bound_by: what sets the bound, in words.
        stalled: share of an epoch that a training with this step time would wait for data; None: not known.
    """

    option: Option
    speed_up: Spread | None = None
    bound: float | None = None
    bound_by: str = ""
    stalled: float | None = None


@dataclass(frozen=True)
class SourceAdvice:
    """Which strategy is worth its cost, for one source.

    Attributes:
        source: its name.
        nature: what making a batch is: "waits", "holds the interpreter", "releases the interpreter", "runs
            threads of its own", "cheap"; "" for not known.
        best: the strategy to use as things are; None where nothing could be compared.
        enough: how many workers of it are enough; None where it has none, or it is not known.
        after_fix: a strategy that would be clearly faster, once what the audit found wrong with it is mended;
            None where there is none.
        summary: the advice in a few sentences.
        reasons: each rule that applied, with its numbers.
        compared: the strategies, in the order in which they were asked for.
        step_time: seconds of a training step; None where it is not known.
        stalled_before: share of an epoch that the training waits for data as it is now; None for not known.
        stalled_after: the same with `best`.
        uncertain: whether the measurements overlap so far that another strategy may be as good or better.
    """

    source: str
    nature: str
    best: str | None
    enough: int | None
    after_fix: str | None
    summary: str
    reasons: tuple[Reason, ...]
    compared: tuple[Compared, ...]
    step_time: float | None = None
    stalled_before: float | None = None
    stalled_after: float | None = None
    uncertain: bool = False

    def __str__(self) -> str:
        return f"{self.source}: {self.summary}"


@dataclass(frozen=True)
class Advice:
    """The advice of a report, source by source."""

    sources: tuple[SourceAdvice, ...] = ()

    def __iter__(self) -> Iterator[SourceAdvice]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, source: str) -> SourceAdvice:
        """The advice for one source, by its name."""
        for advice in self.sources:
            if advice.source == source:
                return advice
        raise KeyError(source)

    @property
    def best(self) -> str | None:
        """The strategy to use where there is one source; None for several, or where nothing was compared."""
        return self.sources[0].best if len(self.sources) == 1 else None

    def __str__(self) -> str:
        return "\n".join(map(str, self.sources)) or "nothing was measured that advice could be given from"

    __repr__ = __str__
