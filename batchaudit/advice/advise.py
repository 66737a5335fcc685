"""Weighs what was measured of one source: numbers in, a strategy with its reasons out."""

from __future__ import annotations

from dataclasses import replace

from batchaudit.advice import bounds, choice, words
from batchaudit.advice.model import Compared, Option, Question, Reason, SourceAdvice
from batchaudit.advice.nature import nature
from batchaudit.advice.reasons import of_choice, of_option, of_pauses, of_sending
from batchaudit.analysis.timing import Timing


def advise(question: Question) -> SourceAdvice | None:
    """What to do about the speed of one source.

    Args:
        question: all that is known of it.

    Returns:
        The advice; None where nothing was measured.
    """
    if question.steps is not None:
        return _of_training(question)
    measured = [option for option in question.options if option.timing is not None]
    if not measured:
        return None
    serial = next((one for one in measured if one.family == "serial"), None)
    alone = None if serial is None else serial.timing
    kind, reasons = nature(question, alone)
    compared = tuple(_compared(option, alone, question) for option in question.options)
    reasons += of_sending(question, alone)
    reasons += of_pauses(question)
    reasons += [reason for one in compared if (reason := of_option(one)) is not None]
    step = question.step_time
    now = next((one for one in measured if one.family == "as-is"), serial)
    advice = SourceAdvice(
        question.source, kind, None, None, None, "", tuple(reasons), compared, step,
        None if step is None or now is None else choice.stalled(now, step),
    )  # fmt: skip
    clean = [option for option in measured if option.clean] if question.complete else []
    if not clean:
        return replace(advice, summary=words.no_choice(question, measured))
    best = choice.choose(clean, step)
    mended = choice.once_mended([one for one in measured if not one.clean], best, step)
    advice = replace(
        advice,
        best=best.strategy,
        enough=_enough(question, alone, best),
        after_fix=None if mended is None else mended.strategy,
        stalled_after=None if step is None else choice.stalled(best, step),
        uncertain=question.costs.busy_machine or choice.is_uncertain(clean, best, step),
    )
    more = of_choice(question, clean, best, mended, advice.uncertain)
    advice = replace(advice, reasons=(*advice.reasons, *more))
    said = words.summary(advice, question, alone, best, mended)
    return replace(advice, summary=words.own(question) + said)


def _compared(option: Option, serial: Timing | None, question: Question) -> Compared:
    if option.timing is None:
        return Compared(option)
    stalled = None if question.step_time is None else choice.stalled(option, question.step_time)
    if serial is None:
        return Compared(option, stalled=stalled)
    speed_up = option.timing.rate.over(serial.rate)
    # What threads can do with an iterator is its own affair: a generator refuses, another may be torn.
    iterated = question.kind == "iterator" and option.family in bounds.THREADS and option.family != "tf.data"
    most = None if iterated else bounds.bound(option.family, option.workers, serial, question.costs)
    if most is None:
        return Compared(option, speed_up, stalled=stalled)
    return Compared(option, speed_up, most[0], most[1], stalled)


def _enough(question: Question, serial: Timing | None, best: Option) -> int | None:
    """How many workers of a strategy give what it gives, or what the training asks for."""
    if serial is None or not best.workers:
        return None
    measured = choice.rate(best).middle
    wanted = choice.AS_GOOD * measured
    if question.step_time is not None:
        wanted = min(wanted, 1 / question.step_time)
    return bounds.enough(best.family, best.workers, serial, question.costs, measured, wanted)


def _of_training(question: Question) -> SourceAdvice | None:
    """What a watched training says: whether it waits for its data."""
    assert question.steps is not None
    option = next((one for one in question.options if one.timing is not None), None)
    if option is None or option.timing is None:
        return None
    said = words.training(question.steps, option.timing)
    stalled = question.steps.stalled
    return SourceAdvice(
        question.source, "", None, None, None, said, (Reason("step-time", said),),
        (Compared(option, stalled=stalled),), question.steps.step.middle, stalled,
    )  # fmt: skip
