"""Healthy torch loaders, with what torch's users do that looks like a defect."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
import webdataset
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)

import batchaudit as ba
from tests.corpus.case import Healthy
from tests.corpus.pictures import ALL, BATCH, COUNT, IMAGES, LABELS
from tests.corpus.runs import audited, in_attempts, in_ranks, trained

SHARDS = 4


def stored(count: int = COUNT) -> TensorDataset:
    return TensorDataset(torch.tensor(ALL[:count]), torch.arange(count))


def loader(dataset: Any, workers: int = 2, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=BATCH, num_workers=workers, **options)


def as_is(make: Callable[[], Any], **options: Any) -> ba.Report:
    return audited(make, "as-is", **options)


# -- samplers ---------------------------------------------------------------------------------------


def weighted() -> DataLoader[Any]:
    weights = torch.tensor(1.0 + LABELS)
    return loader(stored(), sampler=WeightedRandomSampler(weights.tolist(), COUNT, replacement=True))


def oversampled() -> DataLoader[Any]:
    rare = Subset(stored(), np.flatnonzero(LABELS == 8).tolist())
    return loader(ConcatDataset([stored(), rare, rare, rare]), shuffle=True)


class Repeated(Sampler[int]):
    """Repeated augmentation (Hoffer et al. 2020): each picture three times an epoch, on purpose."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(COUNT // 3).repeat_interleave(3).tolist())

    def __len__(self) -> int:
        return COUNT // 3 * 3


class Curriculum(Sampler[int]):
    """Begins with the first quarter, the easy ones, and takes more in each epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(torch.randperm(len(self)).tolist())

    def __len__(self) -> int:
        return min(COUNT, COUNT // 4 * max(self.epoch, 1))


def dropping_the_last() -> DataLoader[Any]:
    return loader(stored(COUNT + 5), shuffle=True, drop_last=True)


# -- augmentation -----------------------------------------------------------------------------------


class Dropped(Dataset[Any]):
    """Pixels dropped by torch's own stream, which torch seeds anew in every worker and epoch."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        image = torch.tensor(IMAGES[index])
        return image * (torch.rand(8, 8) > 0.2), index


def mixed(samples: list[Any]) -> Any:
    """MixUp in the collate function."""
    images = torch.stack([image for image, _ in samples])
    other = torch.randperm(len(images))
    share = float(np.random.beta(0.4, 0.4))
    labels = torch.tensor([float(label) for _, label in samples])
    return share * images + (1 - share) * images[other], share * labels + (1 - share) * labels[other]


# -- streams ----------------------------------------------------------------------------------------


class Strided(IterableDataset[Any]):
    """Each worker reads a stride of its own."""

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        for index in range(first, COUNT, step):
            yield IMAGES[index], index


def hugging_face() -> DataLoader[Any]:
    table = datasets.Dataset.from_dict(
        {"image": IMAGES.reshape(COUNT, -1).tolist(), "row": list(range(COUNT))}
    )
    return loader(table.to_iterable_dataset(num_shards=SHARDS).with_format("torch"))


def tar_files(folder: str) -> list[str]:
    names = [os.path.join(folder, f"digits-{shard}.tar") for shard in range(SHARDS)]
    for shard, name in enumerate(names):
        with webdataset.TarWriter(name) as tar:
            for row in range(shard, COUNT, SHARDS):
                tar.write({"__key__": f"{row:04d}", "image.npy": IMAGES[row], "row.cls": row})
    return names


def tars(names: list[str]) -> DataLoader[Any]:
    pipeline = webdataset.WebDataset(names, shardshuffle=False).decode().to_tuple("image.npy", "row.cls")
    return DataLoader(pipeline.batched(BATCH), batch_size=None, num_workers=2)


def web_dataset() -> ba.Report:
    with tempfile.TemporaryDirectory() as folder:
        return as_is(partial(tars, tar_files(folder)))


# -- batches that are no plain arrays ---------------------------------------------------------------


