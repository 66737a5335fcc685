"""What two splits share, by id and by content, epoch by epoch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchaudit.analysis.splits import Part, overlap, overlaps
from tests.analysis.build import Batch, table


def part(split, epochs, ids=None, id_space="", name=None, samples_a_batch=4, nbytes=8):
    """A source that delivers these contents, some a batch, epoch by epoch."""
    batches = []
    for epoch, contents in enumerate(epochs):
        its = list(ids[epoch]) if ids else []
        for at in range(0, len(contents), samples_a_batch):
            cut = slice(at, at + samples_a_batch)
            batches.append(Batch(1, len(batches), epoch, samples=tuple(contents[cut]), ids=tuple(its[cut])))
    tables = table(batches)
    tables.delivered["nbytes"] = tables.delivered["samples"] * nbytes
    return Part(name or split, split, id_space, tables)


def columns(found):
    return {name: found.epochs[name].tolist() for name in found.epochs if name != "epoch"}


def test_a_fixed_overlap_is_there_from_the_first_epoch():
    training = part("training", [range(10), range(10)])
    validation = part("validation", [range(8, 14), range(8, 14)])
    found = overlap(training, validation)
    assert (found.by, found.shared, found.validation_samples) == ("digest", 2, 6)
    assert columns(found) == {
        "shared": [2, 2],
        "shared_with_pass": [2, 2],
        "trained_on": [2, 2],
        "pass_trained_on": [2, 2],
    }
    assert found.example == {"sample": f"{8:016x}", "training": (0, 2), "validation": (0, 0)}


def test_a_split_that_is_drawn_anew_grows():
    training = part("training", [[0, 1, 2], [0, 1, 3], [0, 2, 3]])
    validation = part("validation", [[3], [2], [1]])
    found = overlap(training, validation)
    assert columns(found) == {
        "shared": [2, 2, 2],
        "shared_with_pass": [0, 0, 0],  # never in the epoch itself
        "trained_on": [2, 3, 3],
        "pass_trained_on": [0, 1, 1],
    }
    assert found.validation_repeated == 0


def test_other_numbers_of_passes_are_not_compared_pass_by_pass():
    found = overlap(part("training", [[0, 1], [1, 2]]), part("validation", [[1]]))
    assert found.epochs["shared_with_pass"].isna().all()
    assert found.epochs["pass_trained_on"].isna().all()
    assert found.epochs["trained_on"].tolist() == [1, 1]


def test_comparable_ids_decide_alone():
    contents = [range(8)]
    training = part("training", contents, [range(8)], "key")
    assert overlap(training, part("validation", contents, [range(8, 16)], "key")).shared == 0
    other_content = part("validation", [range(100, 108)], [range(4, 12)], "key")
    found = overlap(training, other_content)
    assert (found.by, found.shared) == ("id", 4)
    assert found.example["sample"] == 4


@pytest.mark.parametrize("space", ["", "dataset-2"])
def test_ids_of_other_items_are_not_compared(space):
    training = part("training", [range(8)], [range(8)], "dataset-1")
    validation = part("validation", [range(100, 108)], [range(8)], space)
    found = overlap(training, validation)
    assert (found.by, found.shared) == ("digest", 0)


def test_ids_that_are_their_own_are_not_compared():
    both = [part(split, [[at]], [[0]], "") for split, at in (("training", 1), ("validation", 2))]
    assert overlap(*both).by == "digest"


def test_padding_is_no_leak():
    training = part("training", [[*range(100), *[777] * 5]])
    validation = part("validation", [[*range(100, 150), 777]])
    found = overlap(training, validation)
    assert (found.shared, found.ignored) == (0, 1)


def test_what_every_replica_delivers_is_not_taken_for_padding():
    training = part("training", [[*range(10)] * 4])
    found = overlap(training, part("validation", [range(8, 12)]))
    assert (found.shared, found.ignored) == (2, 0)


def test_content_that_is_drawn_anew_shows_in_the_repeats():
    fixed = overlap(part("training", [range(8), range(8)]), part("validation", [[99]]))
    drawn = overlap(part("training", [range(8), range(8, 16)]), part("validation", [[99]]))
    once = overlap(part("training", [range(8)]), part("validation", [[99]]))
    assert (fixed.repeated, drawn.repeated, once.repeated) == (1.0, 0.0, None)


def test_samples_of_other_sizes_cannot_be_equal():
    found = overlap(part("training", [[1]], nbytes=8), part("validation", [[1]], nbytes=4))
    assert "8 bytes" in found.unlike and "4" in found.unlike


def test_every_training_source_meets_every_validation_source():
    never = part("validation", [[1]], name="never read")
    never = replace(never, tables=replace(never.tables, delivered=never.tables.delivered.iloc[:0]))
    parts = [
        part("training", [[1]], name="a"),
        part("validation", [[1]], name="b"),
        part("validation", [[2]], name="c"),
        part("prediction", [[1]], name="d"),
        part("training", [[2]], name="e"),
        never,
    ]
    found = [(one.training.name, one.validation.name, one.shared) for one in overlaps(parts)]
    assert found == [("a", "b", 1), ("a", "c", 0), ("e", "b", 0), ("e", "c", 1)]


def of_ranks(split, contents):
    """A source of which each rank delivers these contents in one epoch."""
    made = part(split, [[value for rank in contents for value in rank]], samples_a_batch=1)
    ranks = [rank for rank, values in enumerate(contents) for _ in values]
    return replace(made, tables=replace(made.tables, delivered=made.tables.delivered.assign(rank=ranks)))


def test_which_ranks_share_samples():
    across = overlap(of_ranks("training", [[0, 1, 2], [2, 3, 4]]), of_ranks("validation", [[3, 9], [0, 1]]))
    assert across.ranks == {(0, 1): 2, (1, 0): 1}
    assert across.only_across_ranks
    assert across.example["ranks"] == (0, 1)
    within = overlap(of_ranks("training", [[0, 1], [2, 3]]), of_ranks("validation", [[1], [2]]))
    assert within.ranks == {(0, 0): 1, (1, 1): 1} and not within.only_across_ranks
    apart = overlap(of_ranks("training", [[0], [1]]), of_ranks("validation", [[2], [3]]))
    assert apart.ranks == {} and not apart.only_across_ranks


EPOCHS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), min_size=1, max_size=3)


@settings(max_examples=40)
@given(EPOCHS, EPOCHS)
def test_the_figures_are_those_of_sets(trained, validated):
    found = overlap(part("training", trained), part("validation", validated))
    every = set().union(*validated)
    assert found.validation_samples == len(every)
    assert found.epochs["shared"].tolist() == [len(set(epoch) & every) for epoch in trained]
    up_to = [set().union(*trained[: number + 1]) for number in range(len(trained))]
    assert found.epochs["trained_on"].tolist() == [len(seen & every) for seen in up_to]
    if len(trained) == len(validated):
        pairs = list(zip(up_to, validated, strict=True))
        assert found.epochs["pass_trained_on"].tolist() == [len(seen & set(its)) for seen, its in pairs]


@settings(max_examples=25)
@given(EPOCHS, EPOCHS)
def test_disjoint_splits_share_nothing(trained, validated):
    apart = [[value + 1000 for value in epoch] for epoch in validated]
    found = overlap(part("training", trained), part("validation", apart))
    assert found.shared == 0 and found.example == {}
