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
from batchaudit.sources.kinds import Kind
from batchaudit.sources.torch_loader import is_loader
from batchaudit.strategies import Strategy, parse
from batchaudit.timing import Stopwatch

ROUNDS, SECONDS = 2, 1.0
"""How often each strategy is driven, in turns with the others, and for how long each time."""
_TOGETHER_SECONDS = 1.0


def measure(auditor: Auditor, asked: Iterable[Strategy], wide: bool) -> None:
    """Times the strategies that ran; what cannot be timed is noted, and harms nothing.

    Args:
        auditor: who audited them.
        asked: the strategies that were asked for.
        wide: whether to audit and time as well the others that could drive the source.
    """
    if auditor.one_pass:
        return
    run = {str(strategy): strategy for strategy in [parse("serial"), *asked]}
    if wide:
        run |= _candidates(auditor, run)
    with preserved_streams():
        _log(auditor, COSTS, "serial", lambda: _costs(auditor))
    timed = [strategy for name, strategy in run.items() if auditor.came_to_its_end(name)]
    for round_ in range(ROUNDS):
        for strategy in list(timed):
            if not _clock(auditor, strategy, round_):
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


def _clock(auditor: Auditor, strategy: Strategy, round_: int) -> bool:
    workers = probes.concrete(auditor.target.last, strategy).workers
    name = for_advice(CLOCK, str(strategy))
    try:
        with preserved_streams(), auditor.job(name, timing.EPOCHS, recorder=Stopwatch) as job:
            told = timing.clock(
                replace(job, timeout=min(job.timeout, 60.0)), strategy, SECONDS, round_, workers
            )
            job.recorder.hook(f"{CLOCK} {json.dumps(told)}")
    except Exception as error:
        auditor.note_unprobed(name, error)
        return False
    return True


def _log(auditor: Auditor, what: str, strategy: str, look: Any) -> None:
    name = for_advice(what, strategy)
    try:
        told = look()
    except Exception as error:
        auditor.note_unprobed(name, error)
        return
    with auditor.job(name, 1) as job:
        job.recorder.hook(f"{what} {json.dumps(told)}")


def _costs(auditor: Auditor) -> dict[str, Any]:
    """What a batch of the source costs to send, and two threads beside one."""
    target, kind = auditor.target, Kind(auditor.manifest.kind)
    told: dict[str, Any] = {"cores": timing.cores(), "pair": timing.pair(), "sending": None, "together": []}
    if kind is Kind.DATASET or is_loader(target.last):
        return told
    told["sending"] = timing.sending(_first(target.new(), kind))
    if target.renewable or kind is not Kind.ITERATOR:
        told["together"] = timing.together(target.new, _TOGETHER_SECONDS)
    return told


def _first(source: Any, kind: Kind) -> Any:
    """A batch of a source that nothing holds on to: there may be only one of it at a time."""
    return source[0] if kind is Kind.INDEXED else next(iter(source))
