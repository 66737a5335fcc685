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
    "expected_unique_samples", "changed", "seconds_waited",
]  # fmt: skip


def epochs(tables: Tables, baseline: Baseline) -> pd.DataFrame:
    """The figures of each epoch.

    With N delivered batches, U of them different: `effective_ratio` = U / N. `copies` is the multiplicity
    histogram {times: how many different batches were delivered so often}; the same for samples.
    `sample_coverage` is the share of the samples that the serial baseline had in the same epoch; `changed`
    is how many batches had another content when they were delivered than when they were made;
    `seconds_waited` is for how long the consumer waited for its batches.

    Args:
        tables: the events of one source and strategy.
        baseline: what serial passes over the same source gave.

    Returns:
        A row an epoch; NaN (None for histograms) where a figure cannot be known.
    """
    seen: set[tuple[int, int]] = set()
    rows = []
    by_epoch = tables.delivered.groupby("epoch", sort=True)
    made = _produced(tables)
    samples = tables.samples
    samples_by_epoch = samples.groupby(tables.delivered["epoch"].reindex(samples["event"]).to_numpy())
    for epoch, delivered in by_epoch:
        row = {"epoch": epoch, **made[epoch], **_batches(delivered, seen)}
        rows_of_epoch = samples.loc[samples_by_epoch.groups.get(epoch, [])]
        row |= _samples(rows_of_epoch, delivered, baseline, int(epoch))
        row |= baseline.expected(int(epoch))
        row |= {"changed": int(delivered["changed"].sum()), "seconds_waited": _waited(delivered)}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _waited(delivered: pd.DataFrame) -> float:
    """For how many seconds the consumer waited for an epoch's batches; NaN where nobody measured it."""
    seconds = float((delivered["ended_ns"] - delivered["began_ns"]).sum()) / 1e9
    return seconds or float("nan")


def _produced(tables: Tables) -> dict[Any, dict[str, int]]:
    """What was made for each epoch; what was never delivered is laid to the epoch in which it was begun."""
    ends = tables.delivered.groupby("epoch", sort=True)["began_ns"].max()
    if ends.empty:
        return {}
    # Begun after the last delivery of the epoch before, and not after that of its own; the last has no end.
    place = np.searchsorted(ends.to_numpy(), tables.produced["began_ns"].to_numpy())
    begun = ends.index.to_numpy()[np.minimum(place, len(ends) - 1)]
    epochs = tables.produced["epoch"].where(tables.produced["delivered"], begun)
    probes = tables.produced["probe"].groupby(epochs).agg(["size", "sum"]).reindex(ends.index, fill_value=0)
    return {epoch: {"produced": int(n), "probes": int(k)} for epoch, n, k in probes.itertuples()}


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


def _samples(rows: pd.DataFrame, delivered: pd.DataFrame, baseline: Baseline, epoch: int) -> dict[str, Any]:
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
