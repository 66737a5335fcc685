"""Puts the two stages together: which worker made which delivered batch, and where each produced one went.

Requires pandas.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from batchaudit.analysis import codes

PROBE, UNHASHABLE, NO_SAMPLES, CONSUMED = (
    1,
    4,
    8,
    32,
)  # the flags of journal/layout.py, which analysis does not import
_A_LOOK = 2
"""An unfinished pass of no more batches than this, before any that goes further, is a look."""
LIVE = "live"
_NEAR = 8
"""Labels that span no more than so many times their number are counted one by one."""
STREAMS = ("numpy", "python", "torch", "tensorflow", "private")
_OF_MAKING = frozenset(
    ["run", "source", "thread", "seq", "index", "framework_worker", "framework_seed", "text"]
    + [f"rng_{stream}_{when}" for stream in STREAMS for when in ("before", "after")]
)
"""Columns of an event that say nothing of a delivery: a row of millions is not copied for them."""

Array = np.ndarray[Any, Any]
_Of = TypeVar("_Of")
_Said = TypeVar("_Said")


def once(function: Callable[[_Of], _Said]) -> Callable[[_Of], _Said]:
    """Keeps what a function says of an object for as long as the object is there: several rules ask for it.

    Args:
        function: of one argument, an object with attributes; what it returns must not be changed.
    """
    name = f"_{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def kept(of: _Of) -> _Said:
        known = vars(of)
        if name not in known:
            known[name] = function(of)
        said: _Said = known[name]
        return said

    return kept


@dataclass(frozen=True)
class Digests:
    """The contents of some samples as numbers.

    Attributes:
        number: int64, shape (rows,): equal where contents are; those without one have a number of their own.
        count: what all of them are below.
        known: bool, shape (rows,): whether the sample has a content; None where all have.
    """

    number: Array
    count: int
    known: Array | None = None

    @staticmethod
    def of(digests: pd.Series) -> Digests:
        """Numbers the digests of samples, of which some may be missing."""
        known = digests.notna().to_numpy()
        if known.all():
            return Digests(*codes.numbered(digests.to_numpy(np.uint64)))
        found, count = codes.numbered(digests[known].to_numpy(np.uint64))
        number = np.full(len(known), count)
        number[known] = found
        return Digests(number, count + 1, known)

    def known_of(self, values: Array) -> Array:
        """The values of the rows that have a content."""
        return values if self.known is None else values[self.known]


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

    def told(self, probe: str) -> list[dict[str, Any]]:
        """What a probe logged in words, in hooks: its name, a space, and a JSON object.

        Args:
            probe: its name.

        Returns:
            The objects, the oldest first.
        """
        texts = self.hooks["text"].astype(str)
        said = (_object(text.partition(" ")[2]) for text in texts if text.startswith(f"{probe} {{"))
        return [one for one in said if one is not None]

    @cached_property
    def ids_known(self) -> bool:
        """Whether every delivered sample has an id."""
        ids = self.delivered_samples[0]["id"]
        return len(ids) > 0 and not bool(ids.isna().any())

    @cached_property
    def sampled(self) -> bool:
        """Whether every delivered batch was hashed sample by sample."""
        samples, place = self.delivered_samples
        counts = np.bincount(place, minlength=len(self.delivered))
        return bool((counts > 0).all()) and not bool(samples["digest"].isna().any())

    @cached_property
    def delivered_samples(self) -> tuple[pd.DataFrame, Array]:
        """The samples of what was delivered, in the order of delivery; see `in_order`."""
        rows, place = self._delivered_rows
        return self.samples.iloc[rows], place

    @cached_property
    def _delivered_rows(self) -> tuple[slice | Array, Array]:
        return rows_in_order(self.samples, self.delivered)

    def rows_of(self, batches: pd.DataFrame) -> tuple[slice | Array, Array]:
        """As `rows_in_order` of `samples`; where the batches are the delivered ones, known already."""
        if np.array_equal(batches.index, self.delivered.index):
            return self._delivered_rows
        return rows_in_order(self.samples, batches)

    @cached_property
    def digests(self) -> Digests:
        """The contents of the delivered samples, numbered once: many rules count them."""
        return Digests.of(self.delivered_samples[0]["digest"])

    def digests_of(self, rows: slice | Array) -> Digests:
        """The contents of other samples.

        Args:
            rows: theirs in `samples`; where they are those of the delivered ones, nothing is numbered anew.
        """
        delivered = self._delivered_rows[0]
        same = isinstance(rows, slice) and isinstance(delivered, slice) and rows == delivered
        return self.digests if same else Digests.of(self.samples["digest"].iloc[rows])

    @cached_property
    def epochs(self) -> tuple[Array, Array]:
        """The epochs that were delivered, sorted, and the place of each delivered batch's epoch in them."""
        epochs = self.delivered["epoch"].to_numpy()  # rising, as delivered batches lie
        begins = codes.starts(epochs)
        places = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(epochs)))
        return epochs[begins], places

    @cached_property
    def contents(self) -> tuple[Array, int]:
        """A number for each delivered batch, equal where their digests are; what all of them are below."""
        return codes.numbered(
            self.delivered["digest_lo"].to_numpy(np.uint64), self.delivered["digest_hi"].to_numpy(np.uint64)
        )

    @cached_property
    def sample_contents(self) -> codes.Pairs:
        """The contents of each epoch's samples, by the epoch's place; those without a digest are left out."""
        epoch, digests = self.epochs[1][self.delivered_samples[1]], self.digests
        return codes.pairs(digests.known_of(epoch), digests.known_of(digests.number))


