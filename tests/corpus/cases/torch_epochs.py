"""What is the same in every epoch of torch's loaders and should not be, and what a start does again.

P42, P46, P50; numbers that do not reach persistent workers; augmentation that belongs to the sample.
"""

# mypy: disable-error-code="misc"
# The frameworks' classes are Any to mypy, and these are subclasses of them.

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler

import batchaudit as ba
from tests.corpus.case import Case
from tests.corpus.cases.data import SIZE, Digits, Noisy, digits, drawn, eighths, passes, which
from tests.corpus.cases.torch_workers import index_of, share
from tests.corpus.runs import audited, in_attempts, trained

EPOCHS = 3


# -- P42: a sampler that repeats --------------------------------------------------------------------


class Repeating:
    """YOLOv5's `_RepeatSampler` around batches that were drawn once."""

    def __init__(self, batches: BatchSampler) -> None:
        self.batches = list(batches)

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield from self.batches

    def __len__(self) -> int:
        return len(self.batches)


class Reshuffling(Repeating):
    def __init__(self, batches: BatchSampler) -> None:
        self.batches = batches  # type: ignore[assignment]


class InfiniteDataLoader(DataLoader[Any]):
    """YOLOv5's: one iterator, and so the same workers, for all epochs."""

    repeat: type[Repeating] = Repeating
    iterator: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        object.__setattr__(self, "batch_sampler", self.repeat(self.batch_sampler))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Any:
        if self.iterator is None:
            self.iterator = super().__iter__()
        return islice(self.iterator, len(self))


class ReshufflingLoader(InfiniteDataLoader):
    repeat = Reshuffling


def endless(loader: type[InfiniteDataLoader]) -> Any:
    return loader(Noisy(64), SIZE, shuffle=True, num_workers=2)


def _train_endlessly(loader: type[InfiniteDataLoader], audit: ba.Audit) -> None:
    made = endless(loader)
    # One pass of torch's that never ends: where its epochs do, only the user knows.
    train = audit.wrap(made, name="train", steps_per_epoch=len(made))
    for _ in range(EPOCHS):
        for _batch in train:
            pass


# -- P50: one order of the files for every execution ------------------------------------------------


class Files(IterableDataset[Any]):
    """Shuffles its files of 8 digits with a seed, and has no number of the execution to mix into it."""

    def __init__(self) -> None:
        self.executions = 0

    def __iter__(self) -> Iterator[Any]:
        files = list(range(12))
        random.Random(self.seed()).shuffle(files)
        for index in (file * 8 + row for file in share(files) for row in range(8)):
            yield digits()[0][index], index

    def seed(self) -> int:
        return 42


class FilesOfEachExecution(Files):
    def seed(self) -> int:
        self.executions += 1
        return 42 + self.executions


def files(dataset: Callable[[], Any]) -> Any:
    return DataLoader(dataset(), SIZE)


# -- X06, X07: an epoch's number that persistent workers never hear of ------------------------------