class Sentences(Dataset[Any]):
    """Rows of different lengths, in dictionaries."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        length = 3 + index % 11
        return {"input_ids": torch.arange(index, index + length), "label": torch.tensor(index % 2)}


def padded(samples: list[Any]) -> Any:
    ids = [sample["input_ids"] for sample in samples]
    return {
        "input_ids": torch.nn.utils.rnn.pad_sequence(ids, batch_first=True),
        "attention_mask": torch.nn.utils.rnn.pad_sequence(
            [torch.ones_like(it) for it in ids], batch_first=True
        ),
        "label": torch.stack([sample["label"] for sample in samples]),
    }


def ragged(samples: list[Any]) -> Any:
    return [sample["input_ids"] for sample in samples], [int(sample["label"]) for sample in samples]


# -- trainings --------------------------------------------------------------------------------------


def over(batches: Any, epochs: int = 3, set_epoch: Callable[[int], object] | None = None) -> None:
    for epoch in range(epochs):
        if set_epoch is not None:
            set_epoch(epoch)
        for _ in batches:
            pass


def train_rank(audit: ba.Audit, rank: int, world: int) -> None:
    sampler: DistributedSampler[Any] = DistributedSampler(stored(), num_replicas=world, rank=rank)
    over(audit.wrap(loader(stored(), 0, sampler=sampler), name="train"), set_epoch=sampler.set_epoch)


def train_curriculum(audit: ba.Audit) -> None:
    over(audit.wrap(loader(stored(), 0, sampler=Curriculum()), name="train"))


def train_and_validate(audit: ba.Audit) -> None:
    parts = random_split(stored(), [COUNT - 48, 48], generator=torch.Generator().manual_seed(1))
    training = audit.wrap(loader(parts[0], shuffle=True), name="train")
    validation = audit.wrap(loader(parts[1]), name="val")
    for _ in range(3):
        over(training, 1)
        over(validation, 1)


def train_from(begin: int, audit: ba.Audit) -> None:
    """Two epochs, each with an order of its own number: a resumed training goes on."""
    generator = torch.Generator()
    batches = audit.wrap(loader(stored(), 0, shuffle=True, generator=generator), name="train")
    over(batches, 2, lambda epoch: generator.manual_seed(begin + epoch))


HEALTHY = (
    Healthy("weighted", "torch", "sampled with replacement, by weight", lambda: as_is(weighted)),
    Healthy("oversampled", "torch", "a rare class four times", lambda: as_is(oversampled)),
    Healthy(
        "repeated-augmentation",
        "torch",
        "each picture three times an epoch, augmented each time",
        lambda: as_is(lambda: loader(Dropped(), sampler=Repeated())),
    ),
    Healthy("curriculum", "torch", "more of the data in each epoch", lambda: trained(train_curriculum)),
    Healthy(
        "drop-last", "torch", "other samples are dropped in each epoch", lambda: as_is(dropping_the_last)
    ),
    Healthy(
        "torch-augmentation",
        "torch",
        "torch's global stream in workers that are forked anew each epoch",
        lambda: as_is(lambda: loader(Dropped(), shuffle=True)),
    ),
    Healthy(
        "persistent-workers",
        "torch",
        "torch's global stream in persistent workers",
        lambda: as_is(lambda: loader(Dropped(), shuffle=True, persistent_workers=True)),
    ),
    Healthy(
        "mixup",
        "torch",
        "pictures are mixed in the collate function",
        lambda: as_is(lambda: loader(stored(), shuffle=True, collate_fn=mixed)),
    ),
    Healthy("strided", "torch", "a sharded IterableDataset", lambda: as_is(lambda: loader(Strided()))),
    Healthy("hf-streaming", "datasets", "more shards than workers", lambda: as_is(hugging_face)),
    Healthy("webdataset-shards", "webdataset", "more shards than workers", web_dataset),
    Healthy(
        "padded-dicts",
        "torch",
        "dictionaries, padded to the longest of each batch",
        lambda: as_is(lambda: loader(Sentences(), shuffle=True, collate_fn=padded)),
    ),
    Healthy(
        "ragged-lists",
        "torch",
        "lists of rows of different lengths",
        lambda: as_is(lambda: loader(Sentences(), shuffle=True, collate_fn=ragged)),
    ),
    Healthy(
        "set-epoch", "torch", "DistributedSampler in 2 ranks, with set_epoch", lambda: in_ranks(2, train_rank)
    ),
    Healthy(
        "split-once",
        "torch",
        "random_split with a seed; validated in one order",
        lambda: trained(train_and_validate),
    ),
    Healthy(
        "resumed",
        "torch",
        "resumed, and goes on with the next epochs",
        lambda: in_attempts([partial(train_from, 0), partial(train_from, 2)]),
    ),
)
