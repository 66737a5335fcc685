"""Which stored items a batch's samples came from, as the user's own function says it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import xxhash

from batchaudit.capture.fingerprint import Fingerprint, fingerprint

Key = Callable[[Any], Any]
"""Given a batch, returns one id a sample."""


def sample_ids(key: Key, batch: object) -> np.ndarray:
    """Applies the user's `key` to a batch.

    Args:
        key: returns one id a sample.
        batch: the batch.

    Returns:
        int64 or uint64, shape (samples,): integers as they are, anything else as 64 bits of its digest.
    """
    ids = np.asarray(key(batch))
    if ids.ndim == 1 and ids.dtype.kind in "iu":
        return ids.astype(np.int64 if ids.dtype.kind == "i" else np.uint64)
    return np.array([_id_digest(item) for item in ids], np.uint64)


def one_each(ids: np.ndarray | None, seen: Fingerprint) -> bool:
    """Whether there is an id for each sample of a batch."""
    return ids is not None and seen.samples is not None and len(ids) == len(seen.samples)


def pickles(key: Key | None) -> bool:
    """Whether a key can be sent to another process."""
    try:
        pickle.dumps(key)
    except Exception:
        return False
    return True


def _id_digest(item: object) -> int:
    if isinstance(item, (str, bytes)):
        return xxhash.xxh3_64_intdigest(item.encode() if isinstance(item, str) else item)
    return fingerprint(item).digest_lo
