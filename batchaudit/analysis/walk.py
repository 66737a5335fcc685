"""Which stored items were delivered, in which order, and by whom. Requires pandas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.tables import Tables, once

COLUMNS = ["event", "epoch", "rank", "worker", "step", "position", "item", "digest"]
_OF_BATCH = ["epoch", "rank", "worker", "step"]


@dataclass(frozen=True)
class Walk:
    """The items that were delivered, in the order of delivery.

    Attributes:
        by: what tells one item from another: "id", where every sample has one; "content", where serial passes
            show that nothing draws it; "index", where only the batch as a whole is known, by the number that
            was asked for; "" where nothing is.
        rows: a row a delivered item, by epoch and step: `event` (the label of its batch in
            `Tables.delivered`), `epoch`, `rank`, `worker` (-1: not known), `step`, `position` within the
            batch (0 for whole batches), `item`, and `digest`, its content as it was delivered. Empty where
            nothing tells items apart.
    """

    by: str
    rows: pd.DataFrame

    @property
    def known(self) -> bool:
        """Whether items can be told apart."""
        return self.by != ""

    @property
    def unit(self) -> str:
        """What an item is, in words."""
        return "batches" if self.by == "index" else "samples"

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """How many items each epoch has, and how many different ones; see the function `sizes`."""
        return sizes(self.rows)

    @cached_property
    def orders(self) -> dict[int, np.ndarray[Any, Any]]:
        """For each epoch its items, in the order in which they were delivered; of one rank."""
        epochs = self.rows["epoch"].to_numpy()  # rising, as the rows lie
        begins = codes.starts(epochs)
        parts = np.split(self.rows["item"].to_numpy(), begins[1:])
        return {int(epoch): part for epoch, part in zip(epochs[begins], parts, strict=False)}


def walk(tables: Tables, baseline: Baseline) -> Walk:
    """Finds out what tells a source's items apart, and puts them in order.

    Args:
        tables: the events of one source and strategy.
        baseline: what serial passes gave.

    Returns:
        The walk.
    """
    if tables.ids_known:
        return by_id(tables)
    if baseline.fixed_samples and len(tables.delivered) and tables.sampled:
        return by_content(tables)
    indices = tables.produced["index"].reindex(tables.delivered["made"])
    if len(indices) and bool((indices >= 0).all()):
        return Walk("index", _batches(tables, indices.to_numpy(np.int64)))
    return Walk("", pd.DataFrame(columns=COLUMNS))


@once
def by_id(tables: Tables) -> Walk:
    """The walk over the samples' ids, where every delivered sample has one."""
    return Walk("id", _samples(tables, "id"))


@once
def by_content(tables: Tables) -> Walk:
    """The walk over the samples' contents."""
    return Walk("content", _samples(tables, "digest"))


def sizes(rows: pd.DataFrame) -> pd.DataFrame:
    """How many items each epoch has, and how many of them are different.

    Args:
        rows: `Walk.rows`.

    Returns:
        A row an epoch, labelled by it, in order: `size`, `nunique`.
    """
    labels, epoch = codes.ranked(rows["epoch"].to_numpy(np.int64))
    pairs = codes.pairs(epoch, codes.numbered(rows["item"].to_numpy())[0])
    size, different = (np.bincount(each, minlength=len(labels)) for each in (epoch, pairs.group))
    return pd.DataFrame({"size": size, "nunique": different}, index=labels)


def _samples(tables: Tables, column: str) -> pd.DataFrame:
    item = tables.delivered_samples[0][column].to_numpy(np.int64 if column == "id" else np.uint64)
    return _placed(tables).assign(item=item)[COLUMNS]


@once
def _placed(tables: Tables) -> pd.DataFrame:
    """All columns but `item`: the same of all walks over samples."""
    samples, place = tables.delivered_samples
    of_batch = {name: tables.delivered[name].to_numpy()[place] for name in _OF_BATCH}
    of_sample = {name: samples[name].to_numpy() for name in ("event", "position", "digest")}
    return pd.DataFrame({**of_batch, **of_sample}, copy=False)


def _batches(tables: Tables, indices: np.ndarray[Any, Any]) -> pd.DataFrame:
    delivered = tables.delivered
    of_batch = {name: delivered[name].to_numpy() for name in _OF_BATCH}
    digest = delivered["digest_lo"].to_numpy()
    known = {"event": delivered.index.to_numpy(), "position": 0, "item": indices, "digest": digest}
    return pd.DataFrame({**of_batch, **known})[COLUMNS]
