"""What each stored item held whenever it was made. Frame in, frame out. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.tables import UNHASHABLE, Tables, chosen, once

_OF_BATCH = ["index", "digest_lo", "epoch", "worker", "pid", "local_step"]
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


@once
def contents(tables: Tables) -> Contents:
    """Finds what tells items apart by number, and what they held when they were made.

    Args:
        tables: the events of one source and strategy.
    """
    produced = tables.produced
    made = chosen(produced, ((produced["flags"] & UNHASHABLE) == 0).to_numpy(), _OF_BATCH)
    if made.empty:
        return Contents("", pd.DataFrame(columns=COLUMNS))
    if bool((made["index"] >= 0).all()):
        rows = made.assign(item=made["index"], content=made["digest_lo"], event=made.index)
        return Contents("index", rows[COLUMNS].reset_index(drop=True))
    rows, batch = tables.rows_of(made)
    samples = tables.samples.iloc[rows]
    none = np.bincount(batch, minlength=len(made)) == 0
    if bool(none.any()) or bool(samples["id"].isna().any()):
        return Contents("", pd.DataFrame(columns=COLUMNS))
    found = {name: made[name].to_numpy()[batch] for name in ("epoch", "worker", "pid", "local_step")}
    item = samples["id"].to_numpy(np.int64)
    known = {"item": item, "content": samples["digest"].to_numpy(), "event": samples["event"].to_numpy()}
    return Contents("id", pd.DataFrame({**known, **found}, copy=False)[COLUMNS])


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
    items, contents = (np.concatenate([each[name] for each in several]) for name in ("item", "content"))
    item, count = codes.numbered(items)
    first = codes.first_rows(item)
    held = np.zeros(count, contents.dtype)
    held[item] = contents
    if not len(first) or len(first) == len(item) or bool((held[item] != contents).any()):
        return None
    return pd.Series(contents[first], index=items[first])
