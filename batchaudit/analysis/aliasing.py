"""Which batches were overwritten while they waited. Frame in, frame out. Requires pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import Tables


def passages(tables: Tables) -> pd.DataFrame:
    """The batches that were seen twice: where they were made and, apart from that, where they were handed on.

    Args:
        tables: the events of one source and strategy.

    Returns:
        A row a delivered batch, by epoch and step, with the labels of `tables.delivered`: `epoch`, `step`,
        `worker`, `ticket`, `local_step`; `before` and `after`, its content when it was made and when it was
        handed on (the low half of the digest); `changed` (see `Tables`); `converted`, whether its content or
        its size became another; `overtaken`, whether its worker had made another batch by then; `foreign`,
        whether it holds what was made for another batch.
    """
    delivered, produced = tables.delivered, tables.produced
    apart = delivered[(delivered["made"] >= 0) & (delivered["stage"].astype(str) == "delivered")]
    made = produced.loc[apart["made"]]
    after, before = apart["digest_lo"].to_numpy(), made["digest_lo"].to_numpy()
    found = apart[["epoch", "step", "ticket", "changed"]].assign(
        worker=made["worker"].to_numpy(),
        local_step=made["local_step"].to_numpy(),
        before=before,
        after=after,
        overtaken=_next_end(produced).loc[apart["made"]].to_numpy() <= apart["ended_ns"].to_numpy(),
    )
    found["converted"] = before != after
    found["foreign"] = found["converted"] & found["after"].isin(produced["digest_lo"]).to_numpy()
    return found


def neighbours(passed: pd.DataFrame) -> pd.Series:
    """Which batches are equal to the one that was handed on before them, though they were made different.

    Args:
        passed: rows of `passages`.

    Returns:
        Bool, with the labels of `passed`.
    """
    by_worker = passed.sort_values(["worker", "local_step"], kind="stable")
    last = by_worker.groupby("worker")[["before", "after"]].shift()
    known = last["after"].notna()
    # A shifted column has holes, and one of floats cannot hold a digest.
    same = {name: _equal_to_last(by_worker, name) for name in ("before", "after")}
    return pd.Series((known & same["after"] & ~same["before"]).to_numpy(), index=by_worker.index).reindex(
        passed.index
    )


def lost(passed: pd.DataFrame) -> int:
    """How many different contents were made for batches that were handed on, and reached nobody.

    Args:
        passed: rows of `passages`.
    """
    return int((~pd.Series(passed["before"].unique()).isin(passed["after"])).sum())


def _equal_to_last(rows: pd.DataFrame, column: str) -> pd.Series:
    codes = pd.Series(pd.factorize(rows[column])[0], index=rows.index)
    return codes.groupby(rows["worker"]).diff() == 0


def _next_end(produced: pd.DataFrame) -> pd.Series:
    """When the batch was finished that was made after each one, in the same process; nanoseconds."""
    rows = produced.sort_values("ended_ns", kind="stable")
    after = rows.groupby(["host", "rank", "pid"], observed=True)["ended_ns"].shift(-1)
    return after.fillna(np.iinfo(np.int64).max)
