"""Which worker emitted what, in order: as much of it as a picture can show. Requires pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import codes, seeds
from batchaudit.analysis.tables import UNHASHABLE, Tables

MOST_LANES, MOST_PLACES, MOST_EPOCHS = 64, 360, 6
"""A picture has no more lanes, places beside each other and epochs than these."""

Array = np.ndarray[Any, Any]


def emitted(tables: Tables) -> pd.DataFrame:
    """The batches that the workers made, those in the middle of a long run left out.

    Of more than `MOST_EPOCHS` epochs the first and the last are kept; of an epoch with more steps than there
    is room for, its beginning and its end; of more than `MOST_LANES` workers of an epoch, the first.

    Args:
        tables: the events of one source and strategy.

    Returns:
        A row a produced batch, looks ahead aside. Columns `epoch` (of its delivery; for one that was never
        delivered, that of the batch before it), `local_step` (counts within worker and epoch), `lane` (which
        of the epoch's workers made it), `worker`, `digest` ("" where the batch could not be hashed), `copies`
        (how often the epoch's workers made that batch; 0 where that is not known), `delivered`, and for each
        random stream that moved `rng_<stream>`, its state before the batch ("" where it is not known). Then
        how many there are in all: `epochs`, `steps` (in the epoch's longest lane) and `lanes`.
    """
    made = tables.produced
    rows = np.flatnonzero(~made["probe"].to_numpy() & (made["worker"].to_numpy() >= 0))
    worker, delivered = made["worker"].to_numpy()[rows], made["delivered"].to_numpy()[rows]
    epoch = _placed(made["epoch"].to_numpy()[rows], worker)
    step = codes.count_within(codes.numbered(worker, epoch)[0])
    lane, most = lanes(worker, epoch)
    labels, place = codes.ranked(epoch)
    epochs = len(labels)
    longest = np.zeros(epochs, np.int64)
    np.maximum.at(longest, place, step + 1)
    shown = _shown(place, step, longest) & (lane < MOST_LANES)
    digest = made["digest_hi"].to_numpy(np.uint64)[rows]
    hashed = (made["flags"].to_numpy()[rows] & UNHASHABLE) == 0
    content = codes.numbered(place, digest)[0]
    copies = np.bincount(content)[content] * hashed if len(content) else content
    columns: dict[str, Any] = {
        "epoch": epoch[shown],
        "local_step": step[shown],
        "lane": lane[shown],
        "worker": worker[shown],
        "digest": hexadecimal(digest[shown], hashed[shown]),
        "copies": copies[shown],
        "delivered": delivered[shown],
    }
    for stream in seeds.moved_streams(tables):
        state = made[f"rng_{stream}_before"].to_numpy(np.uint64)[rows[shown]]
        columns[f"rng_{stream}"] = hexadecimal(state, state != 0)
    columns |= {"epochs": epochs, "steps": longest[place[shown]], "lanes": most}
    return pd.DataFrame(columns)


def hexadecimal(values: Array, known: Array) -> list[str]:
    """64-bit numbers as 16 digits each; "" for those that are not known."""
    digits = values.astype(">u8").tobytes().hex()
    return [digits[16 * at : 16 * at + 16] if there else "" for at, there in enumerate(known.tolist())]


def _placed(epoch: Array, worker: Array) -> Array:
    """Gives what was never delivered the epoch of what its worker made before it, or else after it."""
    lost = epoch < 0
    if not lost.any():
        return epoch
    known = pd.Series(epoch, dtype=float).mask(lost).groupby(worker)
    placed: Array = known.ffill().fillna(known.bfill()).fillna(0).to_numpy(np.int64)
    return placed


def lanes(worker: Array, epoch: Array) -> tuple[Array, int]:
    """Which lane each batch stands in, and how many there are.

    A worker keeps its lane. Where each epoch has workers of its own, they take the lanes of those before.
    """
    if not len(worker):
        return worker, 0
    known = int(worker.max()) + 1
    group, count = codes.numbered(epoch, worker)
    one = codes.first_rows(group)
    one = one[np.lexsort((worker[one], epoch[one]))]
    first = codes.starts(epoch[one])
    each = np.diff(first, append=len(one))
    most = int(each.max())
    if known <= most:
        return worker, known
    in_epoch = np.zeros(count, np.int64)
    in_epoch[group[one]] = np.arange(len(one)) - np.repeat(first, each)
    return in_epoch[group], most


def _shown(place: Array, step: Array, longest: Array) -> Array:
    """Which batches there is room for."""
    epochs = len(longest)
    half = MOST_EPOCHS // 2
    chosen = (place < half) | (place >= epochs - half) if epochs > MOST_EPOCHS else np.ones(len(place), bool)
    room = MOST_PLACES // max(1, min(epochs, MOST_EPOCHS))
    at_end = step >= longest[place] - room // 2
    fits: Array = (longest[place] <= room) | (step < room // 2) | at_end
    return chosen & fits
