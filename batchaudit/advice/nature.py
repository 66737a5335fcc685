"""What making a batch is: waiting, holding the interpreter, computing beside it, or hardly anything."""

from __future__ import annotations

from batchaudit.advice.model import Question, Reason
from batchaudit.advice.units import percent, seconds, size, times
from batchaudit.analysis.timing import Timing

WAITS = "waits"
HOLDS = "holds the interpreter"
RELEASES = "releases the interpreter"
OWN_THREADS = "runs threads of its own"
CHEAP = "cheap"

_MOSTLY, _NEARLY_ALL = 0.5, 0.9
_CHEAP = 0.001
"""Seconds: a worker's queue, its switches and its waking cost a good part of this."""
_CHEAP_TO_SEND = 0.005
"""Seconds: a batch that takes less than this and costs more to send is better made where it is needed."""
_SEVERAL = 1.3
"""Cores that are busy while one thread makes a batch: above this it is helped by others."""


def nature(question: Question, serial: Timing | None) -> tuple[str, list[Reason]]:
    """What making a batch of a source is.

    Args:
        question: what is known of the source.
        serial: what was measured without workers.

    Returns:
        One of the words above, "" where it is not known; and the reasons.
    """
    if serial is None or serial.make is None or serial.busy is None:
        return "", []
    make, busy, idle = serial.make.middle, serial.busy.middle, serial.idle or 0.0
    large = "" if question.nbytes is None else f" of {size(question.nbytes)}"
    waits = f"for {seconds(max(make - busy, 0.0))} it waits"
    made = (
        f"making a batch{large} takes {seconds(make)}: the processor is busy for {seconds(min(busy, make))}"
    )
    reasons = [Reason("make", f"{made}, {waits}")]
    costs = question.costs
    sending = 0.0 if costs.send is None or costs.receive is None else costs.send.middle + costs.receive.middle
    if _CHEAP <= make < min(_CHEAP_TO_SEND, sending):
        cheap = f"it is made in less time than the {seconds(sending)} that sending it from a process costs"
        return CHEAP, [*reasons, Reason("cheap", cheap)]
    if make < _CHEAP:
        cheap = "it is made in less than 1 ms: handing it from a worker to the consumer costs as much"
        return CHEAP, [*reasons, Reason("cheap", cheap)]
    # Where other programs want the cores, the time without one of them is no waiting for data.
    if idle >= (_NEARLY_ALL if costs.busy_machine else _MOSTLY):
        waits = f"it waits for {percent(idle)} of that (input, output, a sleep): threads can wait together"
        return WAITS, [*reasons, Reason("waits", waits)]
    if serial.cores is not None and serial.cores >= _SEVERAL:
        used = f"it keeps {serial.cores:.1f} cores busy by itself: workers would share those"
        return OWN_THREADS, [*reasons, Reason("own-threads", used)]
    together = costs.together
    if together is None or costs.busy_machine or costs.cores == 1:
        return "", reasons
    ends = f"{times(together.low)} to {times(together.high)}"
    said = f"two threads make {times(together.middle)} as many batches as one ({ends})"
    if costs.shares:
        holds = f"{said}: it holds Python's interpreter, which threads share"
        return HOLDS, [*reasons, Reason("holds-interpreter", holds)]
    return RELEASES, [
        *reasons,
        Reason("releases-interpreter", f"{said}: it computes without the interpreter"),
    ]
