"""What an audit measures so that it can advise: how fast each strategy is, and what a batch costs.

It comes after the strategies were audited: the events that the diagnosis sees are made without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from batchaudit import probes, timing
from batchaudit.auditor import Auditor
from batchaudit.capture.restore import preserved_streams
from batchaudit.journal.manifest import CANDIDATE, CLOCK, COSTS, Asked, for_advice
from batchaudit.probes.subject import in_processes
from batchaudit.sources.kinds import Kind
from batchaudit.sources.torch_loader import is_loader
from batchaudit.strategies import Strategy, parse
from batchaudit.timing import Stopwatch

ROUNDS, SECONDS = 2, 1.0
"""How often each strategy is driven, in turns with the others, and for how long each time."""
_TOGETHER_SECONDS = 1.0
_TIMEOUT = 60.0
"""Seconds without a batch after which timing a strategy is given up."""


def measure(auditor: Auditor, asked: Iterable[Strategy], wide: bool) -> None:
    """Times the strategies that ran; what cannot be timed is noted, and harms nothing.

    Args:
        auditor: who audited them.
        asked: the strategies that were asked for.
        wide: whether to audit and time as well the others that could drive the source.
    """
    if auditor.one_pass:
        return
    # A dataset's serial pass is the dataset as it is.
    alone = [] if auditor.manifest.kind == Kind.DATASET.value else [parse("serial")]
    run = {str(strategy): strategy for strategy in [*alone, *asked]}
    if wide:
        run |= _candidates(auditor, run)
    with preserved_streams():
        _log_costs(auditor, list(run.values()))
    timed = [strategy for name, strategy in run.items() if auditor.came_to_its_end(name)]
    step_time = auditor.manifest.step_time
    rounds = [0.0] * ROUNDS + ([step_time] if step_time else [])
    for round_, step in enumerate(rounds):
        for strategy in list(timed):
            if not _clock(auditor, strategy, round_, step):
                timed.remove(strategy)


def _candidates(auditor: Auditor, known: dict[str, Strategy]) -> dict[str, Strategy]:
    """Audits what else could drive the source; in no report, for nobody asked for it."""
    families = {strategy.family for strategy in known.values()}
    found, lacking = timing.candidates(auditor.target.last)
    tried = {}
    for strategy in found:
        if strategy.family not in families:
            auditor.try_out(strategy, for_advice(CANDIDATE, str(strategy)))
            tried[str(strategy)] = strategy
    for name, reason in lacking.items():
        if parse(name).family not in families:
            auditor.note_candidate(Asked(name, skipped=reason, finished=True))
    return tried


def _clock(auditor: Auditor, strategy: Strategy, round_: int, step_time: float) -> bool:
    workers = probes.concrete(auditor.target.last, strategy).workers
    name = for_advice(CLOCK, str(strategy))
    try:
        with preserved_streams(), auditor.job(name, timing.EPOCHS, recorder=Stopwatch) as job:
            patient = replace(job, timeout=min(job.timeout, _TIMEOUT))
            told = timing.clock(patient, strategy, SECONDS, round_, workers, step_time)
            job.recorder.hook(f"{CLOCK} {json.dumps(told)}")
    except Exception as error:
        auditor.note_unprobed(name, error)
        return False
    return True


def _log_costs(auditor: Auditor, run: list[Strategy]) -> None:
    name = for_advice(COSTS, "serial")
    try:
        told = _costs(auditor, [probes.concrete(auditor.target.last, strategy) for strategy in run])
    except Exception as error:
        auditor.note_unprobed(name, error)
        return
    with auditor.job(name, 1) as job:
        job.recorder.hook(f"{COSTS} {json.dumps(told)}")


def _costs(auditor: Auditor, run: list[Strategy]) -> dict[str, Any]:
    """What a batch of the source costs to send, and two threads beside one.

    A source that nobody would drive with threads, or would send from a process, is not tried with them.
    """
    target, kind = auditor.target, Kind(auditor.manifest.kind)
    told: dict[str, Any] = {"cores": timing.cores(), "pair": timing.pair(), "sending": None, "together": []}
    if kind is Kind.DATASET or is_loader(target.last):
        return told
    if any(in_processes(strategy) for strategy in run):
        told["sending"] = timing.sending(_first(target.new(), kind))
    in_threads = any(strategy.workers and not in_processes(strategy) for strategy in run)
    if in_threads and (target.renewable or kind is not Kind.ITERATOR):
        told["together"] = timing.together(target.new, _TOGETHER_SECONDS)
    return told


def _first(source: Any, kind: Kind) -> Any:
    """A batch of a source that nothing holds on to: there may be only one of it at a time."""
    return source[0] if kind is Kind.INDEXED else next(iter(source))
