"""What is known of a source before a probe is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchaudit.sources.kinds import Kind
from batchaudit.strategies import Strategy


@dataclass(frozen=True)
class Subject:
    """The source that is probed.

    Attributes:
        make: gives a source that is not watched; a new one where `renewable`.
        kind: what can be done with it.
        renewable: whether each call of `make` gives a new one.
        loader: whether it is a torch `DataLoader`.
        indexed: whether its items can be asked for by index, in any order.
        epochs: how many epochs were asked for.
        drawn: whether its content changes, as the serial passes show: False where all of them gave the same
            samples, epoch for epoch and whatever the global random streams; None where they do not show it.
        suspect: whether the probe `same-index` saw equal contents more often than one worker makes them.
    """

    make: Callable[[], Any]
    kind: Kind
    renewable: bool
    loader: bool
    indexed: bool
    epochs: int = 1
    drawn: bool | None = None
    suspect: bool = False


def concrete(source: Any, strategy: Strategy) -> Strategy:
    """A strategy with workers of its own in place of `as-is`, which leaves them to the source.

    Args:
        source: the source.
        strategy: any.

    Returns:
        `torch:N` or `keras-...:N` with the source's own settings; any other strategy as it is.
    """
    if strategy.family != "as-is":
        return strategy
    options: dict[str, str] = {}
    if hasattr(source, "use_multiprocessing"):
        family = "keras-processes" if source.use_multiprocessing else "keras-threads"
        return Strategy(family, int(source.workers), {"queue": str(source.max_queue_size)})
    if hasattr(source, "num_workers"):
        context = source.multiprocessing_context
        if context is not None:
            options["start"] = context.get_start_method()
        if source.prefetch_factor is not None:
            options["prefetch"] = str(source.prefetch_factor)
        if source.persistent_workers:
            options["persistent"] = ""
        return Strategy("torch", int(source.num_workers), options)
    return strategy


def in_processes(strategy: Strategy) -> bool:
    """Whether a strategy's workers are processes."""
    return strategy.family in ("fork", "spawn", "forkserver", "torch") or "processes" in strategy.family
