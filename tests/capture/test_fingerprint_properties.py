"""Properties: what permuting, splitting, laying out and collating may and may not change."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from batchaudit.capture.fingerprint import fingerprint

FEW = settings(max_examples=60, deadline=None)
DTYPES = st.one_of(
    hnp.integer_dtypes(endianness="<"),
    hnp.floating_dtypes(endianness="<"),
    hnp.complex_number_dtypes(endianness="<"),
    hnp.boolean_dtypes(),
    hnp.unsigned_integer_dtypes(endianness="<"),
    hnp.datetime64_dtypes(endianness="<"),
    hnp.unicode_string_dtypes(endianness="<", max_len=5),
)
TREES = st.recursive(
    st.just("leaf"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


@st.composite
def columns(draw):
    """A tree whose every leaf is an array of n rows."""
    count = draw(st.integers(1, 7))

    def fill(tree):
        if isinstance(tree, list):
            return [fill(child) for child in tree]
        if isinstance(tree, dict):
            return {name: fill(child) for name, child in tree.items()}
        row = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=140))
        fill_value = hnp.from_dtype(dtype := draw(DTYPES))
        return draw(hnp.arrays(dtype, (count, *row), fill=fill_value))

    return count, fill(draw(TREES))


def tree_map(change, tree):
    if isinstance(tree, list):
        return [tree_map(change, child) for child in tree]
    if isinstance(tree, dict):
        return {name: tree_map(change, child) for name, child in tree.items()}
    return change(tree)


def words(batch):
    found = fingerprint(batch)
    return found.digest_hi, found.digest_lo, found.samples.tolist()


@FEW
@given(columns(), st.randoms(use_true_random=False))
def test_permuting_rows_permutes_samples(case, random):
    count, batch = case
    order = list(range(count))
    random.shuffle(order)
    before = fingerprint(batch).samples
    after = fingerprint(tree_map(lambda leaf: leaf[order], batch)).samples
    assert after.tolist() == before[order].tolist()


@FEW
@given(columns(), st.data())
def test_splitting_keeps_samples(case, data):
    count, batch = case
    cut = data.draw(st.integers(0, count))
    head, tail = (
        fingerprint(tree_map(lambda leaf, at=at: leaf[at], batch)) for at in (slice(0, cut), slice(cut, None))
    )
    assert fingerprint(batch).samples.tolist() == head.samples.tolist() + tail.samples.tolist()


@FEW
@given(columns())
def test_memory_layout_byte_order_and_container_change_nothing(case):
    _, batch = case
    expected = words(batch)

    def spread(leaf):
        roomy = np.zeros(tuple(2 * size for size in leaf.shape), leaf.dtype)
        view = roomy[tuple(slice(None, None, 2) for _ in leaf.shape)]
        view[...] = leaf
        return view

    def as_tuples(tree):
        if isinstance(tree, list):
            return tuple(as_tuples(child) for child in tree)
        if isinstance(tree, dict):
            return {name: as_tuples(child) for name, child in reversed(tree.items())}
        return tree

    assert words(tree_map(spread, batch)) == expected
    assert words(tree_map(np.asfortranarray, batch)) == expected
    assert words(tree_map(lambda leaf: leaf.astype(leaf.dtype.newbyteorder(">")), batch)) == expected
    assert words(as_tuples(batch)) == expected


@FEW
@given(columns())
def test_structure_of_a_batch_tells(case):
    _, batch = case
    variants = [batch, [batch], {"x": batch}, [batch, None], [None, batch], [[batch]]]
    digests = {words(variant)[:2] for variant in variants}
    assert len(digests) == len(variants)


@FEW
@given(hnp.arrays(st.sampled_from(["<i4", "<f4", "<u1", "<f8"]), (4, 2), unique=False), st.data())
def test_changing_one_byte_changes_that_sample_alone(array, data):
    at = data.draw(st.integers(0, 3))
    changed = array.copy()
    changed[at].view(np.uint8)[data.draw(st.integers(0, changed[at].nbytes - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    before, after = fingerprint((array, np.arange(4))), fingerprint((changed, np.arange(4)))
    assert before[:2] != after[:2]
    assert (before.samples != after.samples).tolist() == [row == at for row in range(4)]


@FEW
@given(
    st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False)
            | st.text()
            | st.binary(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        min_size=2,
        max_size=2,
    )
)
def test_objects_are_equal_exactly_if_their_values_and_types_are(pair):
    def typed(value):
        if isinstance(value, list):
            return [typed(item) for item in value]
        if isinstance(value, dict):
            return sorted((name, repr(typed(item))) for name, item in value.items()), "mapping"
        return repr(value)

    array = np.empty(2, object)
    array[:] = pair
    first, second = fingerprint(array).samples.tolist()
    assert (first == second) == (typed(pair[0]) == typed(pair[1]))
