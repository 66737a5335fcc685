"""Loaders of several ranks: torch's own, Accelerate's, Lightning's. P14, P22 - P28, P32 - P35, P39."""

# mypy: disable-error-code="misc"
# The frameworks' classes are Any to mypy, and these are subclasses of them.

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset, Subset, random_split

import batchaudit as ba
from tests.corpus.case import Case
from tests.corpus.cases.data import SIZE, Digits, Noisy, digits, drawn, passes, which
from tests.corpus.cases.torch_workers import index_of, share
from tests.corpus.runs import in_ranks

WORLD, EPOCHS = 2, 3

Make = Callable[[int, int], Any]
"""Given the rank and the world, makes the loader of that rank."""


def fit(make: Make, audit: ba.Audit, rank: int, world: int, *, key: Any = None, told: bool = True) -> None:
    """A training of several epochs in one rank; `told` says whether it calls `set_epoch`."""
    loader = audit.wrap(make(rank, world), name="train", key=key)
    for epoch in range(EPOCHS):
        if told and isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(epoch)
        for _batch in loader:
            pass


def of_ranks(make: Make, world: int = WORLD) -> list[list[int]]:
    """Which digits each rank sees in an epoch, with the loaders alone."""
    return [passes(make(rank, world), 1, which)[0] for rank in range(world)]


# -- P22, P23, P24: torch's DistributedSampler ------------------------------------------------------


def distributed(rank: int, world: int, *, count: int = 128, **settings: Any) -> Any:
    data = Digits(count)
    sampler: Any = DistributedSampler(data, world, rank, **settings)
    return DataLoader(data, SIZE, sampler=sampler)


def seeded_by_rank(rank: int, world: int) -> Any:
    return distributed(rank, world, seed=rank)


def evaluated(padded: bool, rank: int, world: int) -> Any:
    """P23, as in its report: 9 items for 4 ranks."""
    data = Digits(9)
    unpadded = range(rank, len(data), world)
    padding: Any = DistributedSampler(data, world, rank, shuffle=False)
    return DataLoader(data, 1, sampler=padding if padded else unpadded)


def _evaluate(padded: bool, audit: ba.Audit, rank: int, world: int) -> None:
    for _batch in audit.wrap(evaluated(padded, rank, world), name="val"):
        pass


# -- P26: folders that are listed in another order on another machine -------------------------------


class Listed(Dataset[Any]):
    """The digits of a folder, in the order in which the machine's file system names them."""

    def __init__(self, machine: int) -> None:
        names = [f"digit-{index:03d}.png" for index in range(64)]
        # As ext4 does: by a hash that each file system has a key of its own for.
        self.names = sorted(names, key=lambda name: hashlib.md5(f"{machine} {name}".encode()).digest())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        number = int(self.names[index][6:9])
        return digits()[0][number], number


class ListedAndSorted(Listed):
    def __init__(self, machine: int) -> None:
        super().__init__(machine)
        self.names.sort()


def of_a_folder(dataset: type[Listed], rank: int, world: int) -> Any:
    data = dataset(rank)
    sampler: Any = DistributedSampler(data, world, rank)
    return DataLoader(data, SIZE, sampler=sampler)


# -- P28: a split that each rank draws for itself ---------------------------------------------------


def split(shared: bool, rank: int, world: int) -> tuple[Any, Any]:
    """Training and validation loader of a rank, whose global stream is seeded with its number, as usual."""
    torch.manual_seed(1234 + rank)
    generator = torch.Generator().manual_seed(42) if shared else None
    train, val = random_split(Digits(), [0.75, 0.25], generator=generator)
    sampler: Any = DistributedSampler(train, world, rank)
    return DataLoader(train, SIZE, sampler=sampler), DataLoader(val, SIZE)


def _fit_split(shared: bool, audit: ba.Audit, rank: int, world: int) -> None:
    train, val = split(shared, rank, world)
    train, val = audit.wrap(train, name="train"), audit.wrap(val, name="val")
    for epoch in range(EPOCHS):
        train.sampler.set_epoch(epoch)
        for _batch in chain(train, val):
            pass


# -- P14: seeds that lie on a lattice ---------------------------------------------------------------


class FromNumpy(Noisy):
    def noise(self, index: int) -> Any:
        return np.random.randint(-3, 4, (8, 8)).astype(np.float32) / 8


def sum_of_numbers(rank: int, worker: int) -> None:
    np.random.seed(1000 + rank + worker)


def mixed_numbers(rank: int, worker: int) -> None:
    np.random.seed(np.random.SeedSequence([1000, rank, worker]).generate_state(4))


