"""Reports made by hand: what the renderers must be able to show; see conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from batchaudit.advice import Advice, Costs, Option, Question, advise
from batchaudit.analysis.spread import Spread
from batchaudit.analysis.timing import Timing
from batchaudit.diagnosis.finding import Finding, Verdict
from batchaudit.health import Health
from batchaudit.report.model import Report, Run

UNSHARDED = Finding(
    cause="unsharded-replica",
    severity="error",
    scope="worker",
    summary="Each of the 4 workers walks the whole stream: 8 of 32 batches of an epoch are different.",
    evidence={
        "workers": 4,
        "multiplicity": {4: 8},
        "shares": [0.25, 0.25, 0.25, 0.25],
        "equal_replicas": True,
    },
    fix="for i in range(worker_index, len(paths), workers):\n    yield load(paths[i])",
)
VERDICTS = (
    Verdict("unsharded-replica", "ruled out", "no batch was delivered twice"),
    Verdict("rng-clone", "not observable", "no random stream moved"),
    Verdict("rng-epoch-reset", "not observable", "no random stream moved"),
    Verdict("shared-state-race", "not observable", "one worker only"),
)


def epoch(run: Run, number: int, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run": run.run,
        "attempt": run.attempt,
        "rank": run.rank,
        "source": run.source,
        "strategy": run.strategy,
        "epoch": number,
        "produced": 32.0,
        "probes": 0,
        "delivered": 32,
        "unique": 32,
        "effective_ratio": 1.0,
        "new_unique": 32,
        "copies": {1: 32},
        "samples": 1024.0,
        "unique_samples": 1024.0,
        "sample_copies": {1: 1024},
        "sample_coverage": 1.0,
        "expected_unique": 32.0,
        "expected_unique_samples": 1024.0,
        "seed_divergence": 1.0,
        "seed_divergence_note": "",
        "epoch_divergence": 1.0,
        "lockstep": 0.0,
        "workers": max(run.workers_configured, 1),
        "workers_configured": run.workers_configured,
        "changed": 0,
        "seconds_waited": float("nan"),
    }
    return {**row, **values}


def workers(run: Run, number: int, delivered: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "run": run.run,
            "attempt": run.attempt,
            "rank": run.rank,
            "source": run.source,
            "strategy": run.strategy,
            "epoch": number,
            "worker": worker,
            "host": "host",
            "pid": 100 + worker,
            "thread": 1,
            "delivered": many,
            "produced": many,
            "unique": many,
            "share": many / sum(delivered),
        }
        for worker, many in enumerate(delivered)
    ]


def batches(run: Run, number: int) -> list[dict[str, Any]]:
    return [
        {
            "run": run.run,
            "attempt": run.attempt,
            "rank": run.rank,
            "source": run.source,
            "strategy": run.strategy,
            "epoch": number,
            "step": step,
            "worker": step if step else pd.NA,
            "index": step,
            "digest": f"{step:016x}",
            "copies": 1,
            "new": True,
            "samples": 32,
            "nbytes": 4096,
            "probe": False,
            "seconds": 0.25 if step else float("nan"),
        }
        for step in range(2)
    ]


def report(
    runs: list[Run], epochs: list[dict[str, Any]], shares: Sequence[dict[str, Any]] = (), **rest: Any
) -> Report:
    columns = list(epoch(Run("r", "s", "serial"), 0))
    worker_columns = list(workers(Run("r", "s", "serial"), 0, [1])[0])
    rows = [row for run in runs for row in batches(run, 0)]
    frame = _frame(rows).astype({"worker": "Int64"}) if rows else pd.DataFrame()
    return Report(
        runs=tuple(runs),
        epochs=_frame(list(epochs), columns),
        workers=_frame(list(shares), worker_columns),
        batches=frame,
        pooled=_frame([], columns),
        **rest,
    )


def healthy_report() -> Report:
    run = Run("today", "make_loader", "threads:4", 4, verdicts=VERDICTS)
    return report([run], [epoch(run, number) for number in range(3)], workers(run, 0, [8, 8, 8, 8]))


def sick_report() -> Report:
    """A serial run, forked replicas, a strategy that cannot run, and one that ended early."""
    serial = Run("today", "make_loader", "serial", verdicts=VERDICTS)
    found = Verdict("unsharded-replica", "found", "every batch was delivered 4 times")
    fork = Run("today", "make_loader", "fork:4", 4, findings=(UNSHARDED,), verdicts=(found, *VERDICTS[1:]))
    spawn = Run("today", "make_loader", "spawn:4", 4, skipped="a generator cannot be pickled.")
    broken = Run("today", "make_loader", "threads:4", 4, error=TRACEBACK)
    unmoved = {"seed_divergence": float("nan"), "seed_divergence_note": "no random stream moved"}
    epochs = [
        epoch(serial, number, **{**unmoved, "seed_divergence_note": "one worker"}) for number in range(2)
    ]
    sick = {"produced": 35.0, "unique": 8, "effective_ratio": 0.25, "copies": {4: 8}, "unique_samples": 256.0}
    epochs += [
        epoch(fork, number, **sick, **unmoved, sample_coverage=0.25, new_unique=8 if number == 0 else 0)
        for number in range(2)
    ]
    epochs += [epoch(broken, 0, delivered=3, unique=3, produced=5.0, new_unique=3, seed_divergence=0.9999)]
    return report([serial, fork, spawn, broken], epochs, workers(fork, 0, [20, 6, 4, 2]))


TRACEBACK = """\
Traceback (most recent call last):
  File "loader.py", line 7, in make_loader
    yield load(path)
