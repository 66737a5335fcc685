"""Hugging Face's datasets through torch's loader. P25, P29, P30."""

# mypy: disable-error-code="misc"
# The frameworks' classes are Any to mypy, and these are subclasses of them.

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

import batchaudit as ba
from tests.corpus.case import Case
from tests.corpus.cases.data import SIZE, digits
from tests.corpus.cases.torch_workers import share
from tests.corpus.runs import audited, in_ranks, trained

ROWS, WORLD, EPOCHS = 64, 2, 3


def table() -> Any:
    """Digits with the number of their row."""
    import datasets

    return datasets.Dataset.from_dict({"image": digits(ROWS)[0].tolist(), "row": list(range(ROWS))})


def stream(shards: int = 8) -> Any:
    return table().to_iterable_dataset(num_shards=shards).with_format("torch")


def loaded(dataset: Any, workers: int = 0) -> Any:
    return DataLoader(dataset, SIZE, num_workers=workers)


def row_of(batch: Any) -> Any:
    return batch["row"]


def _rows(loader: Any) -> list[int]:
    return [row for batch in loader for row in batch["row"].tolist()]


# -- P25, P30: ranks --------------------------------------------------------------------------------


def shuffled_stream(seed: int | None, rank: int, world: int) -> Any:
    """The shards of a stream, shuffled before they are given to the ranks."""
    from datasets.distributed import split_dataset_by_node

    return loaded(split_dataset_by_node(stream().shuffle(seed=seed, buffer_size=1), rank, world))


def shuffled_table(seed: int | None, rank: int, world: int) -> Any:
    from datasets.distributed import split_dataset_by_node

    return loaded(split_dataset_by_node(table().with_format("torch").shuffle(seed=seed), rank, world))


def whole_stream(rank: int, world: int) -> Any:
    return loaded(stream())


def part_of_the_stream(rank: int, world: int) -> Any:
    from datasets.distributed import split_dataset_by_node

    return loaded(split_dataset_by_node(stream(), rank, world))


def _fit(make: Callable[[int, int], Any], epochs: int, audit: ba.Audit, rank: int, world: int) -> None:
    train = audit.wrap(make(rank, world), name="train", key=row_of)
    for epoch in range(epochs):
        if hasattr(train.dataset, "set_epoch"):
            train.dataset.set_epoch(epoch)
        for _batch in train:
            pass


def _of_ranks(make: Callable[[int, int], Any]) -> list[list[int]]:
    return [_rows(make(rank, WORLD)) for rank in range(WORLD)]


