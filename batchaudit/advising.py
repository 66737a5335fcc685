"""Asks for advice: puts together what was measured of a source and what was found. Requires pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.advice import Costs, Option, Question, SourceAdvice, advise
from batchaudit.analysis import timing
from batchaudit.analysis.evidence import family_of
from batchaudit.analysis.spread import Spread, spread
from batchaudit.analysis.tables import Tables
from batchaudit.analysis.timing import Timing
from batchaudit.diagnosis.finding import Finding
from batchaudit.journal.manifest import CLOCK, COSTS, Asked, Manifest, for_advice

_SERIOUS = ("error", "warning")
_SERIAL = "serial"
_DATASET = "dataset"


@dataclass(frozen=True)
class Measured:
    """One strategy of a source.

    Attributes:
        asked: how it was asked for, and how it went.
        tables: its events; None where there are none.
        findings: what the diagnosis found.
        wanted: whether somebody asked for it; else it was tried to compare it.
    """

    asked: Asked
    tables: Tables | None
    findings: tuple[Finding, ...] = ()
    wanted: bool = True


Hidden = Callable[[str], Tables | None]
"""The events that are logged under a name that no report shows."""


def of_audit(
    source: str,
    manifest: Manifest,
    measured: Iterable[Measured],
    baseline: Measured | None,
    hidden: Hidden,
    complete: bool,
) -> SourceAdvice | None:
    """The advice for a source that was audited.

    Args:
        source: its name.
        manifest: what was asked.
        measured: the strategies, those asked for and those tried.
        baseline: the serial passes, where no `serial` was asked for; None where there are none.
        hidden: gives the events of the clocked rounds and of the costs.
        complete: whether the log is whole.

    Returns:
        None where nothing was measured.
    """
    known = {one.asked.strategy: one for one in measured}
    serial = known.get(_SERIAL) or baseline
    by_design = set() if serial is None else {finding.cause for finding in serial.findings}
    own = () if serial is None else tuple(it.cause for it in serial.findings if it.severity in _SERIOUS)
    if serial is not None and manifest.kind != _DATASET:  # a dataset's serial pass is the dataset as it is
        known = {_SERIAL: serial, **known}
    options = tuple(_option(one, by_design, manifest, hidden) for one in known.values())
    of_batches = next((one.tables for one in known.values() if one.tables is not None), None)
    nbytes, samples = (None, None) if of_batches is None else _sizes(of_batches)
    return advise(
        Question(
            source, manifest.kind, options, _costs(hidden(for_advice(COSTS, _SERIAL))), manifest.step_time,
            nbytes, samples, complete=complete, own=tuple(dict.fromkeys(own)),
        )
    )  # fmt: skip


def of_training(source: str, tables: Tables, kind: str) -> SourceAdvice | None:
    """The advice for a source that a program of the user's own drove: whether the training waits for it.

    Args:
        source: its name.
        tables: its events.
        kind: what can be done with it.

    Returns:
        None where it was not seen when a batch was asked for.
    """
    steps = timing.steps(tables)
    if steps is None:
        return None
    option = Option("live", "live", timing=_seen(tables, kind))
    return advise(Question(source, kind, (option,), steps=steps))


def row(strategy: str, kind: str, tables: Tables, hidden: Hidden) -> pd.DataFrame:
    """How fast a run was, as a row of `Report.timing`.

    Args:
        strategy: as it was asked for.
        kind: what can be done with the source.
        tables: its events.
        hidden: gives the events of its clocked rounds.

    Returns:
        One row, or none where too few batches came to say anything.
    """
    found = _timing(strategy, kind, tables, hidden)
    if found is None:
        return pd.DataFrame()
    _, samples = _sizes(tables)
    figures: dict[str, Any] = {"clocked": found.clocked, "batches": found.batches, "workers": found.workers}
    figures["samples_per_second"] = found.rate.middle * samples if samples else np.nan
    for name in ("rate", "make", "busy", "waited", "queued", "pause", "hashing"):
        value = getattr(found, name)
        for end in ("middle", "low", "high"):
            key = name if end == "middle" else f"{name}_{end}"
            figures[key] = np.nan if value is None else getattr(value, end)
    for name in ("idle", "cores", "start", "memory"):
        value = getattr(found, name)
        figures[name] = np.nan if value is None else float(value)
    steps = timing.steps(tables)
    figures["step"] = np.nan if steps is None else steps.step.middle
    stalled = found.stalled if steps is None else steps.stalled
    figures["stalled"] = np.nan if stalled is None else stalled
    return pd.DataFrame([figures])


def _timing(strategy: str, kind: str, tables: Tables | None, hidden: Hidden) -> Timing | None:
    clocked = hidden(for_advice(CLOCK, strategy))
    found = None if clocked is None else timing.clocked(clocked, CLOCK)
    if found is None:
        return None if tables is None else _seen(tables, kind)
    return _of_kind(found, kind)


def _seen(tables: Tables, kind: str) -> Timing | None:
    found = timing.seen(tables)
    return None if found is None else _of_kind(found, kind)


def _of_kind(found: Timing, kind: str) -> Timing:
    if kind != _DATASET:
        return found
    # Its look is a stage of the pipeline: what takes the time are TensorFlow's own stages before it.
    return replace(found, make=None, busy=None, cores=None, queued=None)


def _option(one: Measured, by_design: set[str], manifest: Manifest, hidden: Hidden) -> Option:
    asked = one.asked
    serious = [it for it in one.findings if it.severity in _SERIOUS and it.cause not in by_design]
    # Where its rounds failed, what the audit's own passes say is not to be compared with the others' rounds.
    failed = manifest.probes.get(for_advice(CLOCK, asked.strategy))
    refused = asked.skipped or _last_line(asked.error) or failed
    found = None if refused else _timing(asked.strategy, manifest.kind, one.tables, hidden)
    if found is None and refused is None:
        refused = "too few batches came"
    return Option(
        asked.strategy,
        family_of(asked.strategy),
        asked.workers,
        found,
        tuple(dict.fromkeys(it.cause for it in serious)),
        serious[0].fix if serious else "",
        refused if found is None else None,
        one.wanted,
    )


def _last_line(error: str | None) -> str | None:
    lines = (error or "").strip().splitlines()
    return f"it ended early: {lines[-1].strip()}" if lines else None


def _sizes(tables: Tables) -> tuple[float | None, float | None]:
    """Bytes and samples of a batch, as most have them."""
    made = tables.produced if len(tables.produced) else tables.delivered
    if made.empty:
        return None, None
    return float(made["nbytes"].median()), float(made["samples"].median())


def _costs(tables: Tables | None) -> Costs:
    if tables is None:
        return Costs()
    costs = tables.told(COSTS)
    if not costs:
        return Costs()
    told = costs[-1]
    sending: Mapping[str, Any] = told["sending"] or {}

    def of(name: str) -> Spread | None:
        return spread(sending.get(name, ()))

    return Costs(
        told["cores"],
        sending.get("bytes"),
        of("send"),
        of("receive"),
        spread(told["together"]),
        spread(told["pair"]),
    )
