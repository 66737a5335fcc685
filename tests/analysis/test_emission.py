from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.analysis.emission import MOST_EPOCHS, MOST_LANES, MOST_PLACES, emitted
from tests.analysis.build import Batch, many, table

UNHASHABLE = 4


def lines(batches):
    """What `emitted` is to say of few batches, in plain Python; a lost one belongs to its worker's epoch."""
    ordinals, rows = {}, []
    for batch in batches:
        worker = ordinals.setdefault(batch.pid, len(ordinals))
        rows.append(
            {"worker": worker, "epoch": batch.epoch, "content": batch.content, "lost": batch.epoch is None}
        )
        rows[-1]["hashed"] = not batch.flags & UNHASHABLE
    for place, row in enumerate(rows):
        if row["lost"]:
            before = [
                one["epoch"] for one in rows[:place] if one["worker"] == row["worker"] and not one["lost"]
            ]
            after = [
                one["epoch"] for one in rows[place:] if one["worker"] == row["worker"] and not one["lost"]
            ]
            row["epoch"] = before[-1] if before else after[0] if after else 0
    its = {
        epoch: sorted({one["worker"] for one in rows if one["epoch"] == epoch})
        for epoch in {r["epoch"] for r in rows}
    }
    most = max(map(len, its.values()), default=0)
    found = []
    for place, row in enumerate(rows):
        same = [one for one in rows[:place] if (one["worker"], one["epoch"]) == (row["worker"], row["epoch"])]
        copies = [one for one in rows if (one["epoch"], one["content"]) == (row["epoch"], row["content"])]
        lane = row["worker"] if len(ordinals) <= most else its[row["epoch"]].index(row["worker"])
        found.append(
            (
                row["epoch"],
                len(same),
                lane,
                row["worker"],
                f"{row['content']:016x}" if row["hashed"] else "",
                len(copies) if row["hashed"] else 0,
                not row["lost"],
            )
        )
    longest = {epoch: max(row[1] for row in found if row[0] == epoch) + 1 for epoch in its}
    return [(*row, len(its), longest[row[0]], most) for row in found]


COLUMNS = [
    "epoch",
    "local_step",
    "lane",
    "worker",
    "digest",
    "copies",
    "delivered",
    "epochs",
    "steps",
    "lanes",
]


def told(frame):
    return [tuple(row) for row in frame[COLUMNS].itertuples(index=False)]


batch_of = st.builds(
    Batch,
    pid=st.integers(10, 14),
    content=st.integers(1, 6),
    epoch=st.one_of(st.none(), st.integers(0, 3)),
)


@given(st.lists(batch_of, min_size=1, max_size=40))
@settings(max_examples=150)
def test_it_says_what_plain_python_says(batches):
    assert told(emitted(table(batches))) == lines(batches)


def test_each_worker_has_a_lane_of_its_own():
    frame = emitted(table([Batch(pid, content=1 + step, epoch=0) for step in range(5) for pid in (20, 30)]))
    assert frame.groupby("lane")["worker"].unique().map(list).to_dict() == {0: [0], 1: [1]}
    assert frame["copies"].eq(2).all()
    assert frame.groupby("lane")["local_step"].apply(list).to_dict() == {
        0: [0, 1, 2, 3, 4],
        1: [0, 1, 2, 3, 4],
    }


def test_workers_that_are_made_anew_for_each_epoch_take_the_lanes_of_those_before():
    made = [Batch(100 * epoch + pid, 10 * epoch + pid, epoch) for epoch in range(3) for pid in (1, 2)]
    frame = emitted(table(made))
    assert frame["lane"].tolist() == [0, 1] * 3
    assert frame["worker"].tolist() == [0, 1, 2, 3, 4, 5]
    assert set(frame["lanes"]) == {2}


