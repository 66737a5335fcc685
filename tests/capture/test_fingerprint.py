"""Concrete batches: what must be equal, what must differ, what must be refused."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import gc
import os
import subprocess
import sys
import threading
import weakref
from decimal import Decimal

import numpy as np
import pytest
import xxhash

from batchaudit.capture import fingerprint as module
from batchaudit.capture import leaf_rows
from batchaudit.capture.fingerprint import fingerprint
from batchaudit.errors import UnhashableError


def key(batch, **options):
    found = fingerprint(batch, **options)
    samples = None if found.samples is None else tuple(found.samples.tolist())
    return found.digest_hi, found.digest_lo, samples


def same(*batches):
    return len({key(batch) for batch in batches}) == 1


def different(*batches):
    digests = {key(batch)[:2] for batch in batches}
    return len(digests) == len(batches)


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Pair:
    x: object
    y: object


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


X = np.arange(24, dtype=np.float32).reshape(4, 6)
Y = np.arange(4)


# --- what one sample is


def test_samples_are_seeded_row_digests_of_the_documented_definition():
    structure = "batchaudit fingerprint 1\nbatch:float32[*][6]"
    seed = xxhash.xxh3_64_intdigest(structure.encode())
    expected = [xxhash.xxh3_128_intdigest(row.tobytes(), seed) & (2**64 - 1) for row in X]
    found = fingerprint(X)
    assert found.samples.dtype == np.uint64
    assert found.samples.tolist() == expected
    assert found.nbytes == X.nbytes


def test_first_and_second_look_agree():
    # The second look at a structure takes the way of the kept plan.
    for batch in ((X, Y), {"b": X, "a'": Y}, [X, None], X, (X.T.copy(), None)):
        module._plans.clear()
        assert key(batch) == key(batch)


@pytest.mark.parametrize("width", [1, 128, 129, 30_000])
def test_a_sample_does_not_depend_on_its_batch_at_any_row_width(width):
    rows = np.arange(3000 if width < 1000 else 5, dtype=np.float32)[:, None] + np.arange(
        width, dtype=np.float32
    )
    labels = np.arange(len(rows))
    for whole in (lambda part: rows[part], lambda part: (rows[part], labels[part])):
        together = fingerprint(whole(slice(None))).samples
        assert len(set(together.tolist())) == len(rows)
        apart = [fingerprint(whole(slice(at, at + 1))).samples[0] for at in range(0, len(rows), 2)]
        assert together[::2].tolist() == apart


def test_leaves_that_disagree_have_no_samples_but_a_digest():
    assert fingerprint((X, Y[:3])).samples is None
    assert different((X, Y[:3]), (X, Y[1:]), (X + 1, Y[:3]))


def test_scalars_and_none_count_for_the_batch_alone():
    plain, scaled, other = (fingerprint((X, scale)) for scale in (None, 2.0, 3.0))
    assert plain.samples.tolist() == scaled.samples.tolist() == other.samples.tolist()
    assert different((X, None), (X, 2.0), (X, 3.0), (X,))


def test_lists_of_text_or_numbers_of_the_right_length_are_columns():
    for listed in (["a", "b", "c", "d"], [b"a", b"b", b"c", b"d"], [1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)):
        forward, backward = fingerprint((X, listed)), fingerprint((X[::-1], listed[::-1]))
        assert forward.samples.tolist() == backward.samples.tolist()[::-1]
        assert forward.samples[0] != fingerprint((X, [listed[1]] * 4)).samples[0]
    names = fingerprint((X, ["cat", "dog"]))
    assert names.samples.tolist() == fingerprint((X, ["cow", "dog"])).samples.tolist()
    assert different((X, ["cat", "dog"]), (X, ["cow", "dog"]), (X, ["catd", "og"]))


def test_text_alone_sets_the_axis():
    batch = fingerprint({"text": ["a", "b"], "label": [0, 1]})
    assert len(batch.samples) == 2
    assert fingerprint({"text": ["b"], "label": [1]}).samples[0] == batch.samples[1]
    assert fingerprint([1, 2]).samples is None


def test_empty_batches():
    assert fingerprint(X[:0]).samples.tolist() == []
    assert different(
        X[:0], X[:0, :3], np.zeros((0, 6)), np.zeros((4, 0)), np.zeros((3, 0)), (), None, {}, [()]
    )
    assert same(X[:0], X[4:])
    assert len(fingerprint((np.zeros((4, 0)), np.zeros((4, 0)))).samples) == 4
    assert fingerprint(np.float32(3)).samples is None
    assert different(np.float32(3), np.array([3], np.float32), np.float64(3), 3.0)


# --- what is equal


def test_containers_of_a_kind_are_equal():
    assert same((X, Y), [X, Y], collections.deque([X, Y]), collections.UserList([X, Y]))
    mappings = (
        {"a": X, "b": Y},
        {"b": Y, "a": X},
        collections.OrderedDict(b=Y, a=X),
        collections.UserDict(b=Y, a=X),
    )
    assert same(*mappings)
    assert same(Point(X, Y), Pair(X, Y))


def test_structure_counts():
    assert different(
        (X, None), (X,), X, [[X]], {"x": X}, {0: X}, {"0": X}, {True: X}, {(0, "x"): X}, (None, X), (X, ())
    )
    assert different((X, (Y, Y)), ((X, Y), Y), (X, Y, Y), Pair(X, (Y, Y)))
    assert different({"a": X, "b": X + 1}, {"a": X + 1, "b": X})
    assert different({Colour.RED: X}, {Colour.BLUE: X}, {b"RED": X}, {np.int64(1): X}, {1.0: X}, {None: X})


def test_layout_and_byte_order_do_not_count():
    strided = np.zeros((8, 12), np.float32)
    strided[::2, ::2] = X
    assert same(X, np.asfortranarray(X), strided[::2, ::2], X.astype(">f4"), X[::-1][::-1], np.ma.getdata(X))
    assert same(Y, Y.astype("q"), Y.astype("l"), Y.astype(">i8"))
    assert same(np.array(["2020-01-01", "NaT"], "M8[s]"), np.array(["2020-01-01", "NaT"], ">M8[s]"))


def test_dtypes_and_shapes_count():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    zeros = [np.zeros((4, 8), kind) for kind in "?bBhHiIqQefdgFDG"]
    zeros += [np.zeros((4, 8), kind) for kind in ("M8[s]", "M8[ns]", "m8[s]", "V8", "S8", "U8", "O")]
    zeros += [
        np.zeros((4, 8), getattr(ml_dtypes, kind))
        for kind in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "int4")
    ]
    # An empty bytes and an empty text differ, and so does the integer that an array of objects is full of.
    assert different(*zeros)
    assert different(
        *[np.zeros(shape) for shape in ((4, 6), (4, 2, 3), (4, 3, 2), (6, 4), (24,), (1, 24), (24, 1))]
    )


def test_bits_of_floats_count():
    payload = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert different(np.float32([0.0]), np.float32([-0.0]), payload[:1], payload[1:])
    assert different((0.0,), (-0.0,), (0,), (False,), ("",), (b"",))


def test_padding_does_not_count():
    values = np.arange(5, dtype=np.longdouble)
    dirty = values.copy()
    dirty.view(np.uint8).reshape(5, -1)[:, 10:] = 0xAA
    if np.finfo(np.longdouble).nmant == 63:
        assert same(values, dirty)
        assert same(values.astype(np.clongdouble), dirty.astype(np.clongdouble))
    assert different(values, values + 1, values.astype(np.clongdouble))
    fields = [("a", "u1"), ("b", ">f8"), ("name", "U3")]
    loose, tight = np.zeros(3, np.dtype(fields, align=True)), np.zeros(3, fields)
    loose.view(np.uint8)[:] = 0xFF
    for array in (loose, tight):
        array["a"], array["b"], array["name"] = 7, 2.5, ["x", "y", "z"]
    assert same(loose, tight, tight.view(np.recarray))
    assert len(fingerprint(tight).samples) == 3


def test_masked_arrays_are_data_and_mask():
    assert different(np.ma.array(Y), Y, np.ma.array(Y, mask=[0, 1, 0, 0]), np.ma.array(Y, mask=[0, 0, 1, 0]))
    assert same(np.ma.array(Y), np.ma.array(Y, mask=False), np.ma.array(Y, mask=[0] * 4))


def test_width_of_text_does_not_count():
    words = ["a", "bß", ""]
    arrays = [np.array(words, kind) for kind in ("U2", "U9", ">U9", object, np.dtypes.StringDType())]
    assert same(*arrays)
    assert same(*[np.array([b"a", b"b"], kind) for kind in ("S1", "S7", object)])
    assert fingerprint(arrays[0]).samples.tolist() == [
        fingerprint(arrays[1][at : at + 1]).samples[0] for at in range(3)
    ]
    assert different(np.array(["a"]), np.array([b"a"]), np.array(["a "]), np.array([["a"]]), np.array("a"))


def test_int4_counts_its_low_bits_only():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    clean = np.array([1, -3], ml_dtypes.int4)
    dirty = (clean.view(np.uint8) ^ np.uint8(0xF0)).view(ml_dtypes.int4)
    assert same(clean, dirty)
    assert different(clean, clean[::-1])


def _objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def test_objects_go_by_value():
    first = _objects(
        "a", 1, 2.5, None, [1, (2, "x")], {"k": X, "j": b"\0"}, X[0], np.float32(1), {3, 1, 2}, 10**40
    )
    again = _objects(
        "a",
        1,
        2.5,
        None,
        ([1, [2, "x"]]),
        {"j": b"\0", "k": X.copy()},
        X[0],
        np.float32(1),
        {2, 3, 1},
        10**40,
    )
    assert same(first, again)
    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc)
    items = [
        "1",
        1,
        1.0,
        True,
        b"1",
        None,
        1j,
        Decimal(1),
        np.int8(1),
        np.array([1]),
        [1],
        [[1]],
        {1: 1},
        {1},
        when,
    ]
    items += [when.date(), datetime.timedelta(1), Colour.RED, Colour.BLUE, range(3), Ellipsis, Pair(1, 2)]
    assert len(set(fingerprint(_objects(*items)).samples.tolist())) == len(items)
    assert different(*[_objects(item, None) for item in items])


def test_python_scalars_and_numpy_scalars():
    assert same((np.float32(1), X), (np.array(1, np.float32), X))
    assert different((1, X), (np.int64(1), X), (True, X), (1.0, X), ("1", X), (2**70, X), (-(2**70), X))


# --- what is refused


class Opaque:
    pass


def test_what_has_no_value_is_refused_with_path_and_type():
    for batch, where in (
        ((X, {"k": [Opaque()]}), r"batch\[1\]\['k'\]\[0\] is a .*Opaque"),
        (_objects(1, Opaque()), r"batch\[1\] is a .*Opaque"),
        ({Opaque(): X}, "key of it is a Opaque"),
        (lambda: X, "batch is a function"),
        ((X, iter([])), "list_iterator"),
        ((X, float), "is a type"),
    ):
        with pytest.raises(UnhashableError, match=where):
            fingerprint(batch)


def test_not_strict_names_what_it_left_out():
    found = fingerprint((X, Opaque(), _objects(*[Opaque()] * 4)), strict=False)
    assert found.unhashable[0] == f"batch[1]: {__name__}.Opaque"
    assert len(found.unhashable) == 5
    assert len(found.samples) == 4
    assert key((X, Opaque()), strict=False) == key((X, Opaque()), strict=False)
    assert fingerprint((X,), strict=False).unhashable == ()
    assert len(fingerprint([Opaque() for _ in range(500)], strict=False).unhashable) < 20


def test_a_batch_that_holds_itself_ends():
    loop: list[object] = [X]
    loop += [loop, loop]
    with pytest.raises(UnhashableError, match="holds itself"):
        fingerprint(loop)
    assert len(fingerprint(loop, strict=False).unhashable) == 2
    held = _objects(1, 2)
    held[0] = held
    with pytest.raises(UnhashableError, match="holds itself"):
        fingerprint(held)


# --- one process and the next


_BATCH = """
import dataclasses, numpy as np
@dataclasses.dataclass
class Pair:
    x: object
    y: object
