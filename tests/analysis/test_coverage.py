from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.analysis.baseline import Baseline
from batchaudit.analysis.coverage import COLUMNS, MOST_PIECES, coverage
from batchaudit.analysis.walk import Walk, walk
from tests.analysis.build import Batch, table


def seen(*epochs, by="id"):
    """A walk over the items of each epoch."""
    rows = [
        {
            "event": 0,
            "epoch": epoch,
            "rank": 0,
            "worker": 0,
            "step": 0,
            "position": at,
            "item": item,
            "digest": item,
        }
        for epoch, items in enumerate(epochs)
        for at, item in enumerate(items)
    ]
    columns = ["event", "epoch", "rank", "worker", "step", "position", "item", "digest"]
    return Walk(by, pd.DataFrame(rows, columns=columns))


def pieces(stored, delivered):
    """What `coverage` is to say of items that lie in this order, in plain Python."""
    order = list(dict.fromkeys([*stored, *delivered]))
    times = Counter(delivered)
    count = min(MOST_PIECES, len(order))
    edges = [int(len(order) * number / count) for number in range(count + 1)]
    found = []
    for begin, end in pairwise(edges):
        each = [times[item] for item in order[begin:end]]
        found.append((begin, end - 1, len(each), sum(n > 0 for n in each), sum(each) / len(each), max(each)))
    return found


def told(frame):
    assert list(frame) == COLUMNS
    return [
        tuple(row)
        for row in frame[["first", "last", "items", "seen", "times", "most"]].itertuples(index=False)
    ]


epoch_of = st.lists(st.integers(0, 20), min_size=1, max_size=40)


@given(st.lists(epoch_of, min_size=1, max_size=4), st.lists(st.integers(0, 30), min_size=1, unique=True))
@settings(max_examples=150)
def test_against_the_order_of_the_serial_pass(epochs, stored):
    frame = coverage(seen(*epochs), seen(stored), None)
    assert told(frame) == pieces(stored, [item for epoch in epochs for item in epoch])
    assert set(frame["epochs"]) == {len(epochs)}
    assert frame["stored"].all()
    assert set(frame["unit"]) == {"samples"}


@given(st.lists(epoch_of, min_size=1, max_size=4))
def test_against_the_number_of_items_that_the_source_tells(epochs):
    frame = coverage(seen(*epochs), None, 25)
    assert told(frame) == pieces(range(25), [item for epoch in epochs for item in epoch])
    assert frame["stored"].all()


@given(st.lists(epoch_of, min_size=1, max_size=4))
def test_where_nobody_says_what_there_is(epochs):
    frame = coverage(seen(*epochs), None, None)
    assert told(frame) == pieces([], [item for epoch in epochs for item in epoch])
    assert not frame["stored"].any()
    assert (frame["seen"] == frame["items"]).all()


@pytest.mark.parametrize(("items", "delivered"), [(5, [0, 1, 7]), (5, [-1, 0])])
def test_a_number_of_items_that_the_ids_do_not_fit_is_not_believed(items, delivered):
    assert not coverage(seen(delivered), None, items)["stored"].any()


def test_a_serial_pass_that_tells_items_apart_in_another_way_is_no_measure():
    assert not coverage(seen([1, 2]), seen([1, 2, 3], by="content"), None)["stored"].any()


def test_an_empty_serial_pass_is_no_measure():
    assert not coverage(seen([1, 2]), seen(), None)["stored"].any()


def test_contents_are_never_counted_up_to_a_number():
    assert not coverage(seen([0, 1], by="content"), None, 10)["stored"].any()


@pytest.mark.parametrize("walked", [Walk("", pd.DataFrame()), seen(), seen(by="index")])
def test_nothing_tells_items_apart(walked):
    frame = coverage(walked, seen([1]), 5)
    assert frame.empty
    assert list(frame) == COLUMNS


def test_one_that_was_never_seen_is_told_in_any_number():
    count = 300_000
    delivered = np.delete(np.arange(count), 123_456)
    walked = Walk("id", pd.DataFrame({"epoch": 0, "item": delivered}))
    frame = coverage(walked, None, count)
    assert len(frame) == MOST_PIECES
    assert (int(frame["items"].sum()), int(frame["seen"].sum())) == (count, count - 1)
    missing = frame[frame["seen"] < frame["items"]]
    assert len(missing) == 1
    assert missing["first"].iloc[0] <= 123_456 <= missing["last"].iloc[0]


def test_one_that_was_seen_too_often_is_told_in_any_number():
    walked = Walk("id", pd.DataFrame({"epoch": 0, "item": np.append(np.arange(300_000), [7, 7, 7])}))
    frame = coverage(walked, None, 300_000)
    assert frame["most"].tolist() == [4] + [1] * (MOST_PIECES - 1)


def test_of_a_source_that_is_asked_by_number_the_batches_are_counted():
    made = [Batch(1, 10 + index, index=index) for index in (0, 1, 1, 3)]
    serial = table([Batch(1, 10 + index, index=index) for index in range(4)])
    frame = coverage(walk(table(made), Baseline()), walk(serial, Baseline()), None)
    assert set(frame["unit"]) == {"batches"}
    assert frame["times"].tolist() == [1, 2, 0, 1]


def test_samples_by_their_ids():
    made = [Batch(1, 1, samples=(1, 2), ids=(4, 5)), Batch(1, 2, epoch=1, samples=(1, 9), ids=(4, 0))]
    frame = coverage(walk(table(made), Baseline()), None, 6)
    assert frame["times"].tolist() == [1, 0, 0, 0, 2, 1]
    assert set(frame["epochs"]) == {2}