def test_what_was_never_delivered_is_there_and_says_so():
    frame = emitted(table([Batch(1, 1), Batch(1, 2, epoch=None), Batch(2, 3, epoch=None), Batch(2, 4)]))
    assert frame["delivered"].tolist() == [True, False, False, True]
    assert frame["epoch"].tolist() == [0, 0, 0, 0]


def test_a_look_ahead_is_not_there():
    frame = emitted(table([Batch(1, 1, epoch=None, flags=1), Batch(1, 1), Batch(1, 2)]))
    assert frame["copies"].tolist() == [1, 1]


def test_batches_that_could_not_be_hashed_are_not_called_equal():
    unknown = [Batch(pid, 0, flags=UNHASHABLE) for pid in (1, 2)]
    frame = emitted(table([*unknown, Batch(1, 5), Batch(2, 5)]))
    assert frame["digest"].tolist() == ["", "", f"{5:016x}", f"{5:016x}"]
    assert frame["copies"].tolist() == [0, 0, 2, 2]


def test_only_streams_that_moved_have_a_column_and_unknown_states_are_empty():
    moved = {"numpy": (2**64 - 1, 7)}
    frame = emitted(table([Batch(1, 1, states=moved), Batch(1, 2, states={"torch": (5, 5)})]))
    assert [name for name in frame if name.startswith("rng_")] == ["rng_numpy"]
    assert frame["rng_numpy"].tolist() == ["f" * 16, ""]


def test_nothing_was_made():
    assert emitted(table([Batch(1, 1, epoch=None, flags=1)])).empty


@pytest.mark.parametrize(
    ("workers", "steps", "epochs"), [(2, 500, 2), (64, 50, 94), (200, 30, 50), (1, 300_000, 1)]
)
def test_of_a_long_run_the_beginning_and_the_end_are_kept(workers, steps, epochs):
    pid = np.tile(np.arange(workers), steps * epochs)
    epoch = np.repeat(np.arange(epochs), workers * steps)
    frame = emitted(many(pid, np.arange(len(pid)) + 1, epoch))
    shown = np.sort(frame["epoch"].unique()).tolist()
    half = MOST_EPOCHS // 2
    assert shown == (
        list(range(epochs)) if epochs <= MOST_EPOCHS else [*range(half), *range(epochs - half, epochs)]
    )
    room = MOST_PLACES // len(shown)
    each = np.sort(frame["local_step"].unique()).tolist()
    kept = [*range(room // 2), *range(steps - room // 2, steps)] if steps > room else list(range(steps))
    assert each == kept
    assert np.sort(frame["lane"].unique()).tolist() == list(range(min(workers, MOST_LANES)))
    # What is left out is told: the numbers are those of the whole run.
    assert set(frame["epochs"]) == {epochs}
    assert set(frame["steps"]) == {steps}
    assert set(frame["lanes"]) == {workers}
    assert len(frame) == len(shown) * len(each) * min(workers, MOST_LANES)


def test_copies_count_what_is_left_out_as_well():
    content = np.arange(1, 2001)
    content[1000] = 1  # in the middle, of which nothing is kept
    frame = emitted(many(np.ones(2000, int), content, np.zeros(2000, int)))
    assert 1000 not in set(frame["local_step"])
    assert frame["copies"].tolist() == [2] + [1] * (len(frame) - 1)


def test_a_short_epoch_beside_long_ones_is_kept_whole():
    steps = [1000, 20, 1000]
    epoch = np.repeat(np.arange(3), steps)
    frame = emitted(many(np.ones(len(epoch), int), np.arange(len(epoch)) + 1, epoch))
    assert frame.groupby("epoch")["local_step"].count().tolist() == [120, 20, 120]
    assert frame.groupby("epoch")["steps"].first().tolist() == steps


def test_states_are_those_before_the_batches():
    frame = emitted(many(np.array([1, 2, 1, 2]), np.arange(1, 5), np.zeros(4, int), np.array([7, 7, 8, 8])))
    assert frame["rng_numpy"].tolist() == [f"{n:016x}" for n in (7, 7, 8, 8)]