words = np.empty(3, object); words[:] = [{"b", "a", "c"}, {"k": 1, "j": None}, "ß"]
batch = {"x": np.arange(12.0).reshape(3, 4), "y": Pair(["a", "b", "c"], words), 3: {"z": None, "a": 2.5}}
"""


def test_another_process_with_another_hash_seed_agrees():
    scope: dict[str, object] = {"__name__": __name__}
    exec(_BATCH, scope)
    program = _BATCH + (
        "from batchaudit.capture.fingerprint import fingerprint as f\nimport sys\n"
        "r = f(batch)\nprint(r.digest_hi, r.digest_lo, *r.samples)\n"
        "barred = {'pandas', 'optree', 'tensorflow', 'torch', 'numpy.random'}\n"
        "loaded = barred & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    here = fingerprint(scope["batch"])
    expected = [here.digest_hi, here.digest_lo, *here.samples.tolist()]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        assert [int(word) for word in done.stdout.split()] == expected


def test_a_second_thread_changes_the_way_and_not_the_digest():
    big, odd = np.arange(3 * 70_000, dtype=np.float64).reshape(3, -1), np.arange(40_001, dtype=np.float64)
    batches = [(big, np.arange(3)), big, (big, odd)]
    alone = [key(batch) for batch in batches]
    leave = threading.Event()
    other = threading.Thread(target=leave.wait)
    other.start()
    try:
        assert len(list(leaf_rows.pieces(odd))) == 5
        assert [key(batch) for batch in batches] == alone
    finally:
        leave.set()
        other.join()


@pytest.mark.parametrize("width", [100, 1_000])
def test_where_hashing_pauses_changes_no_digest(width, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (57, width), np.uint8)
    batches = [rows, (rows, np.arange(57))]
    at_once = [key(batch) for batch in batches]
    joined = []
    hash_rows = leaf_rows._hash_encoded
    monkeypatch.setattr(leaf_rows, "_hash_encoded", lambda *a: joined.append(1) or hash_rows(*a))
    monkeypatch.setattr(leaf_rows, "_WITHOUT_PAUSE", 10 * width)
    monkeypatch.setattr(leaf_rows, "_ROWS_AT_ONCE", 10)
    assert [key(batch) for batch in batches] == at_once
    assert len(joined) >= 12


def test_plans_are_bounded():
    for length in range(2 * module._PLANS_KEPT):
        fingerprint(np.zeros(length + 1, np.int8))
    assert len(module._plans) <= module._PLANS_KEPT


# --- frameworks, where they are installed


def test_torch_tensors_equal_their_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    torch = pytest.importorskip("torch")
    for array in (
        X,
        Y,
        X > 3,
        X.astype(np.complex64),
        X.astype(np.float16),
        X.astype(np.uint16),
        np.float32(2),
    ):
        assert same(array, torch.from_numpy(np.array(array)))
    assert same(X.T, torch.from_numpy(X).T, torch.from_numpy(X).T.clone().requires_grad_(True))
    assert same(X.astype(ml_dtypes.bfloat16), torch.from_numpy(X).to(torch.bfloat16))
    assert same(X.astype(ml_dtypes.float8_e5m2), torch.from_numpy(X).to(torch.float8_e5m2))
    assert same(X.astype(np.complex64).conj(), torch.from_numpy(X.astype(np.complex64)).conj())
    assert same({"x": X}, {"x": torch.nn.Parameter(torch.from_numpy(X))})


def plain_tensors(torch):
    """Tensors in memory in every way; those that have the plan of an array, and those that have not."""
    x = torch.from_numpy(X.copy())
    z = torch.complex(x, x + 1)
    sub = x.as_subclass(type("Sub", (torch.Tensor,), {}))
    with torch.inference_mode():
        inference = x.clone()
    return {
        "plain": x,
        "wants a gradient": x.clone().requires_grad_(True),
        "calculated": x.clone().requires_grad_(True) * 1,
        "parameter": torch.nn.Parameter(x),
        "subclass": sub,
        "rows of a larger one": torch.cat([x, x])[4:],
        "every second row": torch.repeat_interleave(x, 2, dim=0)[::2],
        "columns of a larger one": torch.cat([x, x], dim=1)[:, :6],
        "column-major": x.t().contiguous().t(),
        "expanded": x[:, :1].expand(4, 6),
        "complex": z,
        "conjugate": z.conj(),
        "negative view": z.conj().imag,
        "bfloat16": x.to(torch.bfloat16),
        "inference": inference,
        "no rows": x[:0],
        "no columns": x[:, :0],
        "no axis": x[0, 0],
        "bool": x > 7,
    }


@pytest.mark.parametrize(
    "name",
    [
        "plain", "wants a gradient", "calculated", "parameter", "subclass", "rows of a larger one",
        "every second row", "columns of a larger one", "column-major", "expanded", "complex", "conjugate",
        "negative view", "bfloat16", "inference", "no rows", "no columns", "no axis", "bool",
    ],
)  # fmt: skip
def test_torch_tensors_with_a_plan_equal_the_arrays_that_numpy_makes_of_them(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    torch = pytest.importorskip("torch")
    tensor = plain_tensors(torch)[name]
    plain = tensor.detach().as_subclass(torch.Tensor).resolve_conj().resolve_neg()
    if name == "bfloat16":
        array = plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    else:
        array = plain.numpy()
    assert same(array.copy(), array, tensor)
    count = len(array) if array.ndim else 1
    batch, arrays = [tensor, torch.arange(count)], [array.copy(), np.arange(count)]
    # Whether the tensor's plan serves the array or the array's the tensor.
    for first, then in ((batch, arrays), (arrays, batch)):
        module._plans.clear()
        assert same(first, first, then, tuple(then), [tensor, arrays[1]])


def test_torch_tensors_share_the_plans_of_arrays():
    torch = pytest.importorskip("torch")
    module._plans.clear()
    for batch in ([X, Y], [torch.from_numpy(X), torch.from_numpy(Y)], (torch.tensor(X), Y)):
        fingerprint(batch)
    assert len(module._plans) == 1


@pytest.mark.parametrize("of", ["float32", "bfloat16", "every second"])
def test_a_torch_tensor_can_be_resized_after_a_look(of):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(24.0).reshape(4, 6)
    looked_at = {"float32": tensor, "bfloat16": tensor.to(torch.bfloat16), "every second": tensor[:, ::2]}[of]
    fingerprint(looked_at)
    looked_at.untyped_storage().resize_(10_000)
    assert looked_at.untyped_storage().nbytes() == 10_000


def test_an_array_of_a_tensors_memory_keeps_the_tensor():
    torch = pytest.importorskip("torch")
    from batchaudit.capture.leaf_tensors import plain_torch

    tensor = torch.arange(1000)
    kept = weakref.ref(tensor)
    rows = plain_torch(tensor).reshape(10, 100)[3]
    del tensor
    gc.collect()
    assert kept() is not None
    assert rows[0] == 300
    del rows
    assert kept() is None


def test_torch_layouts():
    torch = pytest.importorskip("torch")
    sparse = torch.from_numpy(X * (X > 7)).to_sparse()
    assert same(
        sparse,
        sparse.to_sparse_csr(),
        torch.sparse_coo_tensor(sparse.indices().flip(1), sparse.values().flip(0), (4, 6)),
    )
    assert len(fingerprint((sparse, Y)).samples) == 4
    assert different(sparse, sparse * 2, sparse.to(torch.bfloat16), sparse.to_dense())
    scales = [torch.quantize_per_tensor(torch.from_numpy(X), scale, 0, torch.qint8) for scale in (0.5, 0.25)]
    assert different(*scales, scales[0].int_repr())
    channel = torch.quantize_per_channel(torch.from_numpy(X), torch.ones(4), torch.zeros(4), 0, torch.qint8)
    assert fingerprint(channel).samples is not None
    nested = [torch.nested.nested_tensor([torch.ones(2), torch.ones(size)]) for size in (3, 4)]
    assert different(*nested)
    with pytest.raises(UnhashableError, match="meta"):
        fingerprint(torch.empty(3, device="meta"))


def test_jax_arrays_equal_their_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    jax = pytest.importorskip("jax")
    assert same(X, jax.numpy.asarray(X))
    assert same(X.astype(ml_dtypes.bfloat16), jax.numpy.asarray(X, jax.numpy.bfloat16))

    def traced(value):
        with pytest.raises(UnhashableError, match="Tracer"):
            fingerprint(value)
        return value

    jax.jit(traced)(X)


def test_tensorflow_tensors_equal_their_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    tf = pytest.importorskip("tensorflow")
    arrays = [
        X,
        Y,
        X > 3,
        X.astype(ml_dtypes.bfloat16),
        X.astype(np.complex64),
        np.array([[b"a\0", b"b"]], object),
        X[:0],
    ]
    for array in arrays:
        assert same(array, tf.constant(array))
    assert same((X, Y), (tf.Variable(X), tf.constant(Y)))
    scalar = np.empty((), object)
    scalar[()] = b"a\0"
    assert same((X, scalar), (X, tf.constant(b"a\0")))
    slices = tf.IndexedSlices(tf.constant(X), tf.constant(Y))
    assert len(fingerprint(slices).samples) == 4


def test_tensorflow_ragged_and_sparse_rows_do_not_depend_on_their_batch():
    tf = pytest.importorskip("tensorflow")
    nested = [[["a"], []], [], [["b", "c"], ["a"]]]
    for ragged in (
        tf.ragged.constant([[1, 2], [], [3]]),
        tf.ragged.constant(nested),
        tf.ragged.constant([[[1], []], [], [[1, 2]]]),
    ):
        rows = fingerprint(ragged).samples.tolist()
        assert len(set(rows)) == 3
        assert fingerprint(tf.gather(ragged, [2, 0])).samples.tolist() == [rows[2], rows[0]]
    assert different(
        tf.ragged.constant([[1, 2], []]), tf.ragged.constant([[1], [2]]), tf.ragged.constant([[1, 2.0], []])
    )
    for values in (X * (X > 7), np.where(X > 7, b"a", b"").astype(object)):
        sparse = tf.sparse.from_dense(values)
        rows = fingerprint(sparse).samples.tolist()
        assert fingerprint(tf.sparse.slice(sparse, [2, 0], [2, 6])).samples.tolist() == rows[2:]


def test_symbolic_tensors_are_refused():
    tf = pytest.importorskip("tensorflow")
    seen = []

    @tf.function
    def traced(value):
        for symbolic in (value, tf.RaggedTensor.from_tensor(value), tf.sparse.from_dense(value)):
            with pytest.raises(UnhashableError, match="symbolic"):
                fingerprint((symbolic,))
            seen.append(symbolic)
        return value

    traced(tf.constant(X))
    assert len(seen) == 3


def test_keras_inputs_are_refused():
    keras = pytest.importorskip("keras")
    with pytest.raises(UnhashableError, match="KerasTensor"):
        fingerprint(keras.Input((3,)))


def test_scipy_formats_of_one_content_are_equal():
    sparse = pytest.importorskip("scipy.sparse")
    dense = X * (X % 3 == 1)
    csr = sparse.csr_matrix(dense)
    formats = [csr.asformat(name) for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")]
    stored_zero = csr.copy()
    stored_zero.data = np.append(stored_zero.data, np.float32(0))
    stored_zero.indices = np.append(stored_zero.indices, np.int32(0))
    stored_zero.indptr = np.append(stored_zero.indptr[:-1], len(stored_zero.data)).astype(np.int32)
    assert same(*formats, sparse.csr_array(dense), stored_zero)
    rows = fingerprint(csr).samples.tolist()
    assert fingerprint(csr[[3, 1]]).samples.tolist() == [rows[3], rows[1]]
    assert different(
        csr, csr * 2, csr.astype(np.float64), dense, sparse.csr_matrix((4, 6)), sparse.csr_matrix((4, 7))
    )


def test_pandas_by_value():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"n": [1, 2, 3], "s": ["a", "b", None], "c": pandas.Categorical(["u", "v", "u"])}
    )
    frame["t"] = pandas.to_datetime(["2020-01-01", "2020-01-02", None], utc=True)
    frame["i"] = pandas.array([1, None, 3], dtype="Int64")
    rows = fingerprint(frame).samples.tolist()
    shuffled = frame.iloc[[2, 0]]
    assert fingerprint(shuffled).samples.tolist() == [rows[2], rows[0]]
    assert same(frame, frame.set_index(pandas.Index([7, 8, 9])))
    assert same(
        frame[["c"]], frame[["c"]].assign(c=pandas.Categorical(["u", "v", "u"], categories=["w", "v", "u"]))
    )
    assert different(
        frame,
        frame.rename(columns={"n": "m"}),
        frame[["s", "n", "c", "t", "i"]],
        frame.assign(n=frame["n"] * 1.0),
    )
    assert same(Y, pandas.Series(Y, name="y"), pandas.Index(Y))
    assert same(np.array(["a", "b"]), pandas.Series(["a", "b"]), pandas.Series(["a", "b"], dtype=object))
    doubled = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    assert different(doubled, doubled.iloc[:, ::-1])


def test_images_are_one_value_and_a_list_of_them_a_column():
    image = pytest.importorskip("PIL.Image")
    pictures = [image.fromarray(np.full((4, 6), shade, np.uint8)) for shade in (1, 2, 3)]
    assert len(fingerprint((pictures, [0, 1, 2])).samples) == 3
    assert fingerprint(pictures[0]).samples is None
    assert different(*pictures, pictures[0].convert("RGB"), pictures[0].transpose(image.Transpose.ROTATE_90))


def test_a_class_registered_with_optree_is_opened():
    optree = pytest.importorskip("optree")

    @optree.register_pytree_node_class(namespace=optree.registry.__GLOBAL_NAMESPACE)
    class Box:
        def __init__(self, content):
            self.content = content

        def tree_flatten(self):
            return (self.content,), None, ("content",)

        @classmethod
        def tree_unflatten(cls, metadata, children):
            return cls(*children)

    try:
        assert fingerprint(Box(X)).samples is not None
        assert different(Box(X), Box(X + 1), Box(None))
    finally:
        optree.unregister_pytree_node(Box, namespace=optree.registry.__GLOBAL_NAMESPACE)


def test_other_buffers_are_arrays():
    assert same(Y, memoryview(Y))
    assert same((X, b"ab"), (X, bytearray(b"ab")))
