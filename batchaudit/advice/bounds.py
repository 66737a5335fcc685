"""The most that a strategy could give, over no workers, from what a batch costs.

`make` seconds to make a batch, of which the processor is busy for `busy`; `send` and `receive` for a process
to hand it over; c cores, n workers:

- threads: n, but no more than c cores can be busy (c · make / busy), and one at a time holds the interpreter:
  where two threads make t times as many as one, clearly less than 2, any number makes t times as many.
- processes: n of them take make + send each; the cores are busy for busy + send + receive; the one consumer
  for receive.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchaudit.advice.model import Costs
from batchaudit.advice.units import seconds, times
from batchaudit.analysis.timing import Timing

THREADS = ("threads", "keras-threads", "tf_keras-threads", "tf.data")
PROCESSES = ("fork", "spawn", "forkserver", "keras-processes", "tf_keras-processes")
LOADER = ("torch",)
_NO_TIME = 1e-9
"""Seconds: a coarse clock reads none at all."""
Bound = tuple[float, str]


def bound(family: str, workers: int, serial: Timing, costs: Costs) -> Bound | None:
    """The most that `workers` of a family could give.

    Args:
        family: of the strategy.
        workers: how many.
        serial: what was measured without workers.
        costs: what a batch costs.

    Returns:
        A factor over `serial`, and what sets it; None where that is not known.
    """
    if serial.make is None or serial.busy is None or not workers or not costs.cores or costs.busy_machine:
        return None
    make, busy = serial.make.middle, serial.busy.middle
    alone = 1 / serial.rate.middle
    if family in THREADS:
        return _least([_workers(workers), *_threads(make, busy, costs, family)])
    if family in LOADER:  # it hands tensors over in shared memory, which is not what `sending` measured
        return _least([_workers(workers), _cores(costs.cores, make, busy)])
    if family in PROCESSES and costs.send is not None and costs.receive is not None:
        send, receive = costs.send.middle, costs.receive.middle
        each = (
            workers * alone / (make + send),
            f"{workers} workers, each {seconds(make + send)} a batch with sending it",
        )
        all_cores = costs.cores * alone / max(busy + send + receive, _NO_TIME)
        return _least(
            [
                each,
                (all_cores, f"{costs.cores} cores"),
                (alone / max(receive, _NO_TIME), f"receiving a batch takes the consumer {seconds(receive)}"),
            ]
        )
    return None


def _workers(workers: int) -> Bound:
    return float(workers), f"{workers} workers"


def _cores(cores: int, make: float, busy: float) -> Bound:
    return cores * make / max(busy, _NO_TIME), f"{cores} cores"


def _threads(make: float, busy: float, costs: Costs, family: str) -> list[Bound]:
    found = [_cores(costs.cores, make, busy)]
    if family == "tf.data":
        found.append((float(costs.cores), f"TensorFlow runs {costs.cores} calls at once, one a core"))
    if costs.together is not None and costs.shares:
        held = max(1.0, costs.together.middle)
        found.append((held, f"two threads make {times(costs.together.middle)} as many as one"))
    return found


def _least(bounds: Sequence[Bound]) -> Bound:
    factor, by = min(bounds)
    return max(factor, 0.0), by


def enough(
    family: str, workers: int, serial: Timing, costs: Costs, measured: float, wanted: float
) -> int | None:
    """How many workers give what is wanted.

    Args:
        family: of the strategy.
        workers: how many were measured.
        serial: what was measured without workers.
        costs: what a batch costs.
        measured: batches a second that those gave.
        wanted: batches a second.

    Returns:
        The fewest for which the bound, scaled to what was measured, gives as many; None: not known.
    """
    of_all = bound(family, workers, serial, costs)
    if of_all is None or not of_all[0]:
        return None
    scale = min(1.0, measured / (of_all[0] * serial.rate.middle))
    for fewer in range(1, workers + 1):
        found = bound(family, fewer, serial, costs)
        if found is not None and found[0] * scale * serial.rate.middle >= wanted:
            return fewer
    return workers
