"""Are two delivered streams the same? Tables in, likeness out. Requires pandas.

Streams are compared in two grains: batches, by their 128-bit digests, and samples, by 64 bits each, with
their ids where both sides have them. Batches may differ where samples do not: another batch size, another
framework's structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import sequences
from batchaudit.analysis.sequences import Likeness, Sequence
from batchaudit.analysis.tables import NO_SAMPLES, UNHASHABLE, Tables, in_order

_SHOWN = 8
"""How many ids of a batch are named."""

KINDS = {
    "ended": "one stream has no batch there",
    "structure": "the same samples in the same order, in a batch of another structure",
    "cut": "the same samples at the head, in a batch of another size",
    "order within": "the same samples in another order within the batch",
    "order": "both batches are in both streams, at other places",
    "missing": "the batch of A is not in B, that of B comes elsewhere in A",
    "extra": "the batch of B is not in A, that of A comes elsewhere in B",
    "redrawn": "the same stored items, by their ids, with other content",
    "content": "neither batch is in the other stream",
}
"""How the first batches that differ do so."""


@dataclass(frozen=True)
class Stream:
    """What one consumer was handed, in its order.

    Attributes:
        batches: a row a batch, labelled from 0: `attempt`, `epoch` (counted on over the attempts), `step`,
            `index` (-1: not known), `digest_hi`, `digest_lo`, `samples` (how many), `flags`.
        samples: a row a sample: `batch` (the label of its batch), `digest`, `id`.
    """

    batches: pd.DataFrame
    samples: pd.DataFrame


@dataclass(frozen=True)
class Difference:
    """The first place where two streams of batches differ.

    Attributes:
        kind: one of `KINDS`.
        a: the batch of A there: attempt, epoch, step, digest and, where known, index, samples and ids; None
            where A has none.
        b: the same of B.
    """

    kind: str
    a: dict[str, Any] | None
    b: dict[str, Any] | None


@dataclass(frozen=True)
class Compared:
    """How alike two streams are.

    Attributes:
        batches: batch by batch.
        samples: sample by sample; None where a stream has batches without digests of samples.
        ids: id by id; None where not every sample of both has one.
        sizes_alike: whether the batches are of equal sizes, one by one.
        first: the first batches that differ; None where none do.
    """

    batches: Likeness
    samples: Likeness | None
    ids: Likeness | None
    sizes_alike: bool
    first: Difference | None


def streams(attempts: Mapping[int, Tables]) -> dict[int, Stream]:
    """Puts the attempts of a source one after the other, for each rank.

    Args:
        attempts: the tables of one source under one strategy, by attempt.

    Returns:
        The stream of each rank that was delivered anything.
    """
    parts: dict[int, list[Stream]] = {}
    for attempt in sorted(attempts):
        batches = _batches(attempts[attempt]).assign(attempt=attempt)
        for rank, rows in batches.groupby("rank", sort=True):
            parts.setdefault(int(rank), []).append(_part(rows, attempts[attempt].samples))
    return {rank: _joined(parts[rank]) for rank in sorted(parts)}


def _batches(tables: Tables) -> pd.DataFrame:
    delivered = tables.delivered
    made = tables.produced["index"].reindex(delivered["made"].to_numpy())
    columns = ["rank", "epoch", "step", "digest_hi", "digest_lo", "samples", "flags"]
    return delivered[columns].assign(index=made.fillna(-1).astype(np.int64).to_numpy())


def _part(batches: pd.DataFrame, samples: pd.DataFrame) -> Stream:
    """One attempt of one rank: its batches labelled anew, its samples in their order."""
    ours, place = in_order(samples, batches)
    return Stream(
        batches.drop(columns="rank").assign(epoch=batches["epoch"].clip(lower=0)).reset_index(drop=True),
        ours.assign(batch=place)[["batch", "digest", "id"]],
    )


def _joined(parts: list[Stream]) -> Stream:
    """Attempts one after the other, their epochs and batches counted on."""
    batches: list[pd.DataFrame] = []
    samples: list[pd.DataFrame] = []
    epochs = rows = 0
    for part in parts:
        batches.append(part.batches.assign(epoch=part.batches["epoch"] + epochs))
        samples.append(part.samples.assign(batch=part.samples["batch"] + rows))
        epochs, rows = int(batches[-1]["epoch"].iloc[-1]) + 1, rows + len(part.batches)
    # An empty frame has no types of its own, and would only spoil those of the others.
    filled = [part for part in samples if len(part)] or samples[:1]
    return Stream(pd.concat(batches, ignore_index=True), pd.concat(filled, ignore_index=True))


def compare(a: Stream, b: Stream) -> Compared:
    """Compares two streams.

    Args:
        a: the one that the other is measured against.
        b: the other.

    Returns:
        How alike they are.
    """
    coded = sequences.codes(_digests(a), _digests(b))
    batches = sequences.compare(*(_sequence(s, code) for s, code in zip((a, b), coded, strict=True)))
    samples = _samples(a, b, "digest") if _sampled(a) and _sampled(b) else None
    ids = _samples(a, b, "id") if _has_ids(a) and _has_ids(b) else None
    sizes_alike = np.array_equal(a.batches["samples"], b.batches["samples"])
    first = None if batches.first is None else _difference(a, b, batches.first, coded)
    return Compared(batches, samples, ids, sizes_alike, first)


def _digests(stream: Stream) -> list[pd.Series]:
    return [stream.batches["digest_hi"], stream.batches["digest_lo"]]


def _sequence(stream: Stream, code: np.ndarray[Any, Any]) -> Sequence:
    known = (stream.batches["flags"].to_numpy() & UNHASHABLE) == 0
    return Sequence(stream.batches["epoch"].to_numpy(), code, known)


def _samples(a: Stream, b: Stream, column: str) -> Likeness:
    coded = sequences.codes([a.samples[column]], [b.samples[column]])
    return sequences.compare(
        *(
            Sequence(
                stream.batches["epoch"].to_numpy()[stream.samples["batch"].to_numpy()],
                code,
                np.ones(len(code), bool),
            )
            for stream, code in zip((a, b), coded, strict=True)
        )
    )


def _sampled(stream: Stream) -> bool:
    """Whether every sample of every batch has a digest."""
    lacking = (stream.batches["flags"] & (NO_SAMPLES | UNHASHABLE)) > 0
    return not lacking.any() and not stream.samples["digest"].isna().any()


def _has_ids(stream: Stream) -> bool:
    ids = stream.samples["id"]
    return len(ids) > 0 and not ids.isna().any()


def _difference(a: Stream, b: Stream, rows: tuple[int, int], coded: tuple[Any, Any]) -> Difference:
    told = [_told(stream, row) for stream, row in zip((a, b), rows, strict=True)]
    return Difference(_kind(a, b, rows, coded), told[0], told[1])


def _kind(a: Stream, b: Stream, rows: tuple[int, int], coded: tuple[Any, Any]) -> str:
    if min(rows) < 0:
        return "ended"
    ours, theirs = _of(a, rows[0]), _of(b, rows[1])
    shorter = min(len(ours), len(theirs))
    if shorter and not ours["digest"].isna().any() and not theirs["digest"].isna().any():
        left, right = ours["digest"].to_numpy(np.uint64), theirs["digest"].to_numpy(np.uint64)
        if np.array_equal(left, right):
            return "structure"
        if len(left) != len(right) and np.array_equal(left[:shorter], right[:shorter]):
            return "cut"
        if np.array_equal(np.sort(left), np.sort(right)):
            return "order within"
    in_b, in_a = bool((coded[1] == coded[0][rows[0]]).any()), bool((coded[0] == coded[1][rows[1]]).any())
    if in_a or in_b:
        return "order" if in_a and in_b else "extra" if in_b else "missing"
    ids = [list(part["id"]) for part in (ours, theirs) if len(part) and not part["id"].isna().any()]
    return "redrawn" if len(ids) == 2 and ids[0] == ids[1] else "content"


def _told(stream: Stream, row: int) -> dict[str, Any] | None:
    if row < 0:
        return None
    # Column by column: a row of pandas has one type for all of its values, which rounds digests.
    batch = {name: int(stream.batches[name].iloc[row]) for name in stream.batches}
    samples = _of(stream, row)
    known = len(samples) > 0 and not samples["id"].isna().any()
    return {
        "attempt": batch["attempt"],
        "epoch": batch["epoch"],
        "step": batch["step"],
        "digest": f"{batch['digest_hi']:016x}{batch['digest_lo']:016x}",
        "index": batch["index"] if batch["index"] >= 0 else None,
        "samples": batch["samples"],
        "ids": [int(value) for value in samples["id"].iloc[:_SHOWN]] if known else None,
    }


def _of(stream: Stream, row: int) -> pd.DataFrame:
    """The samples of one batch; they lie in the order of the batches."""
    begin, end = np.searchsorted(stream.samples["batch"].to_numpy(), [row, row + 1])
    return stream.samples.iloc[begin:end]