def tables(events: pd.DataFrame, samples: pd.DataFrame) -> Tables:
    """Splits and joins the events of one source and strategy.

    Args:
        events: rows of `Log.events`, with their labels.
        samples: rows of `Log.samples` that hang on them.

    Returns:
        The tables.
    """
    stage = events["stage"]
    hooks = events[stage == "hook"]
    produced = _produced(chosen(events, (stage == "produced").to_numpy()))
    told = [name for name in events.columns if name not in _OF_MAKING]
    handed = chosen(events, (stage == "delivered").to_numpy(), told)
    looked = set(handed["ticket"][(handed["flags"] & PROBE) > 0]) - {0}
    delivered = _delivered(handed, produced, hooks)
    rows = _makers(delivered, produced)
    known = rows >= 0
    delivered["made"] = _taken(produced.index.to_numpy(), rows, -1)
    # Each produced batch where it went first: a replayed peek is delivered more than once.
    went = np.full(len(produced), -1)
    went[rows[known][::-1]] = np.flatnonzero(known)[::-1]
    for column in ("epoch", "step"):
        produced[column] = _taken(delivered[column].to_numpy(), went, -1)
    produced["delivered"] = produced["epoch"] >= 0
    if looked:
        produced["probe"] |= produced["ticket"].isin(looked) & ~produced["delivered"]
    produced["epoch_step"] = _count_within(produced["worker"], produced["epoch"])
    for column, missing in (("worker", -1), ("probe", False)):
        delivered[column] = _taken(produced[column].to_numpy(), rows, missing)
    delivered["changed"] = _changed(delivered, produced, rows)
    samples = _with_ids(_in_place(samples), delivered)
    return Tables(produced, delivered, hooks, events[stage == "raised"], samples)


def _object(text: str) -> dict[str, Any] | None:
    """A JSON object; None where the text is none: it is cut where it was too long for a record."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def handed_over(events: pd.DataFrame) -> pd.Series:
    """Which events tell of a batch that was handed over, in a record of its own or in that of its making.

    Args:
        events: rows of `Log.events`.
    """
    return (events["stage"] == "delivered") | ((events["flags"] & CONSUMED) > 0)


def in_order(samples: pd.DataFrame, batches: pd.DataFrame) -> tuple[pd.DataFrame, Array]:
    """The samples of some batches, in the order of these.

    Args:
        samples: rows of `Tables.samples`.
        batches: rows of `Tables.delivered`, in their order, with their labels.

    Returns:
        The rows of `samples` that hang on the batches, and for each the place of its batch: int64, shape
        (rows,), from 0.
    """
    rows, place = rows_in_order(samples, batches)
    return samples.iloc[rows], place


def rows_in_order(samples: pd.DataFrame, batches: pd.DataFrame) -> tuple[slice | Array, Array]:
    """As `in_order`, but the numbers of the rows: a slice where they lie in one piece."""
    firsts, counts = _spans(samples, batches.index.to_numpy())
    place = np.repeat(np.arange(len(batches)), counts)
    some = counts > 0
    if not some.all():
        firsts, counts = firsts[some], counts[some]
    if codes.in_one_piece(firsts, counts):
        first = int(firsts[0]) if len(place) else 0
        return slice(first, first + len(place)), place
    return codes.spans(firsts, counts), place


def _spans(samples: pd.DataFrame, labels: Array) -> tuple[Array, Array]:
    """The first row of each event's samples, and how many it has."""
    events = samples["event"].to_numpy()
    low = int(events[0]) if len(events) else 0
    width = int(events[-1]) - low + 1 if len(events) else 0
    if width > _NEAR * (len(events) + len(labels)) or not len(labels) or not width:
        firsts = np.searchsorted(events, labels)
        return firsts, np.searchsorted(events, labels, side="right") - firsts
    # Counted, not searched for: one pass over each.
    ends = np.zeros(width + 2, np.int64)
    np.cumsum(np.bincount(events - low, minlength=width + 1), out=ends[1:])
    place = labels - low
    if place.min() < 0 or place.max() > width:
        place = np.where(place < 0, width, np.minimum(place, width))
    firsts = ends[place]
    return firsts, ends[place + 1] - firsts


