"""What tells one item from another between replicas: the content of samples, or their ids. Requires pandas.

Content is the better witness where nothing draws it anew: an id is what a replica's own copy of the source
calls an item, and two copies may call two items the same. Where content is drawn, ids are all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes, replicas
from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.contents import recurring, short
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.tables import NO_SAMPLES, UNHASHABLE, Digests, Tables, once
from batchaudit.analysis.walk import COLUMNS, by_content, by_id

Array = np.ndarray[Any, Any]

_MOSTLY = 0.98
_OFTEN = 0.5
_SOME = 0.1
_ENOUGH = 3
_NAMED = ("key", "names")
GIVE_KEY = "give key=, which says which stored item each sample is"


@dataclass(frozen=True)
class Apart:
    """The delivered items of several replicas, with what tells them apart.

    Attributes:
        by: "id", "content", or "" where nothing does.
        rows: as `Walk.rows`, with a column `id` where every sample has one; empty where nothing does.
        why: where nothing does, why, and what would.
    """

    by: str
    rows: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    why: str = ""

    @property
    def ids_known(self) -> bool:
        """Whether every item has an id, whatever tells them apart."""
        return "id" in self.rows

    def items(self, who: str) -> pd.DataFrame:
        """The frame of items (see `replicas`) of those of whom it is known `who` delivered them.

        Args:
            who: "worker" or "rank".
        """
        return replicas.items_of(self.rows, who)

    def named(self, row: int, who: str) -> str:
        """An item as people read it.

        Args:
            row: its row among those of which it is known `who` delivered them.
            who: "worker" or "rank".
        """
        sample = self.rows[self.rows[who] >= 0].iloc[row]
        # Indices are a process' own: another one may mean another item by the same one.
        if self.ids_known and (self.by == "id" or who == "worker"):
            return str(int(sample["id"]))
        return short(sample["digest"])


@once
def of_workers(evidence: Evidence) -> Apart:
    """What tells the items of one process' workers apart.

    Args:
        evidence: one run.
    """
    tables, baseline = evidence.tables, evidence.baseline
    if space(str(evidence.about.get("ids", ""))) in _NAMED and tables.ids_known:
        return Apart("id", _with_ids(tables))
    if not tables.ids_known:
        return _by_content_alone(tables, baseline, "worker")
    rows = _with_ids(tables)
    fixed = baseline.fixed_samples or _fixed(rows, tables.digests, "worker") is True
    if fixed and _told_by_content(rows, tables.digests):
        return Apart("content", rows.assign(item=rows["digest"]))
    return Apart("id", rows)


@once
def of_ranks(ranks: Ranks) -> Apart:
    """What tells the items of several training processes apart.

    Args:
        ranks: their evidence.
    """
    tables = ranks.pooled
    spaces = {space(str(one.about.get("ids", ""))) for one in ranks.of.values()}
    if tables.ids_known and spaces <= set(_NAMED):
        return Apart("id", _with_ids(tables))
    drawn = [one.baseline for one in ranks.of.values()]
    baseline = next((one for one in drawn if one.fixed_samples is not True), drawn[0])
    if not tables.ids_known:
        return _by_content_alone(tables, baseline, "rank")
    rows = _with_ids(tables)
    fixed = baseline.fixed_samples or _fixed(rows, tables.digests, "rank")
    if fixed and _told_by_content(rows, tables.digests):
        return Apart("content", rows.assign(item=rows["digest"]))
    common = _in_common(rows)
    matched = _matched(common, rows, tables.digests) >= _ENOUGH and not _alike_by_chance(tables.digests)
    if not common.any() or matched or _hold_the_same(ranks) or _share_one(ranks, rows):
        return Apart("id", rows)
    return Apart(
        "",
        rows.iloc[:0],
        "the ranks were given the same indices with other contents: whether these are the same stored items "
        f"is not known: {GIVE_KEY}",
    )


def rows_by(tables: Tables, by: str) -> pd.DataFrame | None:
    """The rows of another pass of the same source, told apart in the same way.

    Args:
        tables: its events.
        by: "id" or "content".

    Returns:
        As `Apart.rows`; None where its samples cannot be told apart so.
    """
    if by == "id":
        return _with_ids(tables) if tables.ids_known else None
    return by_content(tables).rows if by == "content" else None


def space(ids: str) -> str:
    """What kind of ids they are: "key" from the user, "names" of samples, else indices of something."""
    return ids.partition("-")[0]


def _with_ids(tables: Tables) -> pd.DataFrame:
    rows = by_id(tables).rows
    return rows.assign(id=rows["item"])


def _by_content_alone(tables: Tables, baseline: Baseline, who: str) -> Apart:
    unseen = tables.delivered["flags"] & (NO_SAMPLES | UNHASHABLE)
    if bool((unseen > 0).any()) or not tables.sampled:
        return Apart("", why="not every batch could be hashed sample by sample")
    rows = by_content(tables).rows
    if baseline.fixed_samples or _comes_again(rows, who):
        return Apart("content", rows)
    more = "" if rows["epoch"].nunique() > 1 else ", or run 2 epochs or more"
    return Apart(
        "", why=f"no content came twice: which samples are the same item is not known: {GIVE_KEY}{more}"
    )


def _comes_again(rows: pd.DataFrame, who: str) -> bool:
    """Whether contents come again, in another epoch or in another replica: then they are not drawn anew."""
    item, items = codes.numbered(rows["item"].to_numpy())
    held = codes.pairs(item, codes.numbered(rows[who].to_numpy())[0])
    holders = np.bincount(held.group, minlength=items)[held.group]
    return (len(holders) > 0 and float((holders > 1).mean()) >= _SOME) or (recurring(rows) or 0.0) >= _OFTEN


def _fixed(rows: pd.DataFrame, digests: Digests, who: str) -> bool | None:
    """Whether an id has the same content whenever a replica delivers it; None where no id came twice."""
    of, count = codes.numbered(rows[who].to_numpy(), rows["id"].to_numpy())
    several = np.bincount(of, minlength=count) > 1
    if int(several.sum()) < _ENOUGH:
        return None
    held = codes.pairs(digests.known_of(of), digests.known_of(digests.number))
    contents = np.bincount(held.group, minlength=count)
    return float((contents[several] == 1).mean()) >= _MOSTLY


def _told_by_content(rows: pd.DataFrame, digests: Digests) -> bool:
    """Whether two ids hardly ever have the same content."""
    rank, ranks = codes.numbered(rows["rank"].to_numpy())
    contents, ids = (
        codes.different(of, what, ranks)
        for of, what in (
            (digests.known_of(rank), digests.known_of(digests.number)),
            (rank, codes.numbered(rows["id"].to_numpy())[0]),
        )
    )
    return bool((contents >= _MOSTLY * ids).all())


def _share_one(ranks: Ranks, rows: pd.DataFrame) -> bool:
    """Whether all ranks together take no more than one dataset has: then it is one that they share.

    Ranks that each had a dataset of their own would each take all of it.
    """
    counts = {one.items for one in ranks.of.values()}
    count = counts.pop()
    if count is None or counts:
        return False
    return int(rows.groupby("epoch").size().max()) <= count + len(ranks.of)


def _hold_the_same(ranks: Ranks) -> bool:
    """Whether the datasets of all ranks hold the same data, as they say of themselves."""
    tokens = {str(one.about.get("data", "")) for one in ranks.of.values()}
    return len(tokens) == 1 and tokens != {""}


def _in_common(rows: pd.DataFrame) -> Array:
    """Which rows are of ids that several ranks delivered."""
    item, items = codes.numbered(rows["id"].to_numpy())
    held = codes.pairs(item, codes.numbered(rows["rank"].to_numpy())[0])
    several: Array = (np.bincount(held.group, minlength=items) > 1)[item]
    return several


def _matched(common: Array, rows: pd.DataFrame, digests: Digests) -> int:
    """How many ids had, at some time, the same content in two ranks."""
    here = common if digests.known is None else common & digests.known
    item, items = codes.numbered(rows["id"].to_numpy()[here])
    rank, _ = codes.numbered(rows["rank"].to_numpy()[here])
    held, count = codes.numbered(item, digests.number[here])
    of = np.zeros(count, np.int64)
    of[held] = item
    ranks = codes.different(held, rank, count)
    return int(np.count_nonzero(np.bincount(of[ranks > 1], minlength=items)))


def _alike_by_chance(digests: Digests) -> bool:
    """Whether samples have so few different contents that two are often alike."""
    times = np.bincount(digests.known_of(digests.number))
    shares = times[times > 0] / max(int(times.sum()), 1)
    return float((shares**2).sum()) > _SOME
