"""The advice in a few sentences: what to do, then why."""

from __future__ import annotations

from collections.abc import Sequence

from batchaudit.advice import choice
from batchaudit.advice.bounds import THREADS
from batchaudit.advice.model import Compared, Option, Question, SourceAdvice
from batchaudit.advice.nature import CHEAP, HOLDS, OWN_THREADS, RELEASES, WAITS
from batchaudit.advice.units import digits, percent, seconds, times
from batchaudit.analysis.timing import Steps, Timing

_SO = {
    WAITS: "so threads help",
    HOLDS: "so threads do not help",
    RELEASES: "so threads help as processes do",
    OWN_THREADS: "so workers would share the cores with those",
    CHEAP: "so no worker is worth its cost",
}
_IS = {
    HOLDS: "holds the interpreter",
    RELEASES: "releases the interpreter",
    OWN_THREADS: "runs threads of its own",
}


def no_choice(question: Question, measured: Sequence[Option]) -> str:
    """Why no strategy can be advised."""
    if not question.complete:
        return "No advice: the log is incomplete, and what is missing may hold duplicates."
    found = "; ".join(f"{one.strategy}: {', '.join(one.causes)}" for one in measured)
    return f"No advice: the audit found a defect with every strategy ({found}). Mend that first."


def summary(
    advice: SourceAdvice, question: Question, serial: Timing | None, best: Option, mended: Option | None
) -> str:
    """What to do, what a batch is, what was compared.

    Args:
        advice: all but this.
        question: what is known of the source.
        serial: what was measured without workers.
        best: the strategy to use.
        mended: a faster one, once what is wrong with it is mended.
    """
    if len([one for one in question.options if one.timing is not None]) == 1:
        return f"{_alone(best)}{_stalls(advice)}."
    parts = [_use(advice, question, best)]
    if mended is not None:
        step = question.step_time
        gain = times(choice.rate(mended, step).middle / choice.rate(best, step).middle)
        parts.append(f"once its {mended.causes[0]} is mended, {mended.strategy} would give {gain} as much")
    if serial is not None:
        parts.append(_batch(advice, question, serial))
    rates = [_short(one) for one in advice.compared if one.speed_up and one.option.family != "serial"]
    if rates:
        parts.append("over no workers, " + ", ".join(rates))
    return " ".join(part[0].upper() + part[1:] + "." for part in parts if part)


def own(question: Question) -> str:
    """What is wrong whatever drives the source: a strategy may be worth its cost all the same."""
    if not question.own:
        return ""
    it = "it is" if len(question.own) == 1 else "they are"
    return f"Mend {', '.join(question.own)} first: {it} there without workers, too. "


def _use(advice: SourceAdvice, question: Question, best: Option) -> str:
    text = "no workers (serial)" if best.family == "serial" else best.strategy
    if advice.enough is not None and advice.enough < best.workers:
        text += f"; {advice.enough} worker{'s are' if advice.enough > 1 else ' is'} enough"
    text = f"use {text}"
    if advice.uncertain:
        why = "the machine was busy" if question.costs.busy_machine else "the spreads overlap"
        text += f" (uncertain: {why})"
    return text + _stalls(advice)


def _alone(option: Option) -> str:
    rate = choice.rate(option)
    ends = f"{digits(rate.low)} to {digits(rate.high)}"
    middle = digits(rate.middle)
    return f"{option.strategy} gives {middle} batches a second ({ends}); nothing else was timed"


def _stalls(advice: SourceAdvice) -> str:
    if advice.step_time is None or advice.stalled_after is None:
        return ""
    step, after = seconds(advice.step_time), percent(advice.stalled_after)
    before = None if advice.stalled_before is None else percent(advice.stalled_before)
    text = f": with a step of {step} the training waits for data for {after} of its time"
    return text if before in (None, after) else f"{text} instead of {before}"


def _batch(advice: SourceAdvice, question: Question, serial: Timing) -> str:
    if serial.make is None:
        return ""
    if serial.busy is None:
        return f"making a batch takes {seconds(serial.make.middle)}"
    busy = min(serial.busy.middle, serial.make.middle)
    text = f"a batch computes for {seconds(busy)} and waits for {seconds(serial.make.middle - busy)}"
    nature, together = advice.nature, question.costs.together
    if nature in _IS:
        text += f"; it {_IS[nature]}"
    if nature in (HOLDS, RELEASES) and together is not None:
        text += f" (two threads give {times(together.middle)})"
    if not nature:
        return text
    if question.kind == "iterator" and nature in (WAITS, RELEASES):
        return f"{text}, but an iterator gives one batch after the other"
    threads = [
        one.speed_up.middle for one in advice.compared if one.option.family in THREADS and one.speed_up
    ]
    if nature in (WAITS, RELEASES) and threads and max(threads) < choice.CLEARLY:
        return f"{text}, yet threads gave hardly more"
    best = next((one.option for one in advice.compared if one.option.strategy == advice.best), None)
    if nature == CHEAP and advice.best != "serial":
        return text
    if nature == HOLDS and best is not None and best.family in THREADS:
        return f"{text}, so threads make it no faster, but ahead"
    return f"{text}, {_SO[nature]}"


def _short(compared: Compared) -> str:
    assert compared.speed_up is not None
    most = "" if compared.bound is None else f" (at most {times(compared.bound)})"
    defect = f" with {compared.option.causes[0]}" if compared.option.causes else ""
    return f"{compared.option.strategy} gave {times(compared.speed_up.middle)}{most}{defect}"


def training(steps: Steps, timing: Timing) -> str:
    """What a watched training says of its data.

    Args:
        steps: what it did with its batches.
        timing: how fast they came.
    """
    step = steps.step
    text = (
        f"A step takes {seconds(step.middle)} ({seconds(step.low)} to {seconds(step.high)}) and the training "
        f"waits for data for {percent(steps.stalled)} of its time"
    )
    if timing.make is not None:
        text += f"; making a batch takes {seconds(timing.make.middle)}"
    if steps.stalled <= choice.STALLED:
        return f"{text}: data does not hold it up."
    return f"{text}: audit the source with step_time={step.middle:.2g} to see which strategy would end that."