class Told(IterableDataset[Any]):
    """A stream whose order is that of the epoch it was told."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        for index in share(np.random.default_rng([7, int(self.epoch)]).permutation(96).tolist()):
            yield digits()[0][index], index


class ToldThroughMemory(Told):
    """The repair: the number lies where the workers can read it."""

    def __init__(self) -> None:
        self.epoch: Any = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        self.epoch.fill_(epoch)


class NoiseOfTheEpoch(Noisy):
    """Noise of (epoch, index): right, as long as the epoch arrives."""

    def __init__(self) -> None:
        super().__init__(64)
        self.epoch: Any = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def noise(self, index: int) -> Any:
        return eighths(np.random.default_rng([7, int(self.epoch), index]).integers(-3, 4, (8, 8)))


class NoiseOfTheSharedEpoch(NoiseOfTheEpoch):
    def __init__(self) -> None:
        super().__init__()
        self.epoch = torch.zeros(1, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        self.epoch.fill_(epoch)


def told(dataset: Callable[[], Any]) -> Any:
    made = dataset()
    shuffle = None if isinstance(made, IterableDataset) else True
    return DataLoader(made, SIZE, shuffle=shuffle, num_workers=2, persistent_workers=True)


def _train_told(dataset: Callable[[], Any], key: Any, audit: ba.Audit) -> None:
    train = audit.wrap(told(dataset), name="train", key=key)
    for epoch in range(EPOCHS):
        train.dataset.set_epoch(epoch)
        for _batch in train:
            pass


def _told(dataset: Callable[[], Any], see: Callable[[Any], list[Any]]) -> list[list[Any]]:
    """What `see` says of each epoch of the loop above."""
    loader = told(dataset)
    epochs = []
    for epoch in range(EPOCHS):
        loader.dataset.set_epoch(epoch)
        epochs.extend(passes(loader, 1, see))
    return epochs


# -- X08, X09: augmentation that belongs to the sample ----------------------------------------------


class NoiseOfTheIndex(Noisy):
    """X08: "reproducible" noise, which each digit keeps for the whole training."""

    def __init__(self) -> None:
        super().__init__(64)

    def noise(self, index: int) -> Any:
        return eighths(np.random.default_rng(index).integers(-3, 4, (8, 8)))


class NewNoise(Noisy):
    def __init__(self) -> None:
        super().__init__(64)


class CachedWithNoise(NewNoise):
    """X09: the cache is of what is augmented, and persistent workers keep it."""

    @functools.cached_property
    def cache(self) -> dict[int, Any]:
        return {}

    def __getitem__(self, index: int) -> Any:
        if index not in self.cache:
            self.cache[index] = super().__getitem__(index)
        return self.cache[index]


class CachedBeforeNoise(CachedWithNoise):
    def __getitem__(self, index: int) -> Any:
        if index not in self.cache:
            self.cache[index] = Digits.__getitem__(self, index)
        image, label = self.cache[index]
        return image + self.noise(index), label


def by_sample(dataset: Callable[[], Any], persistent: bool) -> Any:
    return DataLoader(dataset(), SIZE, shuffle=True, num_workers=2, persistent_workers=persistent)


# -- X10: an iterator made anew for every step ------------------------------------------------------


def _step_by_step(anew: bool, audit: ba.Audit) -> None:
    for _batch in _steps(audit.wrap(in_order(), name="train"), anew):
        pass


def in_order() -> Any:
    return DataLoader(Digits(96), SIZE)


def _steps(loader: Any, anew: bool) -> Iterator[Any]:
    """24 steps, which are two epochs."""
    for _ in range(2):
        iterator = iter(loader)
        for _step in range(12):
            yield next(iter(loader) if anew else iterator)


# -- P46: a second start that begins again ----------------------------------------------------------

DONE = 10  # steps of the first start, whose epoch has 16


def resumed(skip: int) -> Any:
    """The loader of a start; `skip` batches of its first epoch have been trained on."""
    order = torch.Generator().manual_seed(1337)
    data = Digits()
    batches = list(BatchSampler(RandomSampler(data, generator=order), SIZE, False))[skip:]
    return DataLoader(data, batch_sampler=batches)


def _first_start(audit: ba.Audit) -> None:
    for _batch in islice(audit.wrap(resumed(0), name="train"), DONE):
        pass


def _second_start(skip: int, audit: ba.Audit) -> None:
    for _batch in audit.wrap(resumed(skip), name="train"):
        pass


def windows(done: int) -> Iterator[Any]:
    """nanoGPT's batches: windows of a text, drawn from a generator that is seeded where training starts."""
    text = torch.from_numpy(digits(64)[0].ravel())
    draw = torch.Generator().manual_seed(1337 + done)
    while True:
        starts = torch.randint(0, len(text) - 64, (SIZE,), generator=draw).tolist()
        yield torch.stack([text[start : start + 64] for start in starts]), torch.tensor(starts)


def _start_of_windows(done: int, audit: ba.Audit) -> None:
    for _batch in islice(audit.wrap(windows(done), name="train", key=index_of, steps_per_epoch=64), DONE):
        pass


# -- proofs -----------------------------------------------------------------------------------------


def _order_proof(sick: Callable[[], list[list[Any]]], twin: Callable[[], list[list[Any]]]) -> str:
    first, *others = sick()
    assert all(other == first for other in others) and first != sorted(first)
    healthy = twin()
    assert all(one != other for one, other in pairwise(healthy))
    assert all(sorted(each) == sorted(healthy[0]) == sorted(first) for each in healthy)
    return f"{EPOCHS} epochs in the order {first[:6]} ..."


def _in_passes(make: Callable[[], Any]) -> Callable[[], list[list[Any]]]:
    return lambda: passes(make(), EPOCHS, which)


def _noise_proof(
    sick: Callable[[], list[list[Any]]], twin: Callable[[], list[list[Any]]], most: float
) -> str:
    seen = {noise for epoch in sick() for noise in epoch}
    healthy = {noise for epoch in twin() for noise in epoch}
    assert len(seen) <= most * 64 and len(healthy) == EPOCHS * 64
    return f"64 samples have {len(seen)} different noises in {EPOCHS} epochs"


def _versions(make: Callable[[], Any]) -> Callable[[], list[list[Any]]]:
    return lambda: passes(make(), EPOCHS, drawn)


def _steps_proof() -> str:
    def seen(anew: bool) -> int:
        return len({index for batch in _steps(in_order(), anew) for index in which(batch[0])})

    assert (seen(True), seen(False)) == (SIZE, 96)
    return "24 steps see 8 of 96 samples"


