"""The rules that applied, each with the numbers that it was led from."""

from __future__ import annotations

from collections.abc import Sequence

from batchaudit.advice import bounds, choice
from batchaudit.advice.model import Compared, Option, Question, Reason
from batchaudit.advice.units import digits, seconds, size, times
from batchaudit.analysis.timing import Timing

_LONG_PAUSE = 10.0
"""Batches that could have come between two epochs: what is less is not worth a word."""
_PARALLEL = 1.5
"""Two threads that make this many times as many batches as one are worth having."""


def of_sending(question: Question, serial: Timing | None) -> list[Reason]:
    """What it costs to bring a batch out of a process, where processes are compared."""
    costs = question.costs
    if costs.send is None or costs.receive is None or costs.pickled is None:
        return []
    if not any(one.family in bounds.PROCESSES for one in question.options):
        return []
    send, receive = costs.send.middle, costs.receive.middle
    text = (
        f"sending {size(costs.pickled)} from a process costs {seconds(send + receive)}: {seconds(send)} to "
        f"pickle and send, {seconds(receive)} to receive and unpickle"
    )
    if serial is not None and serial.make is not None and send + receive >= serial.make.middle:
        make = seconds(serial.make.middle)
        text += f", more than the {make} that making it takes: processes cannot help"
    return [Reason("sending", text)]


def of_option(compared: Compared) -> Reason | None:
    """What one strategy gave, what it could give at most, and what was found wrong with it."""
    option = compared.option
    if option.refused is not None:
        return Reason("lacks", f"{option.strategy} was not measured: {option.refused}")
    if option.timing is None or compared.speed_up is None or option.family == "serial":
        return None
    most = "" if compared.bound is None else f"at most {times(compared.bound)} ({compared.bound_by}), "
    ends = f"{times(compared.speed_up.low)} to {times(compared.speed_up.high)}"
    rate = f"{digits(option.timing.rate.middle)} batches a second"
    text = f"{option.strategy} gives {most}measured {times(compared.speed_up.middle)} ({ends}), {rate}"
    if option.causes:
        return Reason("defect", f"{text}; but the audit found {', '.join(option.causes)} with it")
    return Reason("measured", text)


def of_pauses(question: Question) -> list[Reason]:
    """Which strategies stand still between two epochs, and for how long."""
    told = [
        f"{one.strategy} for {seconds(one.timing.pause.middle)}"
        for one in question.options
        if one.timing is not None and one.timing.pause is not None
        if one.timing.pause.middle * one.timing.rate.middle >= _LONG_PAUSE
    ]
    if not told:
        return []
    text = f"between two epochs these stand still, which the rates have in them: {', '.join(told)}"
    return [Reason("pause", f"{text}; the longer an epoch, the less that matters")]


def of_choice(
    question: Question, clean: Sequence[Option], best: Option, mended: Option | None, uncertain: bool
) -> list[Reason]:
    """Why this strategy, what would be better, and how sure that is.

    Args:
        question: what is known of the source.
        clean: the strategies that were measured and have no defect.
        best: the one that was chosen.
        mended: a faster one with a defect.
        uncertain: whether another one may be as good or better.
    """
    found = [*_equals(question, clean, best), *_doubts(question, uncertain)]
    if mended is not None:
        text = f"{mended.strategy} would be clearly faster, but only once its {mended.causes[0]} is mended"
        found.append(Reason("after-fix", f"{text}:\n{mended.fix}" if mended.fix else text))
    return [*found, *_of_kind(question), *_of_step(question)]


def _equals(question: Question, clean: Sequence[Option], best: Option) -> list[Reason]:
    step = question.step_time
    if step is not None and choice.stalled(best, step) <= choice.STALLED:
        equal = [one for one in clean if choice.stalled(one, step) <= choice.STALLED]
        why = "with which the training does not wait"
    else:
        equal = choice.as_good_as(clean, best, step)
        why = "that are as fast as the measurements can tell"
    others = [one.strategy for one in equal if one is not best]
    if not others:
        return []
    return [Reason("simplest", f"{best.strategy} is the simplest of those {why}, with {', '.join(others)}")]


def _doubts(question: Question, uncertain: bool) -> list[Reason]:
    found = []
    pair = question.costs.pair
    if question.costs.busy_machine and pair is not None:
        text = f"the machine was busy: two threads that compute got {times(pair.middle)} done of one's work"
        found.append(Reason("busy-machine", f"{text}; measure again when it is quiet"))
    elif uncertain:
        text = "the spreads overlap: measure again on a quiet machine, or with longer batches, to be sure"
        found.append(Reason("spread", text))
    if not any(one.timing is not None and one.timing.clocked for one in question.options):
        text = "these rates have the audit's fingerprints in them; advise=True or --advise measures without"
        found.append(Reason("not-clocked", text))
    return found


def _of_kind(question: Question) -> list[Reason]:
    together = question.costs.together
    if question.kind == "iterator" and together is not None and together.middle >= _PARALLEL:
        text = (
            "an iterator gives one batch after the other; as a source with an index (a Keras PyDataset "
            f"or Sequence, a torch Dataset) two threads make {times(together.middle)} as many, each once"
        )
        return [Reason("indexed", text)]
    if question.kind == "dataset":
        text = (
            "tf.data has workers of its own: give its map num_parallel_calls=tf.data.AUTOTUNE, end it with "
            "prefetch(tf.data.AUTOTUNE), and compare the two with batchaudit diff and another audit"
        )
        return [Reason("tf-data", text)]
    return []


def _of_step(question: Question) -> list[Reason]:
    step = question.step_time
    if step is None:
        return []
    text = (
        f"a training step takes {seconds(step)}: data that is made ahead does not hold it up from "
        f"{digits(1 / step)} batches a second on; without workers each batch is made between two steps"
    )
    return [Reason("step-time", text)]
