"""Reports of real audits, and the ones that no audit of a test's length gives: hostile names, 10,000 epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import batchaudit as ba
from batchaudit.diagnosis.finding import Verdict
from batchaudit.report.model import Report, Run
from tests.loaders import Batch, NoisyTable, Passes, Table, batch
from tests.report.hand_made import UNSHARDED, advised_report, epoch, report

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "quotes": 'it\'s "quoted" `so` &amp; <!-- --> ]]> </style></svg></pre>',
    "right to left": "\u202eabc \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627",
    "very long": "x" * 3000,
    "two lines": "first\nsecond",
}


def unsharded() -> Iterator[Batch]:
    while True:
        for number in range(16):
            time.sleep(0.002)
            yield batch(number)


def sick() -> Report:
    np.random.seed(0)
    return ba.audit(unsharded, ["serial", "fork:4"], epochs=2, steps_per_epoch=16, probes=False)


def healthy() -> Report:
    return ba.audit(Table, ["serial", "threads:2", "fork:2"], epochs=2, probes=False)


def advised() -> Report:
    """Clones of a random stream, with an advice that is made by hand: timing takes its time."""
    np.random.seed(0)
    audited = ba.audit(NoisyTable, ["serial", "fork:2"], epochs=2, probes=False)
    return replace(audited, advice=advised_report().advice)


def live(folder: Path) -> Report:
    """A loop that validates on what it trains on."""
    with ba.Audit(folder) as audit:
        train, val = audit.wrap(Passes(8), name="train"), audit.wrap(Passes(3), name="val")
        for _ in range(14):  # more than the short table shows
            assert len([*train, *val]) == 11
    return audit.report()


def hostile() -> Report:
    """Each name as run, source, strategy, evidence, fix, error and reason."""
    runs, epochs = [], []
    for name in HOSTILE.values():
        finding = replace(
            UNSHARDED, summary=name, scope=name, evidence={name: name, "list": [name]}, fix=name
        )
        verdict = Verdict(name, "found", name)
        run = Run(name, name, name, 2, error=name, findings=(finding,), verdicts=(verdict,))
        runs.append(run)
        epochs.append(epoch(run, 0, seed_divergence=float("nan"), seed_divergence_note=name))
    return report(runs, epochs, notes=tuple(HOSTILE.values()))


def long(count: int) -> Report:
    runs = [Run("today", "make_loader", strategy, 4) for strategy in ("serial", "fork:4")]
    return report(runs, [epoch(run, number) for run in runs for number in range(count)])