def chosen(events: pd.DataFrame, which: Array, names: Iterable[str] | None = None) -> pd.DataFrame:
    """Some of the events, as a frame that may get columns of its own; no column is copied without need.

    Args:
        events: rows with many columns.
        which: bool, shape (rows,).
        names: which columns; by default all.
    """
    rows = None if which.all() else np.flatnonzero(which)
    columns = {name: events[name].array for name in (events.columns if names is None else names)}
    if rows is None:
        return pd.DataFrame(columns, index=events.index, copy=False)
    taken = {name: column.take(rows) for name, column in columns.items()}
    return pd.DataFrame(taken, index=events.index[rows], copy=False)


def _taken(values: Array, rows: Array, missing: Any) -> Array:
    """The values of some rows; for the row -1 what is given for a missing one."""
    if not len(values):
        return np.full(len(rows), missing)
    taken: Array = np.where(rows >= 0, values[rows], missing)
    return taken


def _count_within(*columns: pd.Series) -> Array:
    return codes.count_within(codes.numbered(*(column.to_numpy() for column in columns))[0])


def process_of(events: pd.DataFrame) -> list[Array]:
    """What tells one process from another, as numbers."""
    return [pd.factorize(events["host"])[0], events["rank"].to_numpy(), events["pid"].to_numpy()]


def _makers(delivered: pd.DataFrame, produced: pd.DataFrame) -> Array:
    """The row of the produced batch that each delivered one came from; -1: not known."""
    tickets, wanted = produced["ticket"].to_numpy(np.uint64), delivered["ticket"].to_numpy(np.uint64)
    if len(tickets) == len(wanted) and np.array_equal(tickets, wanted) and (tickets[1:] > tickets[:-1]).all():
        return np.arange(len(tickets))
    several = codes.several(tickets) if len(tickets) else np.zeros(0, bool)
    if not several.any():
        found: Array = pd.Index(tickets).get_indexer(pd.Index(wanted))
        return found
    first = np.flatnonzero(~pd.Series(tickets).duplicated().to_numpy())
    return _taken(first, pd.Index(tickets[first]).get_indexer(pd.Index(wanted)), -1)


def _delivered(handed: pd.DataFrame, produced: pd.DataFrame, hooks: pd.DataFrame) -> pd.DataFrame:
    """What the consumer was handed, each epoch of each consumer once, without looks ahead."""
    given = (handed["flags"] & PROBE) == 0
    consumed = chosen(produced, ((produced["flags"] & CONSUMED) > 0).to_numpy(), handed.columns)
    parts = [part for part in (chosen(handed, given.to_numpy()), consumed) if len(part)]
    if not parts:
        return _by_step(_as_delivered(produced, handed.columns))
    found = parts[0] if len(parts) == 1 else pd.concat(parts)
    if not found["began_ns"].is_monotonic_increasing:
        found = found.sort_values("began_ns", kind="stable")
    # A framework that begins an epoch anew has trained on nothing of what it took before.
    place, count = codes.numbered(*process_of(found), found["epoch"].to_numpy(), found["step"].to_numpy())
    last = np.zeros(count, np.int64)
    last[place] = np.arange(len(found))
    found = chosen(found, last[place] == np.arange(len(found)))
    if bool((found["strategy"] == LIVE).all()):
        numbers = _numbered_passes(found, hooks)
        found = chosen(found, numbers >= 0)
        found["epoch"] = numbers[numbers >= 0]
    return _by_step(found)


def _by_step(delivered: pd.DataFrame) -> pd.DataFrame:
    order = np.lexsort((delivered["step"].to_numpy(), delivered["epoch"].to_numpy()))
    return delivered if bool((order[1:] > order[:-1]).all()) else delivered.iloc[order]


