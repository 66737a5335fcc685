from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.analysis.overlap import COLUMNS, MOST, overlap
from batchaudit.analysis.tables import tables
from tests.analysis.build import Batch, frames, many, table


def shares(made):
    """(owner, group, content) in plain Python: for each pair what they share of what the smaller one has."""
    owners = sorted({owner for owner, _, _ in made})
    has = {}
    for owner, group, content in made:
        has.setdefault((owner, group), set()).add(content)
    found = {}
    for one in owners:
        for other in owners:
            groups = {group for owner, group, _ in made if owner == one} & {
                g for o, g, _ in made if o == other
            }
            least = sum(min(len(has[one, group]), len(has[other, group])) for group in groups)
            if one != other and least:
                found[one, other] = sum(len(has[one, g] & has[other, g]) for g in groups) / least
    return found


def told(frame):
    assert list(frame) == COLUMNS
    return {(row.first, row.second): row.share for row in frame.itertuples()}


few = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=30)


@given(few)
@settings(max_examples=100)
def test_workers_within_their_epochs(made):
    made = sorted(made, key=lambda one: one[1])
    ordinals = {}
    for owner, _, _ in made:
        ordinals.setdefault(owner, len(ordinals))
    of_epoch = {}
    for owner, epoch, _ in made:
        of_epoch.setdefault(epoch, set()).add(owner)
    together = max(map(len, of_epoch.values()), default=0)
    frame = overlap(table([Batch(10 + owner, content, epoch) for owner, epoch, content in made]))
    if together < 2 or len(ordinals) > together:
        return  # other rules decide whose lane it is
    assert told(frame) == pytest.approx(shares([(ordinals[o], e, c) for o, e, c in made]))
    assert set(frame["by"]) <= {"worker"}


@given(few)
@settings(max_examples=100)
def test_one_worker_is_compared_between_epochs(made):
    made = sorted(made, key=lambda one: one[1])
    frame = overlap(table([Batch(10, content, epoch) for _, epoch, content in made]))
    assert told(frame) == pytest.approx(shares([(epoch, 0, content) for _, epoch, content in made]))
    assert set(frame["by"]) <= {"epoch"}


@given(few)
@settings(max_examples=100)
def test_of_several_ranks_the_ranks_are_compared(made):
    made = sorted(made, key=lambda one: one[1])
    frame = overlap(in_ranks([(owner, Batch(10 + owner, content, epoch)) for owner, epoch, content in made]))
    if len({owner for owner, _, _ in made}) > 1:
        assert told(frame) == pytest.approx(shares(made))
        assert set(frame["by"]) <= {"rank"}


def in_ranks(made):
    events, samples = frames([batch for _, batch in made])
    rank = np.array([owner for owner, _ in made])
    events["rank"] = rank[events["ticket"].to_numpy(np.int64) - 1]
    return tables(events, samples)


def test_replicas_share_all_and_shards_nothing():
    replicas = overlap(table([Batch(pid, step, epoch=0) for step in range(1, 9) for pid in (10, 11)]))
    assert told(replicas) == {(0, 1): 1.0, (1, 0): 1.0}
    shards = overlap(table([Batch(pid, 10 * pid + step, epoch=0) for step in range(8) for pid in (10, 11)]))
    assert told(shards) == {(0, 1): 0.0, (1, 0): 0.0}


def test_the_share_is_of_the_one_that_has_fewer():
    short = [Batch(10, content) for content in (1, 2)]
    long = [Batch(11, content) for content in (1, 2, 3, 4, 5)]
    assert told(overlap(table(short + long))) == {(0, 1): 1.0, (1, 0): 1.0}


def test_equal_batches_of_other_epochs_are_not_in_common():
    made = [Batch(10, 1, 0), Batch(11, 2, 0), Batch(10, 2, 1), Batch(11, 1, 1)]
    assert told(overlap(table(made))) == {(0, 1): 0.0, (1, 0): 0.0}


def test_what_could_not_be_hashed_is_not_in_common():
    unknown = [Batch(pid, 0, flags=4) for pid in (10, 11)]
    assert overlap(table(unknown)).empty
    known = [Batch(10, 1), Batch(11, 2)]
    assert told(overlap(table(unknown + known))) == {(0, 1): 0.0, (1, 0): 0.0}


def test_what_was_never_delivered_is_not_in_common():
    made = [Batch(10, 1), Batch(11, 2), Batch(10, 9, epoch=None), Batch(11, 9, epoch=None)]
    assert told(overlap(table(made))) == {(0, 1): 0.0, (1, 0): 0.0}


@pytest.mark.parametrize("made", [[Batch(10, 1)], [Batch(10, 1), Batch(10, 1)]])
def test_there_is_nothing_to_compare(made):
    frame = overlap(table(made))
    assert frame.empty
    assert list(frame) == COLUMNS


@pytest.mark.parametrize("epochs", [2, MOST, MOST + 1, 1000])
def test_of_very_many_some_are_compared_and_the_number_says_so(epochs):
    epoch = np.repeat(np.arange(epochs), 300)
    frame = overlap(many(np.ones(len(epoch), int), np.arange(len(epoch)) % 300 + 1, epoch))
    shown = sorted(frame["first"].unique())
    assert len(shown) == min(epochs, MOST)
    assert (shown[0], shown[-1]) == (0, epochs - 1)
    assert max(np.diff(shown)) - min(np.diff(shown)) <= 1
    assert set(frame["count"]) == {epochs}
    assert frame["share"].eq(1).all()


def test_three_hundred_thousand_batches_of_64_workers():
    steps = 300_000 // 64
    pid = np.tile(np.arange(64), steps)
    content = np.repeat(np.arange(steps), 64) * 64 + pid // 32  # two halves that each walk one stream
    frame = overlap(many(pid, content + 1, np.zeros(len(pid), int)))
    half = frame[["first", "second"]].to_numpy() // 32
    assert len(frame) == 64 * 63
    assert frame["share"].tolist() == (half[:, 0] == half[:, 1]).astype(float).tolist()


def test_the_frame_is_the_same_whatever_the_workers_are_called():
    made = [Batch(pid, content) for pid, content in ((10, 1), (11, 1), (12, 2))]
    other = [replace(batch, pid=99 - batch.pid) for batch in made]
    assert told(overlap(table(made))) == told(overlap(table(other)))
