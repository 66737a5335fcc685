"""Who made what: each worker's share of each epoch. Requires pandas."""

from __future__ import annotations

import pandas as pd

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
    made = tables.produced[(tables.produced["worker"] >= 0) & tables.produced["delivered"]]
    if made.empty:
        return pd.DataFrame(columns=COLUMNS)
    groups = made.groupby(["epoch", "worker"], sort=True)
    frame = groups.agg(
        host=("host", lambda values: str(values.iloc[0])),
        rank=("rank", "first"),
        pid=("pid", "first"),
        thread=("thread", "first"),
        produced=("ticket", "size"),
        delivered=("ticket", "size"),
        unique=("digest_lo", "nunique"),
    ).reset_index()
    frame["share"] = frame["delivered"] / frame.groupby("epoch")["delivered"].transform("sum")
    return frame[COLUMNS]


def counts(tables: Tables) -> pd.DataFrame:
    """How many workers each epoch's batches came from.

    Args:
        tables: the events of one source and strategy.

    Returns:
        Columns epoch, workers.
    """
    known = tables.delivered[tables.delivered["worker"] >= 0]
    return known.groupby("epoch")["worker"].nunique().rename("workers").reset_index()
