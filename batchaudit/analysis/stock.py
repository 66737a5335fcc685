"""How many stored items there are, for several training processes together. Requires pandas."""

from __future__ import annotations

import pandas as pd

from batchaudit.analysis.ranks import Ranks


def of_ranks(ranks: Ranks, items: pd.DataFrame) -> int | None:
    """How many items the ranks are to share.

    A loader knows the dataset that it was given. It may be the whole one, or the rank's own part of it: then
    the ranks have more items among them than one of them says it has.

    Args:
        ranks: the processes' evidence.
        items: what they were given, a frame of items (see `replicas`) of all epochs.

    Returns:
        The number; None where it cannot be known.
    """
    said = [one.items for one in ranks.of.values()]
    if any(count is None for count in said):
        return None
    counts = [count for count in said if count is not None]
    held = items.drop_duplicates(["who", "item"])
    different = int(held["item"].nunique())
    if different <= max(counts):
        return max(counts)
    return sum(counts) if different == len(held) else None


def whole_passes(ranks: Ranks) -> bool | None:
    """Whether each rank was given all batches of its loader in every epoch; None where that is not known."""
    known = []
    for one in ranks.of.values():
        batches = one.about.get("batches")
        if not isinstance(batches, int):
            return None
        known.append(bool((one.tables.delivered.groupby("epoch").size() >= batches).all()))
    return all(known)
