"""What the contents of samples say where no baseline does. Frame in, figure out. Requires pandas."""

from __future__ import annotations

import pandas as pd

from batchaudit.analysis.tables import UNHASHABLE, Tables


def short(content: int) -> str:
    """A digest as reports name it.

    Args:
        content: its high half, or a sample's.
    """
    return f"{int(content):016x}"[:8]


def hashed_by_sample(tables: Tables) -> bool:
    """Whether every delivered batch was hashed, and sample by sample."""
    delivered = tables.delivered
    if delivered.empty or bool((delivered["flags"] & UNHASHABLE).any()):
        return False
    return bool(delivered.index.isin(tables.samples["event"]).all())


def recurring(rows: pd.DataFrame, column: str = "item") -> float | None:
    """Which part of the samples of later epochs were in an earlier one.

    Args:
        rows: `Walk.rows`.
        column: what tells samples apart.

    Returns:
        Near 0 where their content is drawn anew in each epoch; None with one epoch.
    """
    each = rows[["epoch", column]].drop_duplicates()
    later = each["epoch"] > each["epoch"].min()
    if not later.any():
        return None
    first = each.groupby(column)["epoch"].transform("min")
    return float((first < each["epoch"])[later].mean())


def fixed_by_id(rows: pd.DataFrame) -> bool | None:
    """Whether an item has the same content whenever it comes.

    Args:
        rows: `Walk.rows` by id.

    Returns:
        None where no item comes in two epochs.
    """
    several = rows.groupby("item").agg(epochs=("epoch", "nunique"), contents=("digest", "nunique"))
    several = several[several["epochs"] > 1]
    return None if several.empty else bool((several["contents"] == 1).mean() > _MOSTLY)


_MOSTLY = 0.95
