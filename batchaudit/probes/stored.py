"""`stored`: does making an item write into what the source has stored, so that the next access finds it so?

In a process that is thrown away, an item is made, and the arrays, lists and dicts that the source refers to
are compared with what they were. Where they are written, further processes, forked from one state, make the
item again: two as things are, one after what was written has been put back. Streams, counters and everything
else are the same in all of them. What is left is the cause: if the item's content and what is written now
depend on what had been written before, the stored data drifts. A cache, an output buffer, a running figure
and a shuffle of the stored items do not pass this test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from batchaudit import sources
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.probes.forked import can_fork, in_fork, tell
from batchaudit.probes.stock import Stock
from batchaudit.probes.stores import Place, Rows, Store, digest, numbers_in
from batchaudit.probes.subject import Subject
from batchaudit.sources.kinds import Kind
from batchaudit.sources.torch_loader import has_indices, is_loader
from batchaudit.strategies import Job, Strategy

NAME = "stored"
EPOCHS = 1
UNTOUCHED, ONCE, INDEPENDENT, UNCLEAR, DRIFTS = "untouched", "once", "independent", "unclear", "drifts"
"""Nothing is written; it is written once, as a cache is; what is written does not matter; nor can it be told,
since no two accesses from one state agree; it does matter."""

_ROUNDS = 4  # accesses to one item: a flip of one in two may leave it as it is
_MOST_STEPS = 500
_MOST_SECONDS = 5.0  # for which an iterator is followed until it comes back to an item

Written = list[tuple[Store, Place]]


def wanted(subject: Subject, strategy: Strategy) -> bool:
    """Where the content changes from epoch to epoch; once a source."""
    return (
        subject.kind is not Kind.DATASET
        and (subject.drawn is not False or subject.epochs == 1)
        and can_fork()
    )


def drive(job: Job, strategy: Strategy) -> None:
    """Looks for what is written, and logs the outcome as a hook."""
    source = job.plain()
    tell(job, NAME, lambda seconds: _outcome(source, job.plain, seconds))


# -- in the process that is thrown away -------------------------------------------------------------


def _outcome(source: Any, renew: Callable[[], Any], seconds: float) -> dict[str, Any]:
    ask = _Asker(source, renew)
    if not ask.by_index:
        ask(0)  # what a generator function has made for itself is there from its first batch on
    stock = Stock(source, *ask.held())
    written: Written = []
    for _ in range(_ROUNDS):
        batch = ask(0)
        written = _of_samples(_changed(stock.stores), batch)
        if written:
            break
    known = {"looked_at": len(stock.stores), "bytes": stock.nbytes, "whole": stock.whole}
    if not written:
        return {**known, "outcome": UNTOUCHED}
    first = [store.kept(place) for store, place in written]
    _keep(written)
    ask(1)
    after_another = _changed([store for store, _ in written])
    of_item = [n for n, it in enumerate(written) if it not in after_another]
    if not of_item:  # a buffer, or a figure that runs along
        return {**known, "outcome": INDEPENDENT}
    written, first = [written[n] for n in of_item], [first[n] for n in of_item]
    store, place = written[0]
    said = {**known, "where": store.name, "place": store.says(place), "places": len(written)}
    for _ in range(_ROUNDS):
        steps = 1 if ask.by_index else in_fork(lambda: _until_written(ask, written), seconds / 3)
        if not steps:
            return {**said, "outcome": ONCE}
        for _ in range(steps - 1):
            ask(0)
        outcome = _compared(ask, written, first, seconds / 6)
        if outcome is not None:
            return {**said, "outcome": outcome, "steps_between": steps}
        _keep(written)
        ask(0)
    return {**said, "outcome": ONCE}


class _Asker:
    """Asks a source for an item of a number, or for the next one where it has no numbers."""

    def __init__(self, source: Any, renew: Callable[[], Any]) -> None:
        self._source = source
        self._renew = renew
        self._batches: Iterator[Any] | None = None
        loader = is_loader(source)
        self.by_index = has_indices(source) if loader else sources.kind_of(source) is Kind.INDEXED
        self._fetch = _fetcher(source) if loader and self.by_index else lambda item: source[item]
        if loader and not self.by_index:
            self._source = _alone(source)

    def __call__(self, item: int) -> Any:
        if self.by_index:
            return self._fetch(item)
        if self._batches is None:
            self._batches = iter(self._source)
        try:
            return next(self._batches)
        except StopIteration:
            if sources.kind_of(self._source) is Kind.ITERATOR:
                self._source = self._renew()
            self._batches = iter(self._source)
            return next(self._batches)

    def held(self) -> tuple[Any, ...]:
        """What the iteration holds."""
        return (self._batches,)


def _fetcher(loader: Any) -> Callable[[int], Any]:
    """Makes a batch of one item as the loader would."""
    if loader.batch_sampler is None:
        return lambda item: loader.collate_fn(loader.dataset[item])
    dataset = loader.dataset
    many = getattr(dataset, "__getitems__", None)
    return lambda item: loader.collate_fn(many([item]) if many else [dataset[item]])


def _alone(loader: Any) -> Any:
    from batchaudit.strategies.torch import built

    settings = {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
    return built(loader, settings)


def _changed(stores: list[Store]) -> Written:
    return [(store, place) for store in dict.fromkeys(stores) for place in store.changed()]


def _keep(written: Written) -> None:
    for store in dict.fromkeys(store for store, _ in written):
        store.keep()


def _of_samples(written: Written, batch: Any) -> Written:
    """What is as big as a sample, or as one of its parts: counters, seeds and statistics are not."""
    samples = fingerprint(batch, strict=False).samples
    count = 1 if samples is None else max(1, len(samples))
    sizes = {max(1, size // count) for size in _sizes(batch)} or {1}
    return [it for it in written if _is_sample(*it, sizes, batch, written)]


def _is_sample(store: Store, place: Place, sizes: set[int], batch: Any, written: Written) -> bool:
    size, largest = store.size(place), max(sizes)
    if isinstance(store, Rows) and size < largest:
        # An array that is one sample, and most of which was written.
        count = sum(other is store for other, _ in written)
        if largest // 4 <= store.elements <= 4 * largest and count > store.length // 4:
            return True
    if size == 1:  # a number of the data, or a counter: one of the data is in the batch
        return 1 in sizes and largest == 1 and _number(store.content(place)) in _numbers(batch)
    return 4 * size >= largest or size in sizes


def _sizes(batch: Any) -> list[int]:
    """How many numbers or characters each part of a batch has."""
    parts = list(batch.values()) if isinstance(batch, dict) else batch
    if isinstance(parts, (list, tuple)) and any(hasattr(part, "shape") for part in parts):
        return [size for part in parts for size in _sizes(part)]
    return [numbers_in(batch)]


def _numbers(batch: Any) -> set[Any]:
    if isinstance(batch, (list, tuple, dict)):
        parts = batch.values() if isinstance(batch, dict) else batch
        return {found for part in parts for found in _numbers(part)}
    try:
        return set(batch.reshape(-1)[:4096].tolist())
    except Exception:  # no array of numbers
        return {_number(batch)}


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else repr(value)


def _until_written(ask: _Asker, written: Written) -> int:
    """After how many further batches one of these places is written again; 0 for never."""
    until = time.monotonic() + _MOST_SECONDS
    stores = [store for store, _ in written]
    for step in range(1, _MOST_STEPS + 1):
        ask(0)
        if any(it in written for it in _changed(stores)):
            return step
        if time.monotonic() > until:
            break
    return 0


def _compared(ask: _Asker, written: Written, first: list[Any], seconds: float) -> str | None:
    """Makes the item with and without what was written before; None where it is not written this time."""
    now = [store.content(place) for store, place in written]

    def made() -> tuple[bool, Any, list[Any]]:
        batch = ask(0)
        seen = fingerprint(batch, strict=False)
        after = [digest(store.content(place)) for store, place in written]
        is_written = any(it in written for it in _changed([store for store, _ in written]))
        return is_written, (seen.digest_hi, seen.digest_lo), after

    is_written, *as_is = in_fork(made, seconds)
    _put(written, now)  # memory that processes share has it by now
    if not is_written:
        return None
    _, *once_more = in_fork(made, seconds)
    _put(written, first)
    _, content, after = in_fork(made, seconds)
    _put(written, now)
    if as_is != once_more:
        return UNCLEAR
    return DRIFTS if content != as_is[0] and after != as_is[1] else INDEPENDENT


def _put(written: Written, contents: list[Any]) -> None:
    for (store, place), content in zip(written, contents, strict=True):
        store.put(place, content)