def _numbered_passes(delivered: pd.DataFrame, hooks: pd.DataFrame) -> Array:
    """Which epoch of its consumer each batch is of, counted from 0; -1 for one that was only looked at.

    Looks come before the training began. What a framework calls an epoch is one, however short; a pass of a
    loop is one if it comes to the end.
    """
    consumer, _ = codes.numbered(*process_of(delivered))
    number, count = codes.numbered(consumer, delivered["epoch"].to_numpy())
    rows = np.full(count, -1)
    rows[number[::-1]] = np.arange(len(delivered))[::-1]
    there = np.flatnonzero(rows >= 0)
    passes = delivered[["host", "rank", "pid", "epoch"]].iloc[rows[there]].astype({"host": object})
    passes = passes.assign(consumer=consumer[rows[there]], taken=np.bincount(number)[there], number=there)
    passes = passes.sort_values(["consumer", "epoch"], kind="stable")
    ends = hooks[hooks["text"].isin(["exhausted", "epoch"])].astype({"host": object})
    key = ["host", "rank", "pid", "epoch"]
    finished = pd.MultiIndex.from_frame(passes[key]).isin(pd.MultiIndex.from_frame(ends[key]))
    passes["far"] = finished | (passes["taken"] > _A_LOOK)
    # Before the first that goes far; where none does, that is how the source is consumed.
    by_consumer = passes.groupby("consumer")["far"]
    look = (by_consumer.cumsum() == 0) & by_consumer.transform("any")
    trained = passes[~look]
    epochs = np.full(count, -1)
    epochs[trained["number"]] = trained.groupby("consumer").cumcount()
    numbers: Array = epochs[number]
    return numbers


def _changed(delivered: pd.DataFrame, produced: pd.DataFrame, makers: Array) -> Array:
    """Whose content is another than that of the produced batch, at equal bytes.

    Where it is so of every batch, something converts them on the way. What is converted is never what was
    made for another batch: if some of them are, they were overwritten all the same.
    """
    changed = np.zeros(len(delivered), bool)
    apart = (makers >= 0) & (delivered["stage"] == "delivered").to_numpy()
    if not apart.any():
        return changed
    names = ("digest_hi", "digest_lo", "nbytes")
    after = {name: delivered[name].to_numpy()[apart] for name in names}
    before = {name: produced[name].to_numpy()[makers[apart]] for name in names}
    other = (after["digest_hi"] != before["digest_hi"]) | (after["digest_lo"] != before["digest_lo"])
    if other.all() and not pd.Series(after["digest_lo"]).isin(produced["digest_lo"]).any():
        return changed
    changed[apart] = other & (after["nbytes"] == before["nbytes"])
    return changed


def _produced(events: pd.DataFrame) -> pd.DataFrame:
    looks = ((events["flags"] & PROBE) > 0).to_numpy()
    # A framework that numbers its workers may run one of them in several threads.
    number = events["framework_worker"].to_numpy()
    replica = np.where(number < 0, events["thread"].to_numpy(), -1 - number)
    worker = np.full(len(events), -1)
    worker[~looks] = pd.factorize(codes.numbered(*process_of(events), replica)[0][~looks])[0]
    events["probe"], events["believed"], events["worker"] = looks, events["epoch"], worker
    events["local_step"] = _count_within(events["worker"])
    return events


def _as_delivered(produced: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Where no consumer was watched, what was produced stands for what was delivered, peeks aside."""
    delivered = chosen(produced, (~produced["probe"]).to_numpy(), names)
    delivered["step"] = _count_within(delivered["epoch"])
    return delivered


def _in_place(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples, event after event and in the order of their positions, as a log has them."""
    event, position = samples["event"].to_numpy(), samples["position"].to_numpy()
    later = (event[1:] > event[:-1]) | ((event[1:] == event[:-1]) & (position[1:] > position[:-1]))
    return samples if later.all() else samples.iloc[np.lexsort((position, event))]


def _with_ids(samples: pd.DataFrame, delivered: pd.DataFrame) -> pd.DataFrame:
    """Gives delivered samples the ids of the produced batch that they came from, where they have none."""
    own, made = delivered.index.to_numpy(), delivered["made"].to_numpy()
    apart = (made >= 0) & (made != own)
    missing = samples["id"].isna().to_numpy()
    if not apart.any() or not missing.any() or missing.all():
        return samples
    (to, wide), (come, theirs) = _spans(samples, own[apart]), _spans(samples, made[apart])
    to, come = (codes.spans(first, np.minimum(wide, theirs)) for first in (to, come))
    position = samples["position"].to_numpy()
    given = missing[to] & ~missing[come] & (position[to] == position[come])
    ids = samples["id"].array.copy()
    ids[to[given]] = ids[come[given]]
    return samples.assign(id=ids)
