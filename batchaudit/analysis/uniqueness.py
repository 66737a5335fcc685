"""How many batches and samples of each epoch were really different. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import UNHASHABLE, Tables

COLUMNS = [
    "epoch", "produced", "probes", "delivered", "unique", "effective_ratio", "new_unique", "copies",
    "samples", "unique_samples", "sample_copies", "sample_coverage", "expected_unique",
    "expected_unique_samples",
]  # fmt: skip


def epochs(tables: Tables, baseline: Baseline) -> pd.DataFrame:
    """The figures of each epoch.

    With N delivered batches, U of them different: `effective_ratio` = U / N. `copies` is the multiplicity
    histogram {times: how many different batches were delivered so often}; the same for samples.
    `sample_coverage` is the share of the samples that the serial baseline had in the same epoch.

    Args:
        tables: the events of one source and strategy.
        baseline: what serial passes over the same source gave.

    Returns:
        A row an epoch; NaN (None for histograms) where a figure cannot be known.
    """
    seen: set[tuple[int, int]] = set()
    rows = []
    by_epoch = tables.delivered.groupby("epoch", sort=True)
    last = max(by_epoch.groups, default=-1)
    for epoch, delivered in by_epoch:
        row = {"epoch": epoch, **_produced(tables, epoch, last), **_batches(delivered, seen)}
        row |= _samples(tables, delivered, baseline, int(epoch))
        row |= baseline.expected(int(epoch))
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _produced(tables: Tables, epoch: Any, last: Any) -> dict[str, Any]:
    """What was made for an epoch; what was never delivered is laid to the epoch in which it was begun."""
    produced = tables.produced
    lost = produced[~produced["delivered"]]
    begins = tables.delivered.groupby("epoch")["began_ns"].max()
    # Begun before the epoch's last delivery, and after that of the one before.
    until = np.inf if epoch == last else begins[epoch]
    since = begins.get(epoch - 1, -np.inf)
    here = lost[(lost["began_ns"] > since) & (lost["began_ns"] <= until)]
    mine = produced[produced["epoch"] == epoch]
    return {"produced": len(mine) + len(here), "probes": int(mine["probe"].sum() + here["probe"].sum())}


def _batches(delivered: pd.DataFrame, seen: set[tuple[int, int]]) -> dict[str, Any]:
    if bool((delivered["flags"] & UNHASHABLE).any()):
        # What could not be hashed may be equal or not.
        unknown = dict.fromkeys(("unique", "effective_ratio", "new_unique"), np.nan)
        return {"delivered": len(delivered), **unknown, "copies": None}
    pairs = list(zip(delivered["digest_hi"], delivered["digest_lo"], strict=True))
    different = set(pairs)
    new = len(different - seen)
    seen |= different
    return {
        "delivered": len(pairs),
        "unique": len(different),
        "effective_ratio": len(different) / len(pairs),
        "new_unique": new,
        "copies": histogram(pd.Series(pairs)),
    }


def _samples(tables: Tables, delivered: pd.DataFrame, baseline: Baseline, epoch: int) -> dict[str, Any]:
    rows = tables.samples[tables.samples["event"].isin(delivered.index)]
    if rows.empty or bool((delivered["flags"] & UNHASHABLE).any()):
        return {"samples": np.nan, "unique_samples": np.nan, "sample_copies": None, "sample_coverage": np.nan}
    digests = rows["digest"]
    return {
        "samples": len(rows),
        "unique_samples": digests.nunique(),
        "sample_copies": histogram(digests),
        "sample_coverage": baseline.coverage(rows, epoch),
    }


def histogram(values: pd.Series) -> dict[int, int]:
    """{multiplicity: how many different values have it}."""
    counts = values.value_counts().value_counts().sort_index()
    return {int(times): int(count) for times, count in counts.items()}


def batches(tables: Tables) -> pd.DataFrame:
    """One row a delivered batch, for people: digests as short hex.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Columns epoch, step, worker, index, digest, copies, new, samples, nbytes, probe, seconds.
    """
    delivered = tables.delivered
    made = tables.produced.reindex(delivered["made"].to_numpy())
    key = [delivered["digest_hi"], delivered["digest_lo"]]
    seconds = (made["ended_ns"] - made["began_ns"]).to_numpy() / 1e9
    first_epoch = delivered.groupby(key)["epoch"].transform("min")
    return pd.DataFrame(
        {
            "epoch": delivered["epoch"].to_numpy(),
            "step": delivered["step"].to_numpy(),
            "worker": delivered["worker"].astype("Int64").mask(delivered["worker"] < 0).array,
            "index": made["index"].fillna(-1).astype(np.int64).to_numpy(),
            "digest": [f"{value:016x}" for value in delivered["digest_hi"]],
            "copies": delivered.groupby([delivered["epoch"], *key])["step"].transform("size").to_numpy(),
            "new": (first_epoch == delivered["epoch"]).to_numpy(),
            "samples": delivered["samples"].to_numpy(),
            "nbytes": delivered["nbytes"].to_numpy(),
            "probe": delivered["probe"].astype(bool).to_numpy(),
            "seconds": seconds,
        }
    )
