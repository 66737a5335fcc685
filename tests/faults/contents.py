"""What a maker's record number n holds, drawn from a seed, and what stands of it in a log that is read back.

The workers make it and the judge makes it again: nothing of it need survive the workers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from batchaudit.capture.fingerprint import fingerprint
from batchaudit.journal.layout import STREAMS, Event, Stage

# Records that span many pages, which a kill may tear; most are small, as most are in a training.
_LARGE = 24_000
_SHARE_OF_LARGE = 0.04

FIELDS = ("flags", "thread", "epoch", "step", "index", "digest_hi", "digest_lo", "nbytes", "began_ns", "ended_ns",
          "framework_worker", "framework_seed", "text")  # fmt: skip
Written = tuple[Any, ...]
"""A record by value: two records are equal where these are."""


def event(seed: int, maker: int, number: int) -> Event:
    """An event with something in every field: `framework_worker` is the maker, `step` the number."""
    drawn = random.Random(f"{seed} {maker} {number}")
    size = _LARGE if drawn.random() < _SHARE_OF_LARGE else drawn.randrange(40)
    samples = np.arange(size, dtype=np.uint64) * np.uint64(drawn.getrandbits(63) | 1)
    return Event(
        drawn.choice((Stage.PRODUCED, Stage.HOOK, Stage.RAISED)),
        drawn.randrange(64),
        drawn.getrandbits(63),
        drawn.randrange(-1, 2**40),
        number,
        drawn.randrange(-1, 2**63),
        0,
        drawn.getrandbits(64),
        drawn.getrandbits(64),
        drawn.getrandbits(63),
        drawn.randrange(2**63),
        drawn.randrange(2**63),
        tuple(drawn.getrandbits(64) for _ in STREAMS),
        tuple(drawn.getrandbits(64) for _ in STREAMS),
        maker,
        drawn.getrandbits(64),
        samples,
        None if drawn.random() < 0.5 else samples.astype(np.int64) - drawn.randrange(1000),
        drawn.choice(("", "on_epoch_end", "ValueError: ", "ß\n\0" * drawn.randrange(200))),
    )


def of_event(event: Event) -> Written:
    """An event by value."""
    fields = tuple(getattr(event, name) for name in FIELDS)
    ids = b"" if event.ids is None else event.ids.tobytes()
    samples = b"" if event.samples is None else event.samples.tobytes()
    return (Stage(event.stage).name.lower(), fields, event.streams_before, event.streams_after, samples, ids)


def batch(seed: int, maker: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch that no other maker and no other number has; now and then of so many samples that a kill may tear it."""
    drawn = random.Random(f"{seed} {maker} {number}")
    size = _LARGE // 4 if drawn.random() < _SHARE_OF_LARGE else drawn.randrange(1, 20)
    rows = np.arange(size, dtype=np.int64) + drawn.getrandbits(60)
    return rows, np.full((size, 2), [maker, number])


def of_batch(seed: int, maker: int, number: int, pid: int) -> Written:
    """What the log says of a batch that was made in a process."""
    seen = fingerprint(batch(seed, maker, number))
    assert seen.samples is not None
    return (pid, seen.digest_hi, seen.digest_lo, seen.nbytes, seen.samples.tobytes())


_current = [0, 0]  # which maker this process is, and which record it makes: a generator is asked for no index


def now_makes(maker: int, number: int) -> None:
    """The next batch of `stream` in this process is this one."""
    _current[:] = maker, number


def stream(seed: int) -> Iterator[Any]:
    """A generator whose batches are the current maker's."""
    for _ in count():
        yield batch(seed, *_current)


class Rows:
    """A source that can be sent to another process: row `maker * STRIDE + number` is that maker's batch."""

    STRIDE = 1 << 32

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __len__(self) -> int:
        return 1 << 62

    def __getitem__(self, index: int) -> Any:
        return batch(self._seed, *divmod(index, self.STRIDE))


def of_log(log: Any) -> Iterator[tuple[Any, Written]]:
    """The rows of a log, each with what stands in it by value, as `of_event` says it."""
    samples = log.samples
    digests = samples["digest"].fillna(0).to_numpy(np.uint64)
    ids = samples["id"].to_numpy(np.int64, na_value=0)
    without = samples["id"].isna().to_numpy()
    owners = samples["event"].to_numpy()
    ends = np.searchsorted(owners, np.arange(len(log.events)), side="right")
    begin = 0
    for row, end in zip(log.events.itertuples(), ends.tolist(), strict=True):
        own, begin = slice(begin, end), end
        fields = tuple(getattr(row, name) for name in FIELDS)
        before, after = (
            tuple(getattr(row, f"rng_{s}_{when}") for s in STREAMS) for when in ("before", "after")
        )
        its = b"" if without[own].all() else ids[own].tobytes()
        yield row, (row.stage, fields, before, after, digests[own].tobytes(), its)
