"""Who made what: each worker's share of each epoch. Requires pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import Tables

COLUMNS = ["epoch", "worker", "host", "rank", "pid", "thread", "produced", "delivered", "unique", "share"]


def shares(tables: Tables) -> pd.DataFrame:
    """One row a worker of an epoch.

    Args:
        tables: the events of one source and strategy.

    Returns:
        `COLUMNS`: who it was, how many batches it produced, how many of them were delivered in the epoch
        and were different, and which share of the epoch's delivered batches that is.
    """
    made = tables.produced
    rows = np.flatnonzero((made["worker"] >= 0) & made["delivered"])
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    labels, _ = tables.epochs
    epoch = np.searchsorted(labels, made["epoch"].to_numpy()[rows])
    worker = made["worker"].to_numpy()[rows]
    share = epoch * (int(worker.max()) + 1) + worker
    taken = codes.pairs(share, codes.numbered(made["digest_lo"].to_numpy(np.uint64)[rows])[0])
    begins = codes.starts(taken.group)
    several = taken.group[begins]
    code = np.searchsorted(several, share)
    first = rows[codes.least(code, np.arange(len(rows)), len(several))]
    count = np.bincount(code)
    who = made[["host", "rank", "pid", "thread"]].iloc[first].reset_index(drop=True)
    frame = pd.DataFrame(
        {
            "epoch": labels[several // (int(worker.max()) + 1)],
            "worker": worker[np.searchsorted(rows, first)],
            "host": who["host"],
            "rank": who["rank"],
            "pid": who["pid"],
            "thread": who["thread"],
            "produced": count,
            "delivered": count,
            "unique": np.diff(begins, append=len(taken.group)),
        }
    )
    frame["share"] = frame["delivered"] / frame.groupby("epoch")["delivered"].transform("sum")
    return frame[COLUMNS]


def counts(tables: Tables) -> pd.DataFrame:
    """How many workers each epoch's batches came from.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Columns epoch, workers.
    """
    labels, place = tables.epochs
    worker = tables.delivered["worker"].to_numpy()
    known = worker >= 0
    workers = codes.different(place[known], worker[known], len(labels))
    frame = pd.DataFrame({"epoch": labels, "workers": workers})
    return frame[frame["workers"] > 0].reset_index(drop=True)
