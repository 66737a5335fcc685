"""tf.data: ranks, shards, replicas inside a pipeline, and what is never seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

import batchaudit as ba
from tests.corpus import bare
from tests.corpus.case import Case
from tests.corpus.pictures import (
    ALL,
    BATCH,
    BATCHES,
    COUNT,
    IMAGES,
    LABELS,
    Batch,
    different,
    flat,
    numbers_of,
    pictures,
)
from tests.corpus.runs import audited, in_ranks, trained

Dataset = tf.data.Dataset
SPEC = (tf.TensorSpec([None, 8, 8], tf.float32), tf.TensorSpec([None], tf.float32))


def stored() -> Dataset:
    """The pictures, one by one."""
    return Dataset.from_tensor_slices((IMAGES, LABELS))


# -- T05, T09, T10: ranks ---------------------------------------------------------------------------


def shuffled_then_sharded(rank: int, world: int) -> Dataset:
    return stored().shuffle(COUNT).shard(world, rank).batch(BATCH)


def sharded_then_shuffled(rank: int, world: int) -> Dataset:
    return stored().shard(world, rank).shuffle(COUNT).batch(BATCH)


def not_sharded(rank: int, world: int) -> Dataset:
    return stored().shuffle(COUNT, seed=7).batch(BATCH)


def picture_file(folder: str) -> None:
    """All pictures in one file."""
    Path(folder, "pictures.bin").write_bytes(IMAGES.tobytes())


def records(files: Dataset) -> Dataset:
    read = files.interleave(lambda file: tf.data.FixedLengthRecordDataset(file, IMAGES[0].nbytes))
    return read.map(lambda record: tf.reshape(tf.io.decode_raw(record, tf.float32), [8, 8]))


def sharded_by_file(folder: str, rank: int, world: int) -> Dataset:
    """AutoShardPolicy.FILE, written out: there are fewer files than ranks."""
    files = Dataset.list_files(f"{folder}/*.bin", shuffle=False)
    return records(files.shard(world, rank)).batch(BATCH)


def sharded_by_record(folder: str, rank: int, world: int) -> Dataset:
    """AutoShardPolicy.DATA."""
    return records(Dataset.list_files(f"{folder}/*.bin", shuffle=False)).shard(world, rank).batch(BATCH)


def train_rank(make: Callable[[int, int], Dataset], audit: ba.Audit, rank: int, world: int) -> None:
    bare.loop(audit.wrap(make(rank, world), name="train"))


def ranks(make: Callable[[int, int], Dataset], world: int = 2) -> ba.Report:
    return in_ranks(world, partial(train_rank, make))


def ranks_of_files(make: Callable[[str, int, int], Dataset]) -> ba.Report:
    with tempfile.TemporaryDirectory() as folder:
        picture_file(folder)
        return ranks(partial(make, folder))


def _seen(make: Callable[[int, int], Dataset], world: int = 2) -> list[list[int]]:
    return [numbers_of(bare.loop(make(rank, world), epochs=1)[0]) for rank in range(world)]


def divergent_proof() -> str:
    sick, healthy = _seen(shuffled_then_sharded), _seen(sharded_then_shuffled)
    twice, never = len(set(sick[0]) & set(sick[1])), COUNT - len({*sick[0], *sick[1]})
    assert twice == never > COUNT / 8
    assert all(len(set(rank)) == len(rank) for rank in sick)
    assert not set(healthy[0]) & set(healthy[1])
    return f"{twice} pictures are in both ranks, and {never} in none"


def replica_proof() -> str:
    sick, healthy = _seen(not_sharded), _seen(sharded_then_shuffled)
    assert sick[0] == sick[1]
    assert not set(healthy[0]) & set(healthy[1])
    return f"both ranks have the same {COUNT} pictures in the same order"


def files_proof() -> str:
    with tempfile.TemporaryDirectory() as folder:
        picture_file(folder)
        shares = [
            [len(it) for it in _seen(partial(make, folder))] for make in (sharded_by_file, sharded_by_record)
        ]
    assert shares == [[COUNT, 0], [COUNT // 2, COUNT // 2]]
    return f"shares of the ranks {shares[0]}; by record {shares[1]}"


# -- T12, and iterators that are made again: what is never seen -------------------------------------

UNEVEN = COUNT + 5


def uneven() -> Dataset:
    return Dataset.from_tensor_slices(ALL[:UNEVEN])


def without_remainder() -> Dataset:
    return uneven().batch(BATCH, drop_remainder=True)


def with_remainder() -> Dataset:
    return uneven().batch(BATCH)


def remainder_proof() -> str:
    seen = [set(numbers_of(flat(bare.loop(make())))) for make in (without_remainder, with_remainder)]
    assert seen[0] == set(range(COUNT))
    assert seen[1] == set(range(UNEVEN))
    return f"the last {UNEVEN - COUNT} of {UNEVEN} pictures are never seen"


def a_new_iterator_each_step(dataset: Any) -> list[Any]:
    return [next(iter(dataset))[0].numpy() for _ in range(2 * BATCHES)]


def one_iterator(dataset: Any) -> list[Any]:
    batches = iter(dataset.repeat())
    return [next(batches)[0].numpy() for _ in range(2 * BATCHES)]


def each_epoch(dataset: Any) -> list[Any]:
    return flat(bare.loop(dataset, epochs=2))


def in_order() -> Dataset:
    return stored().batch(BATCH)


def live(make: Callable[[], Dataset], train: Callable[[Any], object]) -> ba.Report:
    def given(audit: ba.Audit) -> None:
        train(audit.wrap(make(), name="train"))

    return trained(given)


def first_batch_proof() -> str:
    sick, healthy = different(a_new_iterator_each_step(in_order())), different(each_epoch(in_order()))
    assert (sick, healthy) == (1, BATCHES)
    return f"{2 * BATCHES} steps on {sick} batch of {BATCHES}"


# -- replicas inside a pipeline ---------------------------------------------------------------------


def reader() -> Iterator[Batch]:
    for index in range(BATCHES):
        yield pictures(index)


def one_reader(_: Any) -> Dataset:
    return Dataset.from_generator(reader, output_signature=SPEC)


def four_readers() -> Dataset:
    """ "To read in parallel": each of the four reads all of it."""
    return Dataset.range(4).interleave(one_reader, cycle_length=4, num_parallel_calls=4)


def four_shards() -> Dataset:
    return Dataset.range(4).interleave(
        lambda i: one_reader(i).shard(4, i), cycle_length=4, num_parallel_calls=4
    )


def readers_proof() -> str:
    sick, healthy = (bare.loop(make(), epochs=1)[0] for make in (four_readers, four_shards))
    assert (len(sick), different(sick)) == (4 * BATCHES, BATCHES)
    assert (len(healthy), different(healthy)) == (BATCHES, BATCHES)
    return f"{len(sick)} batches, {different(sick)} of them different"


TAIL = frozenset({"tail-drop"})

CASES = (
    Case(
        "T05",
        "tf.data",
        "2 ranks shuffle without a seed, then shard",
        frozenset({"order-divergence"}),
        lambda: ranks(shuffled_then_sharded),
        lambda: ranks(sharded_then_shuffled),
        divergent_proof,
    ),
    Case(
        "T09",
        "tf.data",
        "2 ranks with one seed, and no shard",
        frozenset({"unsharded-replica"}),
        lambda: ranks(not_sharded),
        lambda: ranks(sharded_then_shuffled),
        replica_proof,
    ),
    Case(
        "T10",
        "tf.data",
        "sharded by file, with 1 file for 2 ranks",
        frozenset({"overshard"}),
        lambda: ranks_of_files(sharded_by_file),
        lambda: ranks_of_files(sharded_by_record),
        files_proof,
    ),
    Case(
        "T12",
        "tf.data",
        "drop_remainder without a shuffle",
        TAIL,
        lambda: audited(without_remainder, "as-is"),
        lambda: audited(with_remainder, "as-is"),
        remainder_proof,
    ),
    Case(
        "next-iter",
        "tf.data",
        "next(iter(dataset)) in every step",
        TAIL,
        lambda: live(in_order, a_new_iterator_each_step),
        lambda: live(in_order, each_epoch),
        first_batch_proof,
    ),
    Case(
        "four-readers",
        "tf.data",
        "interleave over 4 copies of one generator",
        frozenset({"unsharded-replica"}),
        lambda: audited(four_readers, "as-is"),
        lambda: audited(four_shards, "as-is"),
        readers_proof,
    ),
)
