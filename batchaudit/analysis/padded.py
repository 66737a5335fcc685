"""Which epochs are padded alike, and to a multiple of what. Requires pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchaudit.analysis import padding
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.padding import Padding
from batchaudit.analysis.ranks import Ranks
from batchaudit.analysis.walk import Walk


@dataclass(frozen=True)
class Padded:
    """Epochs that are padded alike.

    Attributes:
        walk: the items.
        by_epoch: the padding of each epoch that has one.
        what: what the number of items was filled up to, in words.
        taker: the column that says who took an item; "" for one taker of all.
        serial: whether it was seen in the serial pass alone.
    """

    walk: Walk
    by_epoch: Mapping[int, Padding]
    what: str
    taker: str = ""
    serial: bool = False


def of_batches(evidence: Evidence, walk: Walk) -> Padded | None:
    """The padding of batches, whoever makes them."""
    rows = walk.rows.assign(all=0)
    batch = padding.batch_size(rows[rows["epoch"] == rows["epoch"].min()], "all")
    takers = {"workers": evidence.workers_configured}
    multiples = _multiples({}, batch) | _multiples(takers, batch) if batch > 1 else {}
    seen = _padded(Walk(walk.by, rows), "all", multiples, _items(evidence, walk))
    return None if seen is None else Padded(walk, seen.by_epoch, seen.what)


def of_workers(evidence: Evidence, walk: Walk) -> Padded | None:
    """The padding of the workers' shares, where each has a share of its own."""
    if evidence.kind == "indexed" or bool((walk.rows["worker"] < 0).any()):
        return None
    made = evidence.tables.delivered["made"].reindex(walk.rows["event"])
    number = evidence.tables.produced["framework_worker"].reindex(made).to_numpy()
    # The framework's own numbers say whose share is the next one.
    taker = walk.rows["worker"].where(number < 0, number)
    rows = walk.rows.assign(taker=taker.to_numpy())
    first = rows[rows["epoch"] == rows["epoch"].min()]
    workers = int(first["taker"].nunique())
    if workers < 2:
        return None
    batch = padding.batch_size(first, "taker")
    multiples = _multiples({"workers": workers}, batch)
    seen = _padded(Walk(walk.by, rows), "taker", multiples, _items(evidence, walk), batch)
    return None if seen is None else Padded(walk, seen.by_epoch, seen.what, "worker")


def of_serial_pass(evidence: Evidence, walk: Walk) -> Padded | None:
    """The padding of the serial pass, where workers gave as many copies in another order."""
    serial = evidence.serial_walk
    if serial is None or serial.by != walk.by or serial.rows is walk.rows:
        return None
    seen = of_batches(evidence, serial)
    if seen is None or runs_through(seen):
        return None
    alike = {
        epoch: found
        for epoch, found in seen.by_epoch.items()
        if padding.copies(walk.rows[walk.rows["epoch"] == epoch]) == found.copies
    }
    return Padded(serial, alike, seen.what, serial=True) if alike else None


def of_ranks(ranks: Ranks, walk: Walk) -> Padded | None:
    """The padding of the ranks' shares.

    Args:
        ranks: one source in several ranks.
        walk: the items of all of them.
    """
    batch = padding.batch_size(walk.rows[walk.rows["epoch"] == walk.rows["epoch"].min()], "rank")
    multiples = _multiples({"ranks": len(ranks.of)}, batch)
    return _padded(walk, "rank", multiples, _items(ranks.of[min(ranks.of)], walk))


def _padded(
    walk: Walk, taker: str, multiples: Mapping[int, str], items: int | None, batch: int = 0
) -> Padded | None:
    """The padding of all epochs that are as long as the longest; None where one of them has none."""
    if not multiples and not batch:
        return None
    sizes = walk.rows.groupby("epoch").size()
    by_epoch = {}
    for epoch, rows in walk.rows.groupby("epoch", sort=True):
        found_here = padding.padding(rows, taker, multiples, batch=batch, items=items, last=walk.by == "id")
        if found_here is not None:
            by_epoch[int(epoch)] = found_here
        elif sizes[epoch] == sizes.max():  # one that was cut short does not come to its end
            return None
    if not by_epoch:
        return None
    one = next(iter(by_epoch.values()))
    own = one.filled == padding.OWN and one.multiple == batch
    what = f"the batch size {batch} in each share" if own else multiples[one.multiple]
    return Padded(walk, by_epoch, what)


def runs_through(seen: Padded) -> bool:
    """Whether each padded epoch is followed by one that goes on where its copies end."""
    epochs = {int(epoch): rows for epoch, rows in seen.walk.rows.groupby("epoch")}
    followed = [
        padding.goes_on(epochs[epoch], epochs[epoch + 1], one)
        for epoch, one in seen.by_epoch.items()
        if epoch + 1 in epochs
    ]
    return bool(followed) and all(followed)


def _items(evidence: Evidence, walk: Walk) -> int | None:
    """How many items the source says it has, where equal contents may hide some."""
    return evidence.items if walk.by == "content" else None


def _multiples(takers: Mapping[str, int], batch: int) -> dict[int, str]:
    """What a number of items may have been filled up to a multiple of, the likeliest first."""
    found = {count: f"{count} {who}" for who, count in takers.items() if count > 1}
    if batch > 1:
        found.setdefault(batch, f"the batch size {batch}")
        for who, count in takers.items():
            if count > 1:
                found.setdefault(count * batch, f"{count} {who} x batch size {batch}")
    return found