def _divergence_proof(make: Callable[[int | None, int, int], Any]) -> str:
    # Two draws agree now and then, ten in a row do not.
    seen = [_of_ranks(partial(make, None)) for _ in range(10)]
    different = [len(set(chain(*ranks))) for ranks in seen]
    assert all(len(set(rank)) == len(rank) == ROWS // WORLD for ranks in seen for rank in ranks)
    assert min(different) < ROWS
    assert sorted(chain(*_of_ranks(partial(make, 7)))) == list(range(ROWS))
    return f"of {ROWS} rows {sum(different) / 10:.0f} are seen, over ten trials"


def _whole_stream_proof() -> str:
    first, second = _of_ranks(whole_stream)
    assert first == second == list(range(ROWS))
    assert sorted(chain(*_of_ranks(part_of_the_stream))) == list(range(ROWS))
    return f"both ranks see all {ROWS} rows in one order"


# -- P29, X03: workers ------------------------------------------------------------------------------


class Prepared(IterableDataset[Any]):
    """A stream of one's own over a table, as those that pack or tokenise on the way."""

    def __init__(self) -> None:
        self.table = table().with_format("torch")

    def __iter__(self) -> Iterator[Any]:
        for row in self.rows():
            yield {"image": self.table[row]["image"] / 16, "row": row}

    def rows(self) -> Any:
        return range(len(self.table))


class PreparedAndShared(Prepared):
    def rows(self) -> Any:
        return share(super().rows())


def prepared(dataset: Callable[[], Any]) -> Any:
    return loaded(dataset(), workers=4)


def of_shards(shards: int) -> Any:
    return loaded(stream(shards), workers=4)


def _prepared_proof() -> str:
    rows = _rows(prepared(Prepared))
    assert sorted(rows) == sorted(list(range(ROWS)) * 4)
    assert sorted(_rows(prepared(PreparedAndShared))) == list(range(ROWS))
    return f"{len(rows)} samples are delivered of {ROWS} rows"


def _idle_proof() -> str:
    def at_work(shards: int) -> int:
        """torch takes a batch of each worker in turn, and of none that has nothing."""
        rows = [batch["row"].tolist() for batch in of_shards(shards)]
        return len({row[0] * shards // ROWS for row in rows[:4]})

    assert (at_work(2), at_work(8)) == (2, 4)
    return "2 of 4 workers have a shard"


# -- X05: a shuffled stream that is not told the epoch ----------------------------------------------


def shuffled() -> Any:
    return stream().shuffle(seed=42, buffer_size=16)


def _fit_shuffled(told: bool, audit: ba.Audit) -> None:
    dataset = shuffled()
    train = audit.wrap(loaded(dataset), name="train", key=row_of)
    for epoch in range(EPOCHS):
        if told:
            dataset.set_epoch(epoch)
        for _batch in train:
            pass


def _shuffled_proof() -> str:
    dataset = shuffled()
    loader = loaded(dataset)
    first, second = _rows(loader), _rows(loader)
    dataset.set_epoch(1)
    assert first == second != _rows(loader)
    return f"2 epochs in the order {first[:6]} ..., another one with set_epoch(1)"


# -- the cases --------------------------------------------------------------------------------------


def _case(id: str, what: str, cause: str, look: Any, sick: Any, twin: Any, proof: Any) -> Case:
    look_at = partial(look, sick), partial(look, twin)
    return Case(id, "datasets", what, frozenset({cause}), *look_at, proof)


_ranks = partial(in_ranks, WORLD)
_as_is = partial(audited, strategy="as-is", key=row_of)

CASES: tuple[Case, ...] = (
    _case(
        "P25",
        "each rank shuffles the shards of a stream without a seed",
        "order-divergence",
        _ranks,
        partial(_fit, partial(shuffled_stream, None), EPOCHS),
        partial(_fit, partial(shuffled_stream, 7), EPOCHS),
        partial(_divergence_proof, shuffled_stream),
    ),
    _case(
        "P25b",
        "each rank shuffles the rows of a table without a seed",
        "order-divergence",
        _ranks,
        partial(_fit, partial(shuffled_table, None), 1),
        partial(_fit, partial(shuffled_table, 7), 1),
        partial(_divergence_proof, shuffled_table),
    ),
    _case(
        "P29",
        "an IterableDataset around a table: each worker goes through all of it",
        "unsharded-replica",
        _as_is,
        partial(prepared, Prepared),
        partial(prepared, PreparedAndShared),
        _prepared_proof,
    ),
    _case(
        "P30",
        "a stream that was not split by node: each rank streams everything",
        "unsharded-replica",
        _ranks,
        partial(_fit, whole_stream, EPOCHS),
        partial(_fit, part_of_the_stream, EPOCHS),
        _whole_stream_proof,
    ),
    _case(
        "X03",
        "a stream of 2 shards for 4 workers",
        "overshard",
        _as_is,
        partial(of_shards, 2),
        partial(of_shards, 8),
        _idle_proof,
    ),
    _case(
        "X05",
        "a stream that is shuffled with a seed, and nobody calls set_epoch",
        "stale-epoch",
        trained,
        partial(_fit_shuffled, False),
        partial(_fit_shuffled, True),
        _shuffled_proof,
    ),
)
