"""webdataset's pipelines through torch's loader: shards and their order. P37, P38."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from batchaudit import Report
from tests.corpus.case import Case
from tests.corpus.cases.data import digits, which
from tests.corpus.runs import audited

SHARDS, ROWS, SIZE, WORKERS, EPOCHS = 12, 8, 4, 2, 3

Make = Callable[[list[str]], Any]
"""Given the files of the shards, makes the loader."""


def with_shards(use: Callable[[list[str]], Any]) -> Any:
    """Calls `use` with the names of tar files that hold 96 digits."""
    import webdataset as wds

    images = digits(SHARDS * ROWS)[0]
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / f"digits-{shard:02d}.tar") for shard in range(SHARDS)]
        for shard, name in enumerate(names):
            with wds.TarWriter(name) as tar:
                for row in range(shard * ROWS, (shard + 1) * ROWS):
                    tar.write({"__key__": f"digit{row:03d}", "image.npy": images[row]})
        return use(names)


def keys_of(batch: Any) -> Any:
    return batch[1]


def loaded(pipeline: Any, *, persistent: bool = False) -> Any:
    batches = pipeline.decode().to_tuple("image.npy", "__key__").batched(SIZE)
    return DataLoader(batches, None, num_workers=WORKERS, persistent_workers=persistent)


# -- P37, X17: shards that are shared out wrongly, or not at all ------------------------------------


def stages(*chosen: str) -> Make:
    """A pipeline of the shard list, the stages that are named, and the reading of the shards."""
    return partial(_of_stages, chosen)


def _of_stages(chosen: tuple[str, ...], urls: list[str]) -> Any:
    import webdataset as wds

    made = {"shuffle": wds.shuffle(100), "split": wds.split_by_worker}
    pipeline = wds.DataPipeline(
        wds.SimpleShardList(urls),
        *(made[name] for name in chosen),
        wds.tarfile_to_samples(),
        wds.decode(),
        wds.to_tuple("image.npy", "__key__"),
        wds.batched(SIZE),
    )
    return DataLoader(pipeline, None, num_workers=WORKERS)


def split_by(worker: bool, urls: list[str]) -> Any:
    import webdataset as wds

    splitter = wds.split_by_worker if worker else None
    return loaded(wds.WebDataset(urls, shardshuffle=False, workersplitter=splitter))


# -- P38, X18: the number of the epoch --------------------------------------------------------------


def counting(persistent: bool, urls: list[str]) -> Any:
    """`detshuffle` counts its epochs in the copy that a worker holds."""
    import webdataset as wds

    return loaded(wds.WebDataset(urls, shardshuffle=100, detshuffle=True, seed=7), persistent=persistent)


def shuffled(detshuffle: bool, urls: list[str]) -> Any:
    """Without `detshuffle` the shuffle of the shards begins with the same seed in every epoch."""
    import webdataset as wds

    return loaded(wds.WebDataset(urls, shardshuffle=100, detshuffle=detshuffle, seed=7), persistent=True)


# -- proofs -----------------------------------------------------------------------------------------


def _epochs(make: Make, count: int = EPOCHS) -> list[list[int]]:
    """Which digits each epoch delivers, in their order."""

    def run(urls: list[str]) -> list[list[int]]:
        loader = make(urls)
        return [[index for batch in loader for index in which(batch[0])] for _ in range(count)]

    return list(with_shards(run))


def _share_proof(sick: Make, twin: Make) -> str:
    # Twelve shards in two halves of two orders: to be complete by chance is one in 924.
    epochs = _epochs(sick)
    whole = list(range(SHARDS * ROWS))
    assert all(len(epoch) == len(whole) for epoch in epochs)
    assert any(sorted(epoch) != whole for epoch in epochs)
    assert all(sorted(epoch) == whole for epoch in _epochs(twin))
    return f"of {len(whole)} digits the epochs hold {[len(set(epoch)) for epoch in epochs]}"


def _replica_proof(sick: Make, twin: Make) -> str:
    whole = list(range(SHARDS * ROWS))
    assert sorted(_epochs(sick, 1)[0]) == sorted(whole * WORKERS)
    assert sorted(_epochs(twin, 1)[0]) == whole
    return f"each of {len(whole)} digits is delivered {WORKERS} times"


def _order_proof(sick: Make, twin: Make) -> str:
    first, second, third = _epochs(sick)
    assert first == second == third != sorted(first)
    one, two, three = _epochs(twin)
    assert len({tuple(one), tuple(two), tuple(three)}) == 3
    assert sorted(one) == sorted(first)
    return f"3 epochs begin with the shards {[index // ROWS for index in first[:: SIZE * 2]][:5]}"


# -- the cases --------------------------------------------------------------------------------------


def _audit(make: Make) -> Report:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report: Report = with_shards(lambda urls: audited(partial(make, urls), "as-is", key=keys_of))
    return report


def _case(id: str, what: str, cause: str, sick: Make, twin: Make, proof: Callable[[Make, Make], str]) -> Case:
    looks = partial(_audit, sick), partial(_audit, twin)
    return Case(id, "webdataset", what, frozenset({cause}), *looks, partial(proof, sick, twin))


CASES: tuple[Case, ...] = (
    _case(
        "P37",
        "each worker shuffles the shards before it takes its part of them",
        "order-divergence",
        stages("shuffle", "split"),
        stages("split", "shuffle"),
        _share_proof,
    ),
    _case(
        "P38",
        "detshuffle counts its epochs in workers that end with them",
        "stale-epoch",
        partial(counting, False),
        partial(counting, True),
        _order_proof,
    ),
    _case(
        "X17",
        "a pipeline without a worker splitter",
        "unsharded-replica",
        partial(split_by, False),
        partial(split_by, True),
        _replica_proof,
    ),
    _case(
        "X18",
        "shardshuffle without detshuffle: one order of the shards for ever",
        "stale-epoch",
        partial(shuffled, False),
        partial(shuffled, True),
        _order_proof,
    ),
)
