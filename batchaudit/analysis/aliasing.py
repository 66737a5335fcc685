"""Which batches were overwritten while they waited. Frame in, frame out. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import Tables, process_of

Array = np.ndarray[Any, Any]


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
    seen_twice = (delivered["made"] >= 0) & (delivered["stage"] == "delivered")
    apart = delivered.loc[seen_twice, ["epoch", "step", "ticket", "changed", "made", "digest_lo", "ended_ns"]]
    maker = np.searchsorted(produced.index, apart["made"])
    after, before = apart["digest_lo"].to_numpy(), produced["digest_lo"].to_numpy()[maker]
    converted = before != after
    foreign = np.zeros(len(apart), bool)
    if converted.any():
        foreign[converted] = pd.Series(after[converted]).isin(produced["digest_lo"])
    return apart[["epoch", "step", "ticket", "changed"]].assign(
        worker=produced["worker"].to_numpy()[maker],
        local_step=produced["local_step"].to_numpy()[maker],
        before=before,
        after=after,
        overtaken=_next_end(produced)[maker] <= apart["ended_ns"].to_numpy() if len(apart) else False,
        converted=converted,
        foreign=foreign,
    )


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


def _next_end(produced: pd.DataFrame) -> Array:
    """When the batch was finished that was made after each one, in the same process; nanoseconds."""
    process, _ = codes.numbered(*process_of(produced))
    ended = produced["ended_ns"].to_numpy()
    order = np.lexsort((ended, process))
    next_end = np.full(len(produced), np.iinfo(np.int64).max)
    same = process[order[1:]] == process[order[:-1]]
    next_end[order[:-1][same]] = ended[order[1:][same]]
    return next_end
