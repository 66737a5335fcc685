"""Drives a source with an index over items of the probe's own choice, by the machinery of a strategy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from batchaudit import sources, strategies
from batchaudit.capture.recorder import Recorder
from batchaudit.probes.subject import in_processes
from batchaudit.probes.turns import Turns
from batchaudit.sources import indexed, torch_loader
from batchaudit.sources.proxy import WatchedList
from batchaudit.sources.subclass import twin
from batchaudit.strategies import Job, Skip, Strategy


@dataclass
class Plan:
    """Which item stands for which index.

    Attributes:
        order: item `order[i]` is made where index `i` is asked for.
        turns: in which the workers make them; None for whoever is free.
    """

    order: Sequence[int]
    turns: Turns | None = None

    def item(self, index: Any) -> Any:
        """The item of an index, once it is the turn of the worker that asks.

        A framework may look further ahead than there is.
        """
        if self.turns is not None:
            self.turns.wait()
        return self.order[int(index) % len(self.order)]


def drive(job: Job, source: Any, strategy: Strategy, orders: Sequence[Sequence[int]]) -> None:
    """Drives one epoch for each order, over one source.

    Args:
        job: who drives it.
        source: what to drive; not watched.
        strategy: whose machinery to use.
        orders: the items of each epoch: numbers of batches, or of samples for a `DataLoader`, which then come
            in batches of one.

    Raises:
        Skip: the strategy cannot run this source.
        WorkerError: a worker raised or died, or the time was over.
    """
    if torch_loader.is_loader(source):
        loader = _reordered(source, orders)
        job = replace(job, make=lambda: sources.watch(loader, job.recorder), renewable=False)
        strategies.drive(replace(job, epochs=len(orders), steps_per_epoch=None, sized=True), strategy)
        return
    plan = Plan(orders[0])
    watched = planned(source, job.recorder, plan)
    for number, order in enumerate(orders):
        with tempfile.TemporaryDirectory(prefix="batchaudit-turns-") as folder:
            plan.order, plan.turns = order, _turns(folder, strategy, len(order))
            one = replace(job, make=lambda: watched, renewable=False, epochs=1, sized=True)
            strategies.drive(replace(one, begin=number, steps_per_epoch=len(order)), strategy)


def _turns(folder: str, strategy: Strategy, items: int) -> Turns | None:
    # A queue that is shorter than the workers are many never has an item for each of them.
    pooled = in_processes(strategy) and 1 < strategy.workers <= strategy.queue
    return Turns(folder, strategy.workers, items) if pooled else None


def length(source: Any) -> int:
    """How many items a source has to choose from.

    Args:
        source: a source with an index, or a map-style `DataLoader`.
    """
    if torch_loader.is_loader(source):
        return len(source.dataset)
    return indexed.batch_count(source) or 2**31


def planned(source: Any, recorder: Recorder, plan: Plan) -> Any:
    """A watched twin of an indexed source that makes the items of a plan."""
    try:
        made = twin(source, recorder, _overrides(plan), partial(planned, plan=plan))
    except TypeError:
        return _PlannedList(source, recorder, plan)
    if hasattr(type(source), "num_batches"):
        type(made).num_batches = property(lambda self: len(plan.order))
    return made


def _overrides(plan: Plan) -> dict[str, Any]:
    def getitem(recorder: Recorder, original: Any, index: Any) -> Any:
        item = plan.item(index)
        return recorder.produce(original, item, index=item)

    def size(recorder: Recorder, original: Any) -> int:
        return len(plan.order)

    return {**indexed.HOOKS, "__getitem__": getitem, "__len__": size}


class _PlannedList(WatchedList):
    """A list of batches, by plan."""

    __slots__ = ("_batchaudit_plan",)

    _batchaudit_plan: Plan

    def __init__(self, source: Any, recorder: Recorder, plan: Plan) -> None:
        super().__init__(source, recorder)
        object.__setattr__(self, "_batchaudit_plan", plan)

    def __len__(self) -> int:
        return len(self._batchaudit_plan.order)

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(self._batchaudit_plan.item(index))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self._batchaudit_source, self._batchaudit_recorder, self._batchaudit_plan)


def _reordered(loader: Any, orders: Sequence[Sequence[int]]) -> Any:
    from batchaudit.strategies.torch import built

    if not torch_loader.has_indices(loader):
        raise Skip("an IterableDataset has no index")
    batches = loader.batch_sampler is not None
    sampler = Orders([[[item] for item in order] if batches else list(order) for order in orders])
    return built(loader, {"batch_sampler" if batches else "sampler": sampler})


class Orders:
    """A sampler that gives the next of some orders in each pass."""

    def __init__(self, orders: Sequence[Sequence[Any]]) -> None:
        self._orders = orders
        self._pass = 0

    def __len__(self) -> int:
        return len(self._orders[min(self._pass, len(self._orders) - 1)])

    def __iter__(self) -> Iterator[Any]:
        # torch asks for two iterators a pass, and goes on with the second: only what is taken from is a pass.
        order = self._orders[min(self._pass, len(self._orders) - 1)]
        self._pass += 1
        yield from order