def _resume_proof() -> str:
    before = [which(batch[0]) for batch in islice(resumed(0), DONE)]
    again = [which(batch[0]) for batch in resumed(0)]
    onwards = [which(batch[0]) for batch in resumed(DONE)]
    assert again[:DONE] == before and len(again) == 16
    assert sorted(chain(*before, *onwards)) == list(range(128))
    return f"the first {DONE} batches of the second start are those of the first"


def _windows_proof() -> str:
    def starts(done: int) -> list[list[int]]:
        return [batch[1].tolist() for batch in islice(windows(done), DONE)]

    assert starts(0) == starts(0)
    assert not {tuple(each) for each in starts(0)} & {tuple(each) for each in starts(DONE)}
    return f"all {DONE} batches of the second start are those of the first"


# -- the cases --------------------------------------------------------------------------------------


def _case(id: str, what: str, cause: str, look: Any, sick: Any, twin: Any, proof: Any) -> Case:
    return Case(id, "torch", what, frozenset({cause}), partial(look, sick), partial(look, twin), proof)


_as_is = partial(audited, strategy="as-is")
_files = partial(audited, strategy="as-is", key=index_of)

CASES: tuple[Case, ...] = (
    _case(
        "P42",
        "YOLOv5's endless loader repeats batches that were drawn once",
        "stale-epoch",
        trained,
        partial(_train_endlessly, InfiniteDataLoader),
        partial(_train_endlessly, ReshufflingLoader),
        partial(
            _order_proof,
            _in_passes(partial(endless, InfiniteDataLoader)),
            _in_passes(partial(endless, ReshufflingLoader)),
        ),
    ),
    _case(
        "P50",
        "the files are shuffled with the same seed in each execution",
        "stale-epoch",
        _files,
        partial(files, Files),
        partial(files, FilesOfEachExecution),
        partial(
            _order_proof, _in_passes(partial(files, Files)), _in_passes(partial(files, FilesOfEachExecution))
        ),
    ),
    _case(
        "X06",
        "set_epoch on a stream whose persistent workers hold copies of it",
        "stale-epoch",
        trained,
        partial(_train_told, Told, index_of),
        partial(_train_told, ToldThroughMemory, index_of),
        partial(_order_proof, partial(_told, Told, which), partial(_told, ToldThroughMemory, which)),
    ),
    Case(
        "X07",
        "torch",
        "noise of (epoch, index), and persistent workers that stay in the first epoch",
        frozenset({"stale-epoch"}),
        partial(trained, partial(_train_told, NoiseOfTheEpoch, None)),
        partial(trained, partial(_train_told, NoiseOfTheSharedEpoch, None)),
        partial(
            _noise_proof,
            partial(_told, NoiseOfTheEpoch, drawn),
            partial(_told, NoiseOfTheSharedEpoch, drawn),
            1,
        ),
        allowed=frozenset({"frozen-augmentation"}),  # each sample's noise is the same in every epoch
    ),
    _case(
        "X08",
        "noise from a generator that is seeded with the index",
        "frozen-augmentation",
        _as_is,
        partial(by_sample, NoiseOfTheIndex, False),
        partial(by_sample, NewNoise, False),
        partial(
            _noise_proof,
            _versions(partial(by_sample, NoiseOfTheIndex, False)),
            _versions(partial(by_sample, NewNoise, False)),
            1,
        ),
    ),
    _case(
        "X09",
        "persistent workers cache what they have augmented",
        "frozen-augmentation",
        _as_is,
        partial(by_sample, CachedWithNoise, True),
        partial(by_sample, CachedBeforeNoise, True),
        partial(
            _noise_proof,
            _versions(partial(by_sample, CachedWithNoise, True)),
            _versions(partial(by_sample, CachedBeforeNoise, True)),
            2,
        ),
    ),
    _case(
        "X10",
        "next(iter(loader)) at each step",
        "tail-drop",
        trained,
        partial(_step_by_step, True),
        partial(_step_by_step, False),
        _steps_proof,
    ),
    _case(
        "P46",
        "a resumed training begins its epoch again, with the same seed",
        "resume-replay",
        in_attempts,
        [_first_start, partial(_second_start, 0)],
        [_first_start, partial(_second_start, DONE)],
        _resume_proof,
    ),
    _case(
        "P46b",
        "nanoGPT: the generator of the batches is seeded alike at each start",
        "resume-replay",
        in_attempts,
        [partial(_start_of_windows, 0), partial(_start_of_windows, 0)],
        [partial(_start_of_windows, 0), partial(_start_of_windows, DONE)],
        _windows_proof,
    ),
)
