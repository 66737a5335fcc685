"""The digests of a batch and of its samples, against reading its memory, joblib.hash and md5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from batchaudit.capture.fingerprint import fingerprint
from benchmarks.lines import Line, Target, compared, not_measured
from benchmarks.measure import Effort, in_turns, missing

READ = "summing the same memory as uint64"


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    large = np.random.default_rng(0).random((32, 224, 224, 3), np.float32)
    yield _beside_reading(large, effort)
    yield _beside_joblib(large, effort)
    yield _beside_md5(large, effort)
    yield _tiny_rows(effort)
    yield from _others(large, effort)


def read(array: np.ndarray[Any, Any]) -> int:
    """Reads the memory of a contiguous array once, as fast as NumPy can.

    Args:
        array: of a multiple of 8 bytes.
    """
    return int(array.reshape(-1).view(np.uint64).sum())


def _beside_reading(large: np.ndarray[Any, Any], effort: Effort) -> Line:
    ours, baseline = in_turns(
        lambda: fingerprint(large), lambda: read(large), rounds=effort.rounds(41), repeats=5
    )
    return compared(
        "32x224x224x3 float32, with digests of the samples",
        ours,
        baseline,
        unit="ms",
        against=READ,
        target=Target(1.15),
    )


def _beside_joblib(large: np.ndarray[Any, Any], effort: Effort) -> Line:
    what, target = "32x224x224x3 float32", Target(1 / 30, words="30 x faster")
    absent = missing("joblib")
    if absent:
        return not_measured(what, absent, target)
    import joblib

    ours, baseline = in_turns(lambda: fingerprint(large), lambda: joblib.hash(large), rounds=effort.rounds(9))
    return compared(what, ours, baseline, unit="ms", against="joblib.hash", target=target)


def _beside_md5(large: np.ndarray[Any, Any], effort: Effort) -> Line:
    ours, baseline = in_turns(
        lambda: fingerprint(large), lambda: hashlib.md5(large.tobytes()).digest(), rounds=effort.rounds(9)
    )
    return compared("32x224x224x3 float32", ours, baseline, unit="ms", against="md5(batch.tobytes())")


def _tiny_rows(effort: Effort) -> Line:
    rows = np.random.default_rng(0).random((8192, 10), np.float32)

    def md5_of_each() -> list[bytes]:
        return [hashlib.md5(row.tobytes()).digest() for row in rows]

    ours, baseline = in_turns(lambda: fingerprint(rows), md5_of_each, rounds=effort.rounds(21), repeats=3)
    return compared(
        "8192x10 float32, with digests of the samples",
        ours,
        baseline,
        unit="ns a row",
        per=len(rows),
        against="md5(row.tobytes())",
        target=Target(60, "ours"),
    )


def _others(large: np.ndarray[Any, Any], effort: Effort) -> Iterator[Line]:
    """What is not contiguous memory of numbers: no target, but no secret either."""
    turned = large.transpose(0, 3, 1, 2)
    flipped = large[:, :, ::-1]
    words = np.array([f"a sentence, number {number}" for number in range(1024)])
    objects = np.array([{"id": number, "text": f"number {number}"} for number in range(1024)], object)
    texts = [str(word) for word in words]

    def md5_of_texts() -> list[bytes]:
        return [hashlib.md5(text.encode()).digest() for text in texts]

    batches: tuple[tuple[str, Any, Any], ...] = (
        ("32x3x224x224 float32, a transposed view", turned, lambda: hashlib.md5(turned.tobytes()).digest()),
        ("32x224x224x3 float32, a flipped view", flipped, lambda: hashlib.md5(flipped.tobytes()).digest()),
        ("1024 strings of NumPy", words, lambda: hashlib.md5(words.tobytes()).digest()),
        ("1024 strings in a list", texts, md5_of_texts),
        ("1024 dictionaries", objects, lambda: hashlib.md5(repr(objects.tolist()).encode()).digest()),
    )
    for what, batch, md5 in batches:
        ours, baseline = in_turns(partial(fingerprint, batch), md5, rounds=effort.rounds(7))
        yield compared(what, ours, baseline, unit="ms", against="md5 of its bytes")
