"""What each stored item held whenever it was made. Frame in, frame out. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batchaudit.analysis.tables import UNHASHABLE, Tables

COLUMNS = ["item", "content", "epoch", "worker", "pid", "local_step", "event"]


@dataclass(frozen=True)
class Contents:
    """Items and what they held.

    Attributes:
        by: "id" for samples; "index" for whole batches, by the number that was asked for; "" where no number
            is known of some.
        rows: a row an item that was made, in the order of making: `item`, `content` (the low half of its
            digest), `epoch` (-1: never delivered), `worker`, `pid`, `local_step`, `event` (the label of its
            batch in `Tables.produced`).
    """

    by: str
    rows: pd.DataFrame

    @property
    def unit(self) -> str:
        """What an item is, in words."""
        return "sample" if self.by == "id" else "batch"


def contents(tables: Tables) -> Contents:
    """Finds what tells items apart by number, and what they held when they were made.

    Args:
        tables: the events of one source and strategy.
    """
    made = tables.produced[(tables.produced["flags"] & UNHASHABLE) == 0]
    if made.empty:
        return Contents("", pd.DataFrame(columns=COLUMNS))
    if bool((made["index"] >= 0).all()):
        rows = made.assign(item=made["index"], content=made["digest_lo"], event=made.index)
        return Contents("index", rows[COLUMNS].reset_index(drop=True))
    samples = tables.samples[tables.samples["event"].isin(made.index)].sort_values(["event", "position"])
    if len(samples) == 0 or samples["event"].nunique() < len(made) or bool(samples["id"].isna().any()):
        return Contents("", pd.DataFrame(columns=COLUMNS))
    of_batch = made.loc[samples["event"], ["epoch", "worker", "pid", "local_step"]]
    found = {name: of_batch[name].to_numpy() for name in of_batch}
    item = samples["id"].to_numpy(np.int64)
    known = {"item": item, "content": samples["digest"].to_numpy(), "event": samples["event"].to_numpy()}
    return Contents("id", pd.DataFrame({**known, **found})[COLUMNS])


def drift(rows: pd.DataFrame) -> pd.DataFrame:
    """The items that were delivered in several epochs, and whether they held the same.

    Args:
        rows: `Contents.rows`.

    Returns:
        A row an item, by its number: `contents`, how many different ones it had; `epochs`, in how many it
        was.
    """
    delivered = rows[rows["epoch"] >= 0]
    found = delivered.groupby("item").agg(contents=("content", "nunique"), epochs=("epoch", "nunique"))
    return found[found["epochs"] > 1]


def constant(*several: pd.DataFrame) -> pd.Series | None:
    """What each item holds, where it always holds the same.

    Args:
        several: `Contents.rows` of some runs.

    Returns:
        The content by item; None where an item held several, or none was made twice.
    """
    rows = pd.concat(several)[["item", "content"]]
    different = rows.drop_duplicates()
    if different.empty or bool(different["item"].duplicated().any()):
        return None
    if not bool(rows["item"].duplicated().any()):
        return None
    return different.set_index("item")["content"]
