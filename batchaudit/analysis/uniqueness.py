"""How many batches and samples of each epoch were really different. Requires pandas."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import UNHASHABLE, Tables

Array = np.ndarray[Any, Any]

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
    labels, place = tables.epochs
    delivered = tables.delivered
    count = len(labels)
    unhashable = ((delivered["flags"] & UNHASHABLE) > 0).to_numpy()
    unknown = np.bincount(place[unhashable], minlength=count) > 0
    waited = (delivered["ended_ns"] - delivered["began_ns"]).to_numpy()
    changed = np.bincount(place[delivered["changed"].to_numpy()], minlength=count)
    coverage = baseline.coverage(tables)
    made = _produced(tables)
    figures = zip(
        labels,
        _batches(tables, unknown),
        _samples(tables, unknown, coverage),
        changed.tolist(),
        np.split(waited, codes.starts(place)[1:])[: len(labels)],
        strict=True,
    )
    rows = [
        {"epoch": epoch, **made[epoch], **of_batches, **of_samples}
        | baseline.expected(int(epoch))
        | {"changed": number, "seconds_waited": float(times.sum()) / 1e9 or float("nan")}
        for epoch, of_batches, of_samples, number, times in figures
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _produced(tables: Tables) -> dict[Any, dict[str, int]]:
    """What was made for each epoch; what was never delivered is laid to the epoch in which it was begun."""
    labels, place = tables.epochs
    if not len(labels):
        return {}
    ends = np.maximum.reduceat(tables.delivered["began_ns"].to_numpy(), codes.starts(place))
    # Begun after the last delivery of the epoch before, and not after that of its own; the last has no end.
    made = tables.produced
    epochs, lost = np.searchsorted(labels, made["epoch"].to_numpy()), ~made["delivered"].to_numpy()
    begun = np.searchsorted(ends, made["began_ns"].to_numpy()[lost])
    epochs[lost] = np.minimum(begun, len(ends) - 1)
    sizes = np.bincount(epochs, minlength=len(labels)).tolist()
    probes = np.bincount(epochs[made["probe"].to_numpy()], minlength=len(labels)).tolist()
    return {epoch: {"produced": n, "probes": k} for epoch, n, k in zip(labels, sizes, probes, strict=True)}


def _batches(tables: Tables, unknown: Array) -> list[dict[str, Any]]:
    """The figures of each epoch's batches; NaN where one could not be hashed: it may be equal or not."""
    place = tables.epochs[1]
    content, contents = tables.contents
    hashed = ~unknown[place]
    found = codes.pairs(place[hashed], content[hashed])
    first = codes.least(content[hashed], place[hashed], contents)
    delivered = np.bincount(place, minlength=len(unknown)).tolist()
    unique = np.bincount(found.group, minlength=len(unknown)).tolist()
    new = np.bincount(first[first < len(unknown)], minlength=len(unknown)).tolist()
    copies = histograms(found, len(unknown))
    missing = {**dict.fromkeys(("unique", "effective_ratio", "new_unique"), np.nan), "copies": None}
    return [
        {"delivered": of}
        | (
            missing
            if unknown[n]
            else {
                "unique": unique[n],
                "effective_ratio": unique[n] / of,
                "new_unique": new[n],
                "copies": copies[n],
            }
        )
        for n, of in enumerate(delivered)
    ]


def _samples(tables: Tables, unknown: Array, coverage: Array) -> list[dict[str, Any]]:
    """The same of each epoch's samples."""
    missing = {"samples": np.nan, "unique_samples": np.nan, "sample_copies": None, "sample_coverage": np.nan}
    found = tables.sample_contents
    copies = histograms(found, len(unknown))
    rows = np.bincount(tables.epochs[1][tables.delivered_samples[1]], minlength=len(unknown)).tolist()
    unique = np.bincount(found.group, minlength=len(unknown)).tolist()
    return [
        missing
        if unknown[n] or not of
        else {
            "samples": of,
            "unique_samples": unique[n],
            "sample_copies": copies[n],
            "sample_coverage": coverage[n],
        }
        for n, of in enumerate(rows)
    ]


def histograms(found: codes.Pairs, groups: int) -> list[dict[int, int]]:
    """For each group {multiplicity: how many different items have it}."""
    histograms: list[dict[int, int]] = [{} for _ in range(groups)]
    counted = codes.pairs(found.group, found.times)
    for group, times, count in zip(*(each.tolist() for each in counted), strict=True):
        histograms[group][times] = count
    return histograms


def batches(tables: Tables) -> pd.DataFrame:
    """One row a delivered batch, for people: digests as short hex.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Columns epoch, step, worker, index, digest, copies, new, samples, nbytes, probe, seconds.
    """
    delivered = tables.delivered
    made = tables.produced[["index", "began_ns", "ended_ns"]].reindex(delivered["made"].to_numpy())
    seconds = (made["ended_ns"] - made["began_ns"]).to_numpy() / 1e9
    place = tables.epochs[1]
    content, contents = tables.contents
    in_epoch = codes.numbered(place, content)[0]
    return pd.DataFrame(
        {
            "epoch": delivered["epoch"].to_numpy(),
            "step": delivered["step"].to_numpy(),
            "worker": delivered["worker"].astype("Int64").mask(delivered["worker"] < 0).array,
            "index": made["index"].fillna(-1).astype(np.int64).to_numpy(),
            "digest": _hex(delivered["digest_hi"].to_numpy(np.uint64)),
            "copies": np.bincount(in_epoch)[in_epoch] if len(in_epoch) else in_epoch,
            "new": codes.least(content, place, contents)[content] == place,
            "samples": delivered["samples"].to_numpy(),
            "nbytes": delivered["nbytes"].to_numpy(),
            "probe": delivered["probe"].to_numpy(),
            "seconds": seconds,
        },
        copy=False,
    )


def _hex(values: Array) -> Any:
    """64-bit numbers as 16 digits each: what pandas would make of a list of them."""
    digits = values.astype(">u8").tobytes().hex()
    kind = pd.Series([digits[:1]]).dtype
    if getattr(kind, "storage", "") != "pyarrow" or not len(values):
        return [digits[at : at + 16] for at in range(0, len(digits), 16)]
    # Millions of strings of Python's own would take longer than all figures.
    pa: Any = import_module("pyarrow")
    ends = np.arange(0, len(digits) + 1, 16)
    strings = pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(digits.encode()))
    return pd.array(strings, dtype=kind)
