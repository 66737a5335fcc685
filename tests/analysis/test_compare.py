"""What the comparison of two streams says, on streams whose differences are known because they were made."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.analysis import sequences
from batchaudit.analysis.compare import Stream, compare, streams
from batchaudit.analysis.sequences import Sequence
from batchaudit.analysis.tables import UNHASHABLE
from tests.analysis.build import Batch, table

EPOCHS = st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=4).filter(lambda epochs: any(epochs))
"""Small numbers, so that streams repeat batches."""
DIFFERENT = st.lists(st.integers(0, 99), unique=True, min_size=1, max_size=12)


def stream(epochs, flags=0) -> Stream:
    """A stream of batches of one sample each, or of those that are given as tuples of samples."""
    rows = [(epoch, step, content) for epoch, its in enumerate(epochs) for step, content in enumerate(its)]
    samples = [content if isinstance(content, tuple) else (content,) for _, _, content in rows]
    digests = np.array([_digest(content) for _, _, content in rows], np.uint64)
    batches = pd.DataFrame(
        {
            "attempt": 0,
            "epoch": [epoch for epoch, _, _ in rows],
            "step": [step for _, step, _ in rows],
            "index": -1,
            "digest_hi": digests,
            "digest_lo": digests,
            "samples": [len(its) for its in samples],
            "flags": flags,
        }
    )
    flat = [(batch, digest, pd.NA) for batch, its in enumerate(samples) for digest in its]
    frame = pd.DataFrame(flat, columns=["batch", "digest", "id"])
    return Stream(batches, frame.astype({"digest": np.uint64, "id": "Int64"}))


def _digest(content):
    return content if isinstance(content, int) else hash(content) % 2**63


def rebatched(samples, size):
    return [tuple(samples[at : at + size]) for at in range(0, len(samples), size)]


@given(EPOCHS)
def test_a_stream_is_the_same_as_itself(epochs):
    found = compare(stream(epochs), stream(epochs))
    assert found.batches.same is True and found.samples.same is True
    assert found.first is None
    many = sum(map(len, epochs))
    counts = {"a": many, "b": many, "equal": many, "moved": 0, "missing": 0, "extra": 0, "unknown": 0}
    assert found.batches.counts == counts


@given(DIFFERENT, st.randoms(use_true_random=False))
def test_a_permutation_moves_what_it_displaces_and_loses_nothing(contents, random):
    permuted = random.sample(contents, len(contents))
    displaced = sum(a != b for a, b in zip(contents, permuted, strict=True))
    found = compare(stream([contents]), stream([permuted]))
    assert found.batches.counts["moved"] == displaced
    assert found.batches.counts["missing"] == found.batches.counts["extra"] == 0
    assert found.batches.same is (displaced == 0)
    assert displaced == 0 or found.first.kind == "order"


@given(DIFFERENT, st.data())
def test_what_is_removed_is_missing(contents, data):
    kept = [content for content in contents if data.draw(st.booleans())] or contents[:1]
    found = compare(stream([contents]), stream([kept])).batches
    assert (found.counts["missing"], found.counts["extra"]) == (len(contents) - len(kept), 0)
    assert found.counts["equal"] + found.counts["moved"] == len(kept)


@given(EPOCHS, EPOCHS)
def test_missing_one_way_is_extra_the_other_way(left, right):
    one, other = compare(stream(left), stream(right)), compare(stream(right), stream(left))
    for a, b in ((one.batches, other.batches), (one.samples, other.samples)):
        assert (a.counts["missing"], a.counts["extra"]) == (b.counts["extra"], b.counts["missing"])
        assert (a.counts["equal"], a.counts["moved"]) == (b.counts["equal"], b.counts["moved"])
        assert a.same == b.same


@given(EPOCHS, EPOCHS)
def test_the_counts_are_those_of_multisets(left, right):
    found = compare(stream(left), stream(right)).batches
    a, b = (Counter(content for epoch in side for content in epoch) for side in (left, right))
    assert found.counts["missing"] == (a - b).total()
    assert found.counts["extra"] == (b - a).total()
    assert found.counts["equal"] + found.counts["moved"] == (a & b).total()
    assert (found.epochs[["a", "b", "equal"]].sum() == [found.counts[n] for n in ("a", "b", "equal")]).all()
    flat = [[content for epoch in side for content in epoch] for side in (left, right)]
    assert found.same is (flat[0] == flat[1])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=24), st.integers(1, 5), st.integers(1, 5))
def test_other_batches_of_the_same_samples(samples, size, other):
    found = compare(stream([rebatched(samples, size)]), stream([rebatched(samples, other)]))
    assert found.samples.same is True
    assert found.samples.counts["equal"] == len(samples)
    alike = rebatched(samples, size) == rebatched(samples, other)
    assert found.batches.same is alike is found.sizes_alike
    assert alike or found.first.kind == "cut"


@given(EPOCHS)
def test_where_the_epochs_are_cut_is_not_what_the_stream_is(epochs):
    flat = [content for epoch in epochs for content in epoch]
    found = compare(stream(epochs), stream([flat])).batches
    assert found.same is True
    assert found.counts["equal"] == len(flat) == found.epochs["equal"].sum()


def test_attempts_are_one_stream():
    first, rest = table([Batch(1, n, 0) for n in range(3)]), table([Batch(1, n, 0) for n in range(3, 6)])
    both = streams({1: rest, 0: first})[0]
    assert both.batches["digest_lo"].tolist() == [0, 1, 2, 3, 4, 5]
    assert both.batches["epoch"].tolist() == [0, 0, 0, 1, 1, 1]
    assert both.batches["attempt"].tolist() == [0, 0, 0, 1, 1, 1]
    whole = table([Batch(1, n, n // 3) for n in range(6)])
    assert compare(streams({0: whole})[0], both).batches.same is True


def test_ranks_are_streams_of_their_own():
    found = table([Batch(1, n) for n in range(4)])
    for frame in (found.delivered, found.produced):
        frame["rank"] = frame["digest_lo"].astype(int) % 2
    by_rank = streams({0: found})
    assert {rank: part.batches["digest_lo"].tolist() for rank, part in by_rank.items()} == {
        0: [0, 2],
        1: [1, 3],
    }


def test_what_cannot_be_hashed_is_never_the_same():
    found = compare(stream([[1, 2]], flags=UNHASHABLE), stream([[1, 2]]))
    assert found.batches.same is None
    assert found.samples is None
    assert (found.batches.counts["unknown"], found.batches.counts["equal"]) == (2, 0)
    assert found.batches.counts["missing"] == found.batches.counts["extra"] == 0


@pytest.mark.parametrize(
    ("known_a", "codes_b", "same"),
    [
        ([1, 0, 1], [5, 6, 7], None),
        ([1, 1, 1], [5, 6, 7], True),
        ([1, 0, 1], [5, 6, 8], False),
        ([1, 0, 1], [5, 6], False),
    ],
)
def test_a_difference_beside_what_is_not_known_is_one(known_a, codes_b, same):
    a = Sequence(np.zeros(3, int), np.array([5, 6, 7]), np.array(known_a, bool))
    b = Sequence(np.zeros(len(codes_b), int), np.array(codes_b), np.ones(len(codes_b), bool))
    assert sequences.compare(a, b).same is same


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ([(1, 2), (3, 4)], [(1, 2)], "ended"),
        ([(1, 2), (3, 4)], [(2, 1), (3, 4)], "order within"),
        ([(1, 2), (3, 4)], [(3, 4), (1, 2)], "order"),
        ([(1, 2), (3, 4)], [(1, 2, 3), (4,)], "cut"),
        ([(1, 2), (3, 4)], [(3, 4), (5, 6)], "missing"),
        ([(3, 4), (5, 6)], [(1, 2), (3, 4)], "extra"),
        ([(1, 2)], [(5, 6)], "content"),
    ],
)
def test_how_the_first_batches_differ(a, b, kind):
    assert compare(stream([a]), stream([b])).first.kind == kind


def test_the_same_items_with_other_content():
    left = streams({0: table([Batch(1, 1, samples=(10, 11), ids=(0, 1))])})[0]
    right = streams({0: table([Batch(1, 2, samples=(20, 21), ids=(0, 1))])})[0]
    found = compare(left, right)
    assert found.first.kind == "redrawn"
    assert found.first.a["ids"] == [0, 1]
    assert found.ids.same is True and found.samples.same is False


def test_the_same_samples_in_another_structure():
    left = streams({0: table([Batch(1, 1, samples=(10, 11))])})[0]
    right = streams({0: table([Batch(1, 2, samples=(10, 11))])})[0]
    found = compare(left, right)
    assert (found.first.kind, found.samples.same, found.batches.same) == ("structure", True, False)


def test_a_digest_is_told_whole():
    big = 2**64 - 1
    found = compare(stream([[big]]), stream([[big - 1]]))
    assert found.first.a["digest"] == "f" * 32
    assert found.first.b["digest"] == "fffffffffffffffe" * 2


def test_batches_that_share_half_a_digest_differ():
    left, right = stream([[1, 2]]), stream([[1, 2]])
    right.batches.loc[1, "digest_hi"] = np.uint64(1)
    assert compare(left, right).batches.counts["equal"] == 1
