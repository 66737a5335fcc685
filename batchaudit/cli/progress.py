"""Progress on standard error, only where a person watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchaudit.untrusted import shown_line

_REFRESH_SECONDS = 0.1

Tell = Callable[[str, int, int], None]
"""Told (strategy, epoch, step) of every delivered batch."""


@contextmanager
def progress(epochs: int, steps_per_epoch: int | None) -> Iterator[Tell | None]:
    """Shows how far an audit is.

    It draws only when it is told of a batch: a thread that redraws could hold the console's lock while a
    strategy forks its workers, and a worker that prints would wait for that lock for ever. For the same
    reason it leaves `sys.stdout` and `sys.stderr` as they are.

    Args:
        epochs: how many epochs each strategy drives.
        steps_per_epoch: batches of an epoch; None where only the source knows.

    Yields:
        What to tell of every batch; None where nobody watches.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn(
            "epoch {task.fields[epoch]} of {task.fields[epochs]}, batch {task.fields[batch]}", markup=False
        ),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=None, epoch=1, epochs=epochs, batch=0)
        yield _teller(bar.update, task, epochs, steps_per_epoch)


def _teller(update: Callable[..., None], task: object, epochs: int, steps: int | None) -> Tell:
    shown = float("-inf")
    longest = steps or 0
    done: dict[str, int] = {}

    def tell(strategy: str, epoch: int, step: int) -> None:
        nonlocal shown, longest
        done[strategy] = done.get(strategy, 0) + 1
        # Once an epoch is over its length is known; until then the bar does not pretend to know.
        longest = max(longest, step + 1) if epoch == 0 else longest
        now = time.monotonic()
        if now - shown < _REFRESH_SECONDS:
            return
        shown = now
        total = epochs * longest if steps or epoch > 0 else None
        update(
            task,
            description=shown_line(strategy),
            completed=done[strategy],
            total=total,
            epoch=epoch + 1,
            batch=step + 1,
            refresh=True,
        )

    return tell
