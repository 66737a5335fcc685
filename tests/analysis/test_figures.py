"""The figures of design section 6, against their definitions."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchaudit.analysis import seeds, uniqueness, workers
from batchaudit.analysis.baseline import Baseline
from tests.analysis.build import Batch, frames, table

STATE = st.integers(1, 5)


def moving(before: int, after: int) -> dict[str, tuple[int, int]]:
    return {"numpy": (before, after)}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=40))
def test_unique_new_and_copies(drawn):
    batches = [Batch(7, content, epoch) for epoch, content in drawn]
    found = uniqueness.epochs(table(batches), Baseline()).set_index("epoch")
    seen: set[int] = set()
    for epoch in sorted({epoch for epoch, _ in drawn}):
        contents = [content for e, content in drawn if e == epoch]
        row = found.loc[epoch]
        assert row["delivered"] == len(contents)
        assert row["unique"] == len(set(contents))
        assert row["effective_ratio"] == len(set(contents)) / len(contents)
        assert row["new_unique"] == len(set(contents) - seen)
        assert row["copies"] == dict(Counter(Counter(contents).values()))
        seen |= set(contents)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=20), st.randoms())
def test_figures_do_not_depend_on_the_order_in_which_files_are_read(drawn, rng):
    events, samples = frames([Batch(7, content, epoch, samples=(content,)) for epoch, content in drawn])
    from batchaudit.analysis.tables import tables

    order = list(events.index)
    rng.shuffle(order)
    shuffled = events.loc[order].sort_values("began_ns")
    one = uniqueness.epochs(tables(events, samples), Baseline())
    other = uniqueness.epochs(tables(shuffled, samples), Baseline())
    pd.testing.assert_frame_equal(one, other)


def test_what_could_not_be_hashed_is_not_counted():
    found = uniqueness.epochs(table([Batch(7, 1), Batch(7, 1, flags=4)]), Baseline())
    assert math.isnan(found["unique"][0])
    assert math.isnan(found["effective_ratio"][0])
    assert found["copies"][0] is None
    assert found["delivered"][0] == 2


def test_a_peek_counts_only_where_it_was_delivered():
    found = uniqueness.epochs(table([Batch(7, 1, None, flags=1), Batch(7, 1), Batch(7, 2)]), Baseline())
    assert found[["produced", "probes", "delivered", "unique"]].values.tolist() == [[3, 1, 2, 2]]


def test_what_was_made_and_never_delivered_is_seen():
    found = uniqueness.epochs(table([Batch(7, 1), Batch(7, 2), Batch(7, 3, None)]), Baseline())
    assert found[["produced", "delivered"]].values.tolist() == [[3, 2]]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([[1, 1], [2, 2], [3, 3]], 0.0),  # clones
        ([[1, 11], [2, 12], [3, 13]], 1.0),  # all diverged
        ([[1, 1], [2, 12], [3, 13]], 2 / 3),  # equal once in three
        ([[1, 1, 11], [2, 2, 12]], 0.5),  # of three workers two are clones: (2 - 1) / (3 - 1)
    ],
)
def test_seed_divergence(states, expected):
    batches = [
        Batch(pid, 100 * step + pid, states=moving(state, state + 1000))
        for step, row in enumerate(states)
        for pid, state in enumerate(row, start=2)
    ]
    found = seeds.divergence(table(batches))
    assert found["seed_divergence"][0] == pytest.approx(expected)
    assert found["seed_divergence_note"][0] == ""


@given(st.lists(st.tuples(STATE, STATE, STATE), min_size=1, max_size=8))
def test_seed_divergence_is_its_definition(steps):
    batches = [
        Batch(pid, 10 * number + pid, states=moving(state, state + 100))
        for number, states in enumerate(steps)
        for pid, state in enumerate(states, start=2)
    ]
    expected = sum((len(set(states)) - 1) / 2 for states in steps) / len(steps)
    assert seeds.divergence(table(batches))["seed_divergence"][0] == pytest.approx(expected)


def test_states_beyond_53_bits_are_told_apart():
    big = 2**63
    batches = [Batch(2, 1, states=moving(big, 1)), Batch(3, 2, states=moving(big + 1, 1))]
    found = seeds.divergence(table([*batches, Batch(2, 3, states=moving(5, 6))]))
    assert found["seed_divergence"][0] == 1.0
    assert found["lockstep"][0] == 0


def test_the_least_diverged_stream_counts():
    batches = [
        Batch(pid, step, states={"numpy": (step + 1, step + 2), "python": (pid * 100 + step, 7)})
        for step in range(3)
        for pid in (2, 3)
    ]
    assert seeds.divergence(table(batches))["seed_divergence"][0] == 0.0


@pytest.mark.parametrize(
    ("batches", "note"),
    [
        ([Batch(2, 1), Batch(3, 2)], "no random stream moved"),
        ([Batch(2, 1, states=moving(1, 2))], "fewer than two workers"),
        (
            [Batch(2, 1, states=moving(1, 2), thread=t) for t in (1, 2)],
            "threads share the process's random streams: a move cannot be laid to one worker",
        ),
    ],
)
def test_an_empty_divergence_says_why(batches, note):
    found = seeds.divergence(table(batches))
    assert math.isnan(found["seed_divergence"][0])
    assert found["seed_divergence_note"][0] == note


def test_lockstep_is_the_longest_run_of_equal_states():
    rows = [(1, 1), (2, 9), (3, 3), (4, 4), (5, 5), (6, 16)]
    batches = [
        Batch(pid, step, states=moving(state, 99))
        for step, row in enumerate(rows)
        for pid, state in zip((2, 3), row, strict=True)
    ]
    found = seeds.lockstep(table(batches).produced, ["numpy"])
    assert [(lock.workers, lock.first_step, lock.length) for lock in found] == [((0, 1), 2, 3)]


def test_epoch_divergence():
    again = [Batch(2, step, 0, states=moving(step + 1, step + 2)) for step in range(3)]
    again += [Batch(3, step, 1, states=moving(step + 1, step + 2)) for step in range(3)]
    assert seeds.divergence(table(again))["epoch_divergence"].fillna(-1).tolist() == [-1, 0.0]
    on = [Batch(2, step, step // 3, states=moving(step + 1, step + 2)) for step in range(6)]
    assert seeds.divergence(table(on))["epoch_divergence"].fillna(-1).tolist() == [-1, 1.0]


def test_shares():
    batches = [Batch(2, content) for content in range(3)] + [Batch(3, 0)]
    found = workers.shares(table(batches))
    assert found[["worker", "pid", "delivered", "share"]].values.tolist() == [
        [0, 2, 3, 0.75],
        [1, 3, 1, 0.25],
    ]
    assert workers.counts(table(batches)).values.tolist() == [[0, 2]]


def test_numbered_workers_of_a_framework_are_told_by_their_number():
    batches = [Batch(2, n, thread=n, framework_worker=n % 2) for n in range(6)]
    assert workers.counts(table(batches)).values.tolist() == [[0, 2]]


def serial(*epochs: tuple[int, ...], ids: bool = False) -> Baseline:
    """A deterministic source whose every batch is one sample."""
    batches = [
        Batch(1, content, epoch, samples=(content,), ids=(content % 4,) if ids else ())
        for epoch, contents in enumerate(epochs)
        for content in contents
    ]
    first_epoch = [batch for batch in batches if batch.epoch == 0]
    return Baseline(table(batches), table(first_epoch), table(first_epoch))


def test_coverage_is_the_share_of_the_sources_samples():
    batches = [Batch(2, content, samples=(content,)) for content in (1, 2, 1, 2)]
    found = uniqueness.epochs(table(batches), serial((1, 2, 3, 4)))
    assert found["sample_coverage"][0] == 0.5
    assert found["expected_unique"][0] == 4


def test_coverage_of_drawn_content_is_not_observable_without_ids():
    batches = [Batch(2, content, samples=(content,)) for content in (11, 12)]
    assert math.isnan(uniqueness.epochs(table(batches), serial((1, 2)))["sample_coverage"][0])
    with_ids = [Batch(2, content, samples=(content,), ids=(content % 4,)) for content in (9, 10)]
    found = uniqueness.epochs(table(with_ids), serial((1, 2, 3, 4), ids=True))
    assert found["sample_coverage"][0] == 0.5


def test_the_baseline_tells_what_is_deterministic():
    same = serial((1, 2), (3, 4))
    assert same.repeatable is True
    assert same.deterministic is True
    other = Baseline(same.first, same.again, table([Batch(1, 9, samples=(9,)), Batch(1, 8, samples=(8,))]))
    assert other.repeatable is True
    assert other.deterministic is False
    assert other.fixed_samples is False
    order = Baseline(same.first, same.again, table([Batch(1, 2, samples=(2,)), Batch(1, 1, samples=(1,))]))
    assert order.deterministic is False
    assert order.fixed_samples is True
    assert Baseline().deterministic is None
