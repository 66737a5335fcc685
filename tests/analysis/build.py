"""Event frames as a run would log them, from a few words a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.tables import STREAMS, Tables, tables


@dataclass(frozen=True)
class Batch:
    """One batch: who made it, what it holds, in which epoch it was delivered (None: never)."""

    pid: int
    content: int
    epoch: int | None = 0
    states: dict[str, tuple[int, int]] = field(default_factory=dict)
    thread: int = 1
    flags: int = 0
    index: int = -1
    samples: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    framework_worker: int = -1


def frames(batches: list[Batch]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Events and samples of batches made, and delivered, in the given order."""
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    steps: dict[int, int] = {}
    for number, batch in enumerate(batches):
        made = _row("produced", number, batch, began_ns=10 * number)
        if batch.epoch is None:
            rows.append(made)
            _hang(samples, len(rows) - 1, batch)
            continue
        step = steps.setdefault(batch.epoch, 0)
        steps[batch.epoch] += 1
        told = _row("delivered", number, batch, began_ns=10 * number + 5) | {
            "pid": 1,
            "framework_worker": -1,
            "epoch": batch.epoch,
            "step": step,
        }
        for row in (made, told):
            rows.append(row)
            _hang(samples, len(rows) - 1, batch)
    events = pd.DataFrame(rows)
    unsigned = [name for name in events if name.startswith("rng_")] + ["digest_hi", "digest_lo", "ticket"]
    events = events.astype(dict.fromkeys(unsigned, np.uint64))
    table = pd.DataFrame(samples, columns=["event", "position", "digest", "id"])
    return events, table.astype({"id": "Int64"})


def many(pid: Any, content: Any, epoch: Any, state: Any = None, index: Any = -1) -> Tables:
    """Tables of very many batches, each of them delivered, from arrays of shape (batches,).

    Args:
        pid: who made each.
        content: equal where batches are.
        epoch: rising.
        state: of NumPy's stream before each; None where none moved.
        index: which number was asked for; -1 for none.
    """
    count, number = len(pid), np.arange(len(pid))
    first = _row("produced", 0, Batch(0, 0), 0)
    made = pd.DataFrame({name: np.repeat(np.array([value]), count) for name, value in first.items()})
    unsigned = np.asarray(content, np.uint64)
    made = made.assign(
        pid=pid, digest_hi=unsigned, digest_lo=unsigned, ticket=number + 1, began_ns=10 * number,
        ended_ns=10 * number + 1, index=index,
    )  # fmt: skip
    if state is not None:
        made = made.assign(rng_numpy_before=state, rng_numpy_after=np.asarray(state) + 1)
    step = pd.Series(number).groupby(np.asarray(epoch)).cumcount().to_numpy()
    told = made.assign(
        stage="delivered", pid=1, epoch=epoch, step=step, began_ns=made["began_ns"] + 5,
        rng_numpy_before=0, rng_numpy_after=0,
    )  # fmt: skip
    events = pd.concat([made, told], ignore_index=True)
    columns = [name for name in events if name.startswith("rng_")] + ["ticket"]
    events = events.astype(dict.fromkeys(columns, np.uint64))
    samples = pd.DataFrame(columns=["event", "position", "digest", "id"]).astype(
        {"event": np.int64, "id": "Int64"}
    )
    return tables(events, samples)


def _row(stage: str, number: int, batch: Batch, began_ns: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": "fork:4",
        "stage": stage,
        "host": "h",
        "rank": 0,
        "pid": batch.pid,
        "thread": batch.thread,
        "epoch": -1,
        "step": -1,
        "index": batch.index,
        "ticket": number + 1,
        "digest_hi": batch.content,
        "digest_lo": batch.content,
        "samples": len(batch.samples),
        "nbytes": 0,
        "began_ns": began_ns,
        "ended_ns": began_ns + 1,
        "framework_worker": batch.framework_worker,
        "framework_seed": 0,
        "flags": batch.flags,
        "text": "",
    }
    for name in STREAMS:
        before, after = batch.states.get(name, (0, 0)) if stage == "produced" else (0, 0)
        row |= {f"rng_{name}_before": before, f"rng_{name}_after": after}
    return row


def _hang(samples: list[dict[str, Any]], event: int, batch: Batch) -> None:
    for position, digest in enumerate(batch.samples):
        known = batch.ids[position] if batch.ids else None
        samples.append({"event": event, "position": position, "digest": digest, "id": known})


def table(batches: list[Batch]) -> Tables:
    return tables(*frames(batches))


def evidence(batches: list[Batch], baseline: Baseline | None = None, **known: Any) -> Evidence:
    """The evidence of a run, as `reporting` gathers it."""
    found, baseline = table(batches), baseline or Baseline()
    figures = uniqueness.epochs(found, baseline)
    figures = figures.merge(seeds.divergence(found), on="epoch", how="left")
    figures = figures.merge(workers.counts(found), on="epoch", how="left")
    settings = {"kind": "iterator", "renewed": False, "workers_configured": 2} | known
    return Evidence(
        source="s",
        strategy="fork:2",
        tables=found,
        epochs=figures,
        shares=workers.shares(found),
        streams=seeds.moved_streams(found),
        shared_process=seeds.share_a_process(found),
        baseline=baseline,
        **settings,
    )