def seeded(seed: Callable[[int, int], None], rank: int, world: int) -> Any:
    data = FromNumpy()
    sampler: Any = DistributedSampler(data, world, rank)
    init = partial(seed, rank)
    return DataLoader(
        data, SIZE, sampler=sampler, num_workers=2, persistent_workers=True, worker_init_fn=init
    )


# -- P33 - P35, P39: streams ------------------------------------------------------------------------


class Stream(IterableDataset[Any]):
    """64 digits with their numbers."""

    def __iter__(self) -> Iterator[Any]:
        return ((digits()[0][index], index) for index in self.order())

    def order(self) -> Any:
        return range(64)


class OfARank(Stream):
    """Every rank takes its part, and each of its workers all of that."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world

    def order(self) -> Any:
        return range(self.rank, 64, self.world)


class OfARankAndWorker(OfARank):
    def order(self) -> Any:
        return share(super().order())


class OfTheProcess(OfARank):
    """P34: asks torch.distributed which rank it is in, when it is made."""

    def __init__(self) -> None:
        known = dist.is_initialized()
        super().__init__(*((dist.get_rank(), dist.get_world_size()) if known else (0, 1)))


class Drawn(Stream):
    """P39: chooses its shards of eight digits with the same seed in every rank."""

    def __init__(self, seed: Any) -> None:
        self.rng = np.random.default_rng(seed)

    def order(self) -> Any:
        return [shard * 8 + row for shard in self.rng.choice(16, 6) for row in range(8)]


def streamed(dataset: Callable[[int, int], Any], workers: int, rank: int, world: int) -> Any:
    return DataLoader(dataset(rank, world), SIZE, num_workers=workers)


def drawn_alike(rank: int, world: int) -> Any:
    return Drawn(7)


def drawn_by_rank(rank: int, world: int) -> Any:
    return Drawn([7, rank])


def early_or_late(store: str, late: bool, rank: int, world: int) -> Any:
    """P34: the loader is built before, or after, the process group that knows the rank."""
    early = DataLoader(OfTheProcess(), SIZE)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    return DataLoader(OfTheProcess(), SIZE) if late else early


def _fit_early_or_late(store: str, late: bool, audit: ba.Audit, rank: int, world: int) -> None:
    loader = audit.wrap(early_or_late(store, late, rank, world), name="train", key=index_of)
    for _ in range(EPOCHS):
        for _batch in loader:
            pass
    dist.barrier()  # or it may be gone while the other is still connecting
    dist.destroy_process_group()


def _audit_early_or_late(late: bool) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return in_ranks(WORLD, partial(_fit_early_or_late, str(Path(folder) / "store"), late))


def _bare_early_or_late(store: str, late: bool, rank: int) -> list[int]:
    seen = passes(early_or_late(store, late, rank, WORLD), 1, which)[0]
    dist.barrier()  # or it may be gone while the other is still connecting
    dist.destroy_process_group()
    return seen


# -- P33: Lightning, which gives an IterableDataset no sampler --------------------------------------


def _fit_with_lightning(
    port: int, dataset: Callable[[int, int], Any], audit: ba.Audit, rank: int, world: int
) -> None:
    import lightning.pytorch as pl

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(64, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch[0].flatten(1)).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-4)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=world,
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(dataset(rank, world), SIZE)
    trainer.fit(Model(), audit.wrap(loader, name="train", key=index_of))


def _audit_lightning(dataset: Callable[[int, int], Any]) -> Any:
    return in_ranks(WORLD, partial(_fit_with_lightning, _free_port(), dataset))


def everything(rank: int, world: int) -> Any:
    return Stream()


# -- P32: sharded twice -----------------------------------------------------------------------------


def sliced_and_sampled(rank: int, world: int) -> Any:
    """The rank's own slice, and of that the sampler's."""
    data = Subset(Digits(), range(rank, 128, world))
    sampler: Any = DistributedSampler(data, world, rank, shuffle=False)
    return DataLoader(data, SIZE, sampler=sampler)


def sampled(rank: int, world: int) -> Any:
    return distributed(rank, world, shuffle=False)


def _fit_with_accelerate(port: int, prepared: bool, audit: ba.Audit, rank: int, world: int) -> None:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=False, even_batches=False)
    )
    loader = audit.wrap(DataLoader(OfARank(rank, world), SIZE), name="train", key=index_of)
    if prepared:
        loader = accelerator.prepare(loader)
    for _ in range(EPOCHS):
        for _batch in loader:
            pass
    accelerator.end_training()


def _audit_accelerate(prepared: bool) -> Any:
    return in_ranks(WORLD, partial(_fit_with_accelerate, _free_port(), prepared))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# -- proofs -----------------------------------------------------------------------------------------


def _whole(make: Make, count: int, world: int = WORLD) -> bool:
    """Whether the ranks share an epoch of `count` digits, each once."""
    return sorted(chain(*of_ranks(make, world))) == list(range(count))


def _no_set_epoch_proof() -> str:
    loader = distributed(0, WORLD)
    first, second = passes(loader, 2, which)
    loader.sampler.set_epoch(1)
    assert first == second != passes(loader, 1, which)[0]
    return f"2 epochs in the order {first[:6]} ..., another one with set_epoch(1)"


def _padding_proof() -> str:
    ranks = of_ranks(partial(evaluated, True), 4)
    assert ranks == [[0, 4, 8], [1, 5, 0], [2, 6, 1], [3, 7, 2]]
    assert _whole(partial(evaluated, False), 9, 4)
    return f"the ranks evaluate {ranks}"


def _odd_proof() -> str:
    ranks = of_ranks(_odd)
    assert sum(map(len, ranks)) == 62 and len(set(chain(*ranks))) == 61
    assert ranks[1][-1] == ranks[0][0]  # the head of the order
    assert _whole(_even, 60)
    return f"61 digits are 62 samples: {ranks[0][0]} is the first of rank 0 and the last of rank 1"


def _divergence_proof(sick: Make, twin: Make, count: int) -> str:
    ranks = of_ranks(sick)
    different = len(set(chain(*ranks)))
    assert all(len(set(rank)) == len(rank) == count // WORLD for rank in ranks)
    assert 0.6 < different / count < 0.9 and _whole(twin, count)
    return f"{different} of {count} digits are seen, none twice in a rank"


def _split_proof() -> str:
    def both(shared: bool) -> tuple[int, int]:
        """Digits that a rank validates on and itself trains on; that it validates on and another trains on."""
        seen = [[set(part.dataset.indices) for part in split(shared, rank, WORLD)] for rank in range(WORLD)]
        own = sum(len(train & val) for train, val in seen)
        return own, len(seen[0][1] & seen[1][0])

    assert both(True) == (0, 0)
    own, across = both(False)
    assert own == 0 < across
    return f"{across} of rank 0's 32 validation digits are in rank 1's training data, none in its own"


def _lattice_proof() -> str:
    def noises(seed: Callable[[int, int], None]) -> list[list[list[bytes]]]:
        """Of each rank the noises of its two workers, in the order in which they drew them."""
        batches = [passes(seeded(seed, rank, WORLD), 1, drawn)[0] for rank in range(WORLD)]
        chunks = [[seen[at : at + SIZE] for at in range(0, len(seen), SIZE)] for seen in batches]
        return [[list(chain(*chunk[number::2])) for number in range(2)] for chunk in chunks]

    (a, b), (c, d) = noises(sum_of_numbers)
    assert b == c and len({tuple(each) for each in (a, b, d)}) == 3
    assert len({tuple(worker) for rank in noises(mixed_numbers) for worker in rank}) == 4
    return "worker 1 of rank 0 and worker 0 of rank 1 draw the same noise, no other two do"


def _replica_proof(sick: Make, twin: Make) -> str:
    first, second = of_ranks(sick)
    assert first == second
    assert _whole(twin, 64)
    return f"both ranks see the same {len(first)} digits"


def _drawn_proof() -> str:
    first, second = of_ranks(partial(streamed, drawn_alike, 0))
    one, other = of_ranks(partial(streamed, drawn_by_rank, 0))
    assert first == second and one != other
    return f"both ranks draw the shards {[index // 8 for index in first[::8]]}"


def _worker_replica_proof() -> str:
    ranks = of_ranks(partial(streamed, OfARank, 2))
    assert [len(rank) for rank in ranks] == [64, 64] and not set(ranks[0]) & set(ranks[1])
    assert _whole(partial(streamed, OfARankAndWorker, 2), 64)
    return "each rank sees its 32 digits twice, once from each of its 2 workers"


def _too_early_proof() -> str:
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(WORLD, get_context("spawn")) as ranks:

        def seen(late: bool) -> list[list[int]]:
            bare = partial(_bare_early_or_late, str(Path(folder) / f"store-{late}"), late)
            return list(ranks.map(bare, range(WORLD)))

        early, late = seen(False), seen(True)
    assert early == [list(range(64))] * 2 and sorted(chain(*late)) == list(range(64))
    return "both ranks see all 64 digits"


def _twice_proof() -> str:
    ranks = of_ranks(sliced_and_sampled)
    assert ranks == [list(range(0, 128, 4)), list(range(3, 128, 4))] and _whole(sampled, 128)
    return f"64 of 128 digits are seen: {ranks[0][:4]} ... and {ranks[1][:4]} ..."


def _prepared_proof() -> str:
    from accelerate.data_loader import IterableDatasetShard

    def seen(rank: int) -> list[int]:
        stream: Any = IterableDatasetShard(
            OfARank(rank, WORLD), SIZE, num_processes=WORLD, process_index=rank
        )
        return [index for _, index in stream]

    ranks = [seen(rank) for rank in range(WORLD)]
    assert len(set(chain(*ranks))) == 32 == len(list(chain(*ranks)))
    assert _whole(partial(streamed, OfARank, 0), 64)
    return f"32 of 64 digits are seen: {ranks[0][:9]} ... and {ranks[1][:9]} ..."


# -- the cases --------------------------------------------------------------------------------------


def _case(id: str, what: str, cause: str, sick: Any, twin: Any, proof: Any, **more: Any) -> Case:
    look = partial(in_ranks, more.pop("world", WORLD))
    framework = more.pop("framework", "torch")
    return Case(
        id, framework, what, frozenset({cause}), partial(look, sick), partial(look, twin), proof, **more
    )


_alike, _by_rank = partial(streamed, drawn_alike, 0), partial(streamed, drawn_by_rank, 0)
_listed, _sorted = partial(of_a_folder, Listed), partial(of_a_folder, ListedAndSorted)
_odd, _even = partial(distributed, count=61), partial(distributed, count=60)

CASES: tuple[Case, ...] = (
    _case(
        "P14",
        "seeds of rank and worker added up: two of four coincide",
        "rng-clone",
        partial(fit, partial(seeded, sum_of_numbers)),
        partial(fit, partial(seeded, mixed_numbers)),
        _lattice_proof,
    ),
    _case(
        "P22",
        "DistributedSampler, and nobody calls set_epoch",
        "stale-epoch",
        partial(fit, distributed, told=False),
        partial(fit, distributed),
        _no_set_epoch_proof,
    ),
    _case(
        "P23",
        "9 items are evaluated in 4 ranks as 12",
        "padding-duplicate",
        partial(_evaluate, True),
        partial(_evaluate, False),
        _padding_proof,
        world=4,
    ),
    _case(
        "P23b",
        "61 shuffled items in 2 ranks: one more in each epoch",
        "padding-duplicate",
        partial(fit, _odd),
        partial(fit, _even),
        _odd_proof,
    ),
    _case(
        "P24",
        "DistributedSampler(seed=rank)",
        "order-divergence",
        partial(fit, seeded_by_rank),
        partial(fit, distributed),
        partial(_divergence_proof, seeded_by_rank, distributed, 128),
    ),
    _case(
        "P26",
        "each machine lists the files in another order",
        "order-divergence",
        partial(fit, _listed, key=index_of),
        partial(fit, _sorted, key=index_of),
        partial(_divergence_proof, _listed, _sorted, 64),
    ),
    _case(
        "P28",
        "each rank draws its own random_split",
        "split-leak",
        partial(_fit_split, False),
        partial(_fit_split, True),
        _split_proof,
        allowed=frozenset({"order-divergence"}),  # the ranks' parts of two different training sets
    ),
    _case(
        "P32",
        "a slice for each rank, and a DistributedSampler over it",
        "overshard",
        partial(fit, sliced_and_sampled),
        partial(fit, sampled),
        _twice_proof,
    ),
    Case(
        "P32b",
        "accelerate",
        "a stream that is sharded by rank, and prepared",
        frozenset({"overshard"}),
        partial(_audit_accelerate, True),
        partial(_audit_accelerate, False),
        _prepared_proof,
    ),
    Case(
        "P33",
        "lightning",
        "an IterableDataset in ddp: every rank streams everything",
        frozenset({"unsharded-replica"}),
        partial(_audit_lightning, everything),
        partial(_audit_lightning, OfARank),
        partial(_replica_proof, partial(streamed, everything, 0), partial(streamed, OfARank, 0)),
    ),
    Case(
        "P34",
        "torch",
        "the loader is built before the rank is known",
        frozenset({"unsharded-replica"}),
        partial(_audit_early_or_late, False),
        partial(_audit_early_or_late, True),
        _too_early_proof,
    ),
    _case(
        "P35",
        "shared out by rank and not by worker",
        "unsharded-replica",
        partial(fit, partial(streamed, OfARank, 2), key=index_of),
        partial(fit, partial(streamed, OfARankAndWorker, 2), key=index_of),
        _worker_replica_proof,
    ),
    _case(
        "P39b",
        "every rank chooses its shards by the same seed",
        "rng-clone",
        partial(fit, _alike, key=index_of),
        partial(fit, _by_rank, key=index_of),
        _drawn_proof,
        allowed=frozenset({"unsharded-replica", "intrinsic-duplicate"}),
    ),
)