ValueError: generator already executing"""


NUMBERS = (
    "produced",
    "probes",
    "unique",
    "effective_ratio",
    "new_unique",
    "samples",
    "unique_samples",
    "sample_coverage",
    "expected_unique",
    "expected_unique_samples",
    "seed_divergence",
    "epoch_divergence",
    "lockstep",
    "workers",
)


def unknown_report() -> Report:
    """Nothing could be known but what was delivered, and the log is damaged."""
    run = Run("today", "make_loader", "as-is", 2, verdicts=VERDICTS)
    nothing = {name: float("nan") for name in NUMBERS}
    rows = [epoch(run, number, **nothing, copies={}, sample_copies={}) for number in range(2)]
    return report(
        [run],
        rows,
        complete=False,
        log=Health(files=2, records=60, bytes_dropped=120, gaps=3, files_damaged=("0001-a-7-00000000.baj",)),
        notes=("2 records of worker 1 are damaged",),
        missing_ranks=(1,),
        ranks=(0, 2),
    )


HOSTILE = "[red]<b>x</b>\x1b[31m\x1b]0;title\x07\u202e{{ 7*7 }}\r:smile:\udc80"


def hostile_report() -> Report:
    finding = replace(
        UNSHARDED, summary=HOSTILE, fix=f"# {HOSTILE}", evidence={HOSTILE: HOSTILE, "list": [HOSTILE]}
    )
    run = Run(HOSTILE, HOSTILE, HOSTILE, 4, error=HOSTILE, findings=(finding,), verdicts=VERDICTS)
    skipped = Run(HOSTILE, "other", HOSTILE, 4, skipped=HOSTILE)
    note = {"seed_divergence": float("nan"), "seed_divergence_note": HOSTILE}
    return report([run, skipped], [epoch(run, 0, **note)], notes=(HOSTILE,))


def long_report() -> Report:
    run = Run("today", "make_loader", "serial", verdicts=VERDICTS)
    return report([run], [epoch(run, number) for number in range(100)])


def empty_report() -> Report:
    return report([], [])


def _measured(rate: float, make: float, busy: float, **more: Any) -> Timing:
    def near(value: float) -> Spread:
        return Spread(value, 0.9 * value, 1.1 * value, 20)

    return Timing(True, 200, more.pop("workers", 1), near(rate), near(make), near(busy), 1.0, **more)


def advised_report(source: str = "make_loader", fix: str = "seed the worker\n    with its index") -> Report:
    """A source that holds the interpreter: processes help, once their defect is mended."""
    run = Run("today", source, "fork:4", 4, verdicts=VERDICTS)
    fork = _measured(62.0, 0.0213, 0.0211, workers=4, start=0.031, memory=52_400_000)
    options = (
        Option("serial", "serial", 0, _measured(49.0, 0.0204, 0.0203, start=0.0002)),
        Option("threads:4", "threads", 4, _measured(48.0, 0.0815, 0.0204, workers=4, start=0.0009)),
        Option("fork:4", "fork", 4, fork, ("rng-clone",), fix),
        Option("spawn:4", "spawn", 4, refused="a generator cannot be pickled."),
    )

    def close(value: float) -> Spread:
        return Spread(value, value, value, 9)

    costs = Costs(2, 19_267_840, close(0.0062), close(0.0048), close(1.02), close(1.97))
    asked = Question(source, "indexed", options, costs, 0.001, 19_267_584.0, 32.0)
    found = advise(asked)
    assert found is not None
    named = {"run": "today", "attempt": 0, "rank": 0, "source": source, "strategy": "fork:4"}
    row = {
        "clocked": True,
        "batches": 200,
        "workers": 4,
        "rate": 62.0,
        "rate_low": 60.0,
        "rate_high": 64.0,
        "make": 0.0213,
        "step": float("nan"),
    }
    return report(
        [run], [epoch(run, 0)], workers(run, 0, [8, 8, 8, 8]),
        advice=Advice((found,)), timing=_frame([named | row]),
    )  # fmt: skip


REPORTS: dict[str, Callable[[], Report]] = {
    "healthy": healthy_report,
    "sick": sick_report,
    "unknown": unknown_report,
    "hostile": hostile_report,
    "long": long_report,
    "empty": empty_report,
    "advised": advised_report,
}


def _frame(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A frame with its texts as objects: pyarrow's strings refuse what is no UTF-8."""
    if not rows:
        return pd.DataFrame(columns=columns)
    values = {name: [row[name] for row in rows] for name in columns or rows[0]}
    return pd.DataFrame(
        {
            name: pd.Series(column, dtype=object if any(isinstance(one, str) for one in column) else None)
            for name, column in values.items()
        }
    )
