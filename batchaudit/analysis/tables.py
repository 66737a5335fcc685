"""Puts the two stages together: which worker made which delivered batch, and where each produced one went.

Requires pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

PROBE, UNHASHABLE, NO_SAMPLES, CONSUMED = (
    1,
    4,
    8,
    32,
)  # the flags of journal/layout.py, which analysis does not import
_A_LOOK = 2
"""An unfinished pass of no more batches than this, before any that goes further, is a look."""
LIVE = "live"
STREAMS = ("numpy", "python", "torch", "tensorflow", "private")


@dataclass(frozen=True)
class Tables:
    """The events of one source under one strategy.

    Attributes:
        produced: a row a produced batch, in the order in which they were begun. Its epoch and step are those
            of its delivery (-1: never delivered). Further columns: `worker` (an ordinal by first appearance;
            -1 for a look ahead), `local_step` (counts within the worker, over the whole run), `epoch_step`
            (counts within worker and epoch), `delivered`, `probe`, `believed` (the epoch that its process
            believed in).
        delivered: a row a delivered batch, by epoch and step. Further columns: `worker` that made it (-1:
            not known), `made` (the row label of its produced event, -1: not known), `probe`, `changed`
            (whether its content is another than when it was made).
        hooks: a row a call of a hook.
        raised: a row an exception.
        samples: the samples of these events: `event` (row label), `position`, `digest`, `id`. Delivered
            samples have the ids of the produced batch that they came from.
    """

    produced: pd.DataFrame
    delivered: pd.DataFrame
    hooks: pd.DataFrame
    raised: pd.DataFrame
    samples: pd.DataFrame

    @property
    def ids_known(self) -> bool:
        """Whether every delivered sample has an id."""
        ids = self.samples["id"][self.samples["event"].isin(self.delivered.index)]
        return len(ids) > 0 and not bool(ids.isna().any())


def tables(events: pd.DataFrame, samples: pd.DataFrame) -> Tables:
    """Splits and joins the events of one source and strategy.

    Args:
        events: rows of `Log.events`, with their labels.
        samples: rows of `Log.samples` that hang on them.

    Returns:
        The tables.
    """
    stage = events["stage"].astype(str)
    produced = _produced(events[stage == "produced"].copy())
    handed = events[stage == "delivered"]
    looked = set(handed["ticket"][(handed["flags"] & PROBE) > 0]) - {0}
    delivered = _delivered(handed, produced, events[stage == "hook"])
    made = pd.Series(produced.index.to_numpy(), index=produced["ticket"].to_numpy())
    made = made[~made.index.duplicated()]
    delivered["made"] = made.reindex(delivered["ticket"]).fillna(-1).astype(np.int64).to_numpy()
    known = delivered[delivered["made"] >= 0]
    for column in ("epoch", "step"):
        values = pd.Series(known[column].to_numpy(), index=known["made"].to_numpy())
        values = values[~values.index.duplicated()]  # a replayed peek is delivered more than once
        produced[column] = values.reindex(produced.index).fillna(-1).astype(np.int64)
    produced["delivered"] = produced["epoch"] >= 0
    produced["probe"] |= produced["ticket"].isin(looked) & ~produced["delivered"]
    produced["epoch_step"] = produced.groupby(["worker", "epoch"]).cumcount()
    for column, missing in (("worker", -1), ("probe", False)):
        delivered[column] = produced[column].reindex(delivered["made"]).fillna(missing).to_numpy()
    delivered["worker"] = delivered["worker"].astype(np.int64)
    delivered["changed"] = _changed(delivered, produced)
    return Tables(
        produced,
        delivered,
        events[stage == "hook"],
        events[stage == "raised"],
        _with_ids(samples, delivered),
    )


def handed_over(events: pd.DataFrame) -> pd.Series:
    """Which events tell of a batch that was handed over, in a record of its own or in that of its making.

    Args:
        events: rows of `Log.events`.
    """
    return (events["stage"] == "delivered") | ((events["flags"] & CONSUMED) > 0)


def in_order(samples: pd.DataFrame, batches: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """The samples of some batches, in the order of these.

    Args:
        samples: rows of `Log.samples`.
        batches: rows of `Tables.delivered`, in their order, with their labels.

    Returns:
        The rows of `samples` that hang on the batches, and for each the place of its batch: int64, shape
        (rows,), from 0.
    """
    place = batches.index.get_indexer(pd.Index(samples["event"]))
    samples, place = samples[place >= 0], place[place >= 0]
    order = np.lexsort((samples["position"].to_numpy(), place))
    return samples.iloc[order], place[order]


def _delivered(handed: pd.DataFrame, produced: pd.DataFrame, hooks: pd.DataFrame) -> pd.DataFrame:
    """What the consumer was handed, each epoch of each consumer once, without looks ahead."""
    consumed = produced[(produced["flags"] & CONSUMED) > 0]
    found = pd.concat([handed[(handed["flags"] & PROBE) == 0], consumed[handed.columns]])
    if found.empty:
        found = _as_delivered(produced)[handed.columns]
        return found.sort_values(["epoch", "step"], kind="stable").copy()
    # A framework that begins an epoch anew has trained on nothing of what it took before.
    place = ["host", "rank", "pid", "epoch", "step"]
    found = found.sort_values("began_ns", kind="stable").drop_duplicates(place, keep="last")
    if bool((found["strategy"] == LIVE).all()):
        found = found[~_looks(found, hooks)].copy()
        ranks = found.groupby(["host", "rank", "pid"], observed=True)["epoch"].rank("dense")
        found["epoch"] = ranks.astype(np.int64) - 1
    return found.sort_values(["epoch", "step"], kind="stable")


def _looks(delivered: pd.DataFrame, hooks: pd.DataFrame) -> pd.Series:
    """Which batches were only looked at, before the training began.

    What a framework calls an epoch is one, however short; a pass of a loop is one if it comes to the end.
    """
    consumer = ["host", "rank", "pid"]
    passes = delivered.groupby([*consumer, "epoch"], observed=True).size().rename("taken").reset_index()
    ends = hooks[hooks["text"].isin(["exhausted", "epoch"])]
    finished = pd.MultiIndex.from_frame(ends[[*consumer, "epoch"]].astype({"host": object}))
    keys = pd.MultiIndex.from_frame(passes[[*consumer, "epoch"]].astype({"host": object}))
    passes["far"] = keys.isin(finished) | (passes["taken"] > _A_LOOK)
    # Before the first that goes far; where none does, that is how the source is consumed.
    by_consumer = passes.groupby(consumer, observed=True)["far"]
    passes["look"] = (by_consumer.cumsum() == 0) & by_consumer.transform("any")
    looks = pd.MultiIndex.from_frame(passes[passes["look"]][[*consumer, "epoch"]].astype({"host": object}))
    rows = pd.MultiIndex.from_frame(delivered[[*consumer, "epoch"]].astype({"host": object}))
    return pd.Series(rows.isin(looks), index=delivered.index)


def _changed(delivered: pd.DataFrame, produced: pd.DataFrame) -> np.ndarray:
    """Whose content is another than that of the produced batch, at equal bytes.

    Where it is so of every batch, something converts them on the way. What is converted is never what was
    made for another batch: if some of them are, they were overwritten all the same.
    """
    changed = np.zeros(len(delivered), bool)
    apart = ((delivered["made"] >= 0) & (delivered["stage"].astype(str) == "delivered")).to_numpy()
    after, before = delivered[apart], produced.loc[delivered["made"][apart]]
    other = np.zeros(len(after), bool)
    for half in ("digest_hi", "digest_lo"):
        other |= after[half].to_numpy() != before[half].to_numpy()
    if other.all() and not after["digest_lo"].isin(produced["digest_lo"]).any():
        return changed
    changed[apart] = other & (after["nbytes"].to_numpy() == before["nbytes"].to_numpy())
    return changed


def _produced(events: pd.DataFrame) -> pd.DataFrame:
    events["probe"] = (events["flags"] & PROBE) > 0
    events["believed"] = events["epoch"]
    # A framework that numbers its workers may run one of them in several threads.
    named = events["framework_worker"] >= 0
    replica = events["thread"].where(~named, -1 - events["framework_worker"])
    looks = ~events["probe"]
    keys = pd.MultiIndex.from_arrays([events["host"].astype(object), events["rank"], events["pid"], replica])
    events["worker"] = -1
    events.loc[looks, "worker"] = pd.factorize(keys[looks.to_numpy()])[0]
    events["local_step"] = events.groupby("worker").cumcount()
    return events


def _as_delivered(produced: pd.DataFrame) -> pd.DataFrame:
    """Where no consumer was watched, what was produced stands for what was delivered, peeks aside."""
    delivered = produced[~produced["probe"]].copy()
    delivered["step"] = delivered.groupby("epoch").cumcount()
    return delivered.drop(columns=["local_step"])


def _with_ids(samples: pd.DataFrame, delivered: pd.DataFrame) -> pd.DataFrame:
    known = delivered[delivered["made"] >= 0]
    ids = samples.dropna(subset=["id"])
    if ids.empty or known.empty:
        return samples
    pairs = pd.DataFrame({"event": known.index, "made": known["made"].to_numpy()})
    theirs = pairs.merge(
        ids[["event", "position", "id"]], left_on="made", right_on="event", suffixes=("", "_")
    )
    joined = samples.merge(
        theirs[["event", "position", "id"]], on=["event", "position"], how="left", suffixes=("", "_made")
    )
    joined["id"] = joined["id"].fillna(joined.pop("id_made"))
    return joined
