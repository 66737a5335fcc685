"""What lies in the data and in its memory: copies, sampling, padding, items that are written to, handles.

Also the digits that the cases of torch, Hugging Face and webdataset feed, and how their proofs read them: the
stored pixels are whole numbers and the noise that is added is in eighths, below a half, so a delivered image
says which digit it is of and what was drawn for it.
"""

# mypy: disable-error-code="misc"
# The frameworks' classes are Any to mypy, and these are subclasses of them.

from __future__ import annotations

import functools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

from tests.corpus.case import Case
from tests.corpus.runs import audited

COUNT, SIZE = 128, 8


# -- the digits, and what a delivered batch says ----------------------------------------------------


@functools.cache
def digits(count: int = COUNT) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The first digits of scikit-learn's: float32 images of (count, 8, 8), whole numbers, and int64 labels."""
    from sklearn.datasets import load_digits

    held = load_digits()
    return held.images[:count].astype(np.float32), held.target[:count].astype(np.int64)


def eighths(whole: Any) -> np.ndarray[Any, Any]:
    """Noise that can be told from the pixels it is added to, exactly: whole numbers from -3 to 3, in eighths."""
    return np.asarray(whole, np.float32) / 8


def which(images: Any) -> list[int]:
    """Which digits the images of a batch are of."""
    return [_known()[image.tobytes()] for image in np.rint(_array(images)) + 0.0]  # no -0.0


def drawn(images: Any) -> list[bytes]:
    """The noise that was added to each image of a batch."""
    images = _array(images)
    return [bytes(((image - np.rint(image)) * 8).astype(np.int8)) for image in images]


def passes(loader: Any, epochs: int, see: Callable[[Any], list[Any]]) -> list[list[Any]]:
    """What `see` says of the images of each epoch, in the order of the samples."""
    return [[seen for batch in loader for seen in see(batch[0])] for _ in range(epochs)]


def _array(images: Any) -> np.ndarray[Any, Any]:
    return np.asarray(images, np.float32).reshape(-1, 8, 8)


@functools.cache
def _known() -> dict[bytes, int]:
    return {image.tobytes(): index for index, image in enumerate(digits(1024)[0])}


class Digits(Dataset[Any]):
    """Digits as they are stored."""

    def __init__(self, count: int = COUNT) -> None:
        self.images, self.labels = digits(count)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index], self.labels[index]


class Noisy(Digits):
    """Digits with noise from torch's global stream, which torch seeds in each worker and each epoch."""

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image + self.noise(index), label

    def noise(self, index: int) -> np.ndarray[Any, Any]:
        return eighths(torch.randint(-3, 4, (8, 8)))


# -- G01, P48: copies in the data, repetition that is meant -----------------------------------------


class WithCopies(Digits):
    """Every tenth digit is in the data a second time, as in CIFAR."""

    def __init__(self) -> None:
        super().__init__()
        self.images = np.concatenate([self.images, self.images[::10]])
        self.labels = np.concatenate([self.labels, self.labels[::10]])


class Deduplicated(WithCopies):
    def __init__(self) -> None:
        super().__init__()
        self.images, first = np.unique(self.images, axis=0, return_index=True)
        self.labels = self.labels[first]


class RepeatedAugmentation(Sampler[int]):
    """DeiT's: each image three times in a row, to be augmented differently each time."""

    def __iter__(self) -> Iterator[int]:
        for index in torch.randperm(48).tolist():
            yield from [index] * 3

    def __len__(self) -> int:
        return 144


def shuffled(dataset: Callable[[], Any]) -> Any:
    return DataLoader(dataset(), SIZE, shuffle=True, num_workers=2)


def repeating() -> Any:
    return DataLoader(Noisy(48), SIZE, sampler=RepeatedAugmentation(), num_workers=2)


def once() -> Any:
    return DataLoader(Noisy(48), SIZE, shuffle=True, num_workers=2)


def with_replacement() -> Any:
    data = Digits()
    return DataLoader(data, SIZE, sampler=RandomSampler(data, replacement=True), num_workers=2)


def _copies(make: Callable[[], Any]) -> Counter[int]:
    """How many digits come how often in an epoch."""
    return Counter(Counter(passes(make(), 1, which)[0]).values())


def _copies_proof() -> str:
    assert _copies(partial(shuffled, WithCopies)) == {1: 115, 2: 13}
    assert _copies(partial(shuffled, Deduplicated)) == {1: 128}
    return "13 of 128 digits come twice in an epoch, whatever the number of workers"


def _repeating_proof() -> str:
    assert _copies(repeating) == {3: 48}
    assert len(set(passes(repeating(), 1, drawn)[0])) == 144  # each time with noise of its own
    assert _copies(once) == {1: 48}
    return "48 digits three times each, with 144 different noises"


def _replacement_proof() -> str:
    copies = _copies(with_replacement)
    assert sum(copies.values()) < 110 and max(copies) > 2
    assert _copies(partial(shuffled, Digits)) == {1: 128}
    return f"{sum(copies.values())} of 128 digits in an epoch, some {max(copies)} times"


# -- X13: a last batch that is filled up from the start ---------------------------------------------


class Wrapped(BatchSampler):
    """Fills the last batch from the head of the order, so that all batches have one size."""

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        order += order[: -len(order) % self.batch_size]
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-len(self.sampler) // int(self.batch_size))


def wrapped_around(sampler: type[BatchSampler]) -> Any:
    data = Digits(61)
    return DataLoader(data, batch_sampler=sampler(RandomSampler(data), SIZE, False), num_workers=2)


def _wrapped_proof() -> str:
    order = passes(wrapped_around(Wrapped), 1, which)[0]
    assert len(order) == 64 and order[61:] == order[:3]
    assert _copies(partial(wrapped_around, BatchSampler)) == {1: 61}
    return "61 digits make 64 samples: the last 3 are the first 3 again"


# -- P43, X11, X12: items that are written to -------------------------------------------------------


class BrightenedInPlace(Digits):
    """pycls#21: the view of a stored image is the stored image."""

    def __init__(self) -> None:
        super().__init__(64)
        self.images = self.images.copy()  # the module's own stay what they are

    def __getitem__(self, index: int) -> Any:
        image = self.stored(index)
        image += 10
        return image, self.labels[index]

    def stored(self, index: int) -> Any:
        return self.images[index]


class Brightened(BrightenedInPlace):
    def stored(self, index: int) -> Any:
        return self.images[index].copy()


class NormalisedInPlace(Dataset[Any]):
    """torch's methods that end in an underscore write where the tensor is stored."""

    def __init__(self) -> None:
        self.images = torch.from_numpy(digits(64)[0].copy())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index].sub_(4.884).div_(6.017)


class Normalised(NormalisedInPlace):
    def __getitem__(self, index: int) -> Any:
        return self.images[index].sub(4.884).div(6.017)


class NoiseInPlace(Noisy):
    """Random, too: noise is added to what the last epoch's noise was added to."""

    def __init__(self) -> None:
        super().__init__(64)
        self.images = self.images.copy()

    def __getitem__(self, index: int) -> Any:
        image = self.images[index]
        image += self.noise(index)
        return image, self.labels[index]


class NoiseOnACopy(Noisy):
    def __init__(self) -> None:
        super().__init__(64)


def in_this_process(dataset: Callable[[], Any]) -> Any:
    return DataLoader(dataset(), SIZE, shuffle=True)


def in_kept_workers(dataset: Callable[[], Any]) -> Any:
    return DataLoader(dataset(), SIZE, num_workers=2, persistent_workers=True)


def _means(loader: Any) -> list[float]:
    """The mean pixel of each of three epochs."""
    images = [[batch[0] if isinstance(batch, list) else batch for batch in loader] for _ in range(3)]
    return [round(float(torch.cat(epoch).mean()), 2) for epoch in images]


def _in_place_proof() -> str:
    first, second, third = _means(in_this_process(BrightenedInPlace))
    assert (second, third) == (round(first + 10, 2), round(first + 20, 2))
    assert len(set(_means(in_this_process(Brightened)))) == 1
    forked = DataLoader(BrightenedInPlace(), SIZE, num_workers=2)
    assert len(set(_means(forked))) == 1  # workers that end with the epoch hide it
    return f"mean pixel of the epochs {first}, {second}, {third}; with workers forked for each, {first}"


def _normalised_proof() -> str:
    means = _means(in_kept_workers(NormalisedInPlace))
    assert len(set(means)) == 3
    assert len(set(_means(in_kept_workers(Normalised)))) == 1
    return f"mean pixel of the epochs {means}"


def _noise_in_place_proof() -> str:
    def spread(dataset: Dataset[Any]) -> list[float]:
        before = digits(64)[0]
        seen = [np.stack([dataset[index][0] for index in range(64)]) for _ in range(3)]
        return [round(float((images - before).std()), 2) for images in seen]

    sick, healthy = spread(NoiseInPlace()), spread(NoiseOnACopy())
    assert sick[2] > 1.5 * sick[0] and max(healthy) < 1.1 * min(healthy)
    return f"deviation from what was stored: {sick}; on a copy {healthy}"


# -- X14: a handle that forked workers share --------------------------------------------------------


class FromAHandle(Dataset[Any]):
    """Opened before the fork: all workers move one position in the file, between a seek and its read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Any = open(path, "rb", buffering=0)  # noqa: SIM115 - as long as the dataset lives

    def __len__(self) -> int:
        return 512

    def __getitem__(self, index: int) -> Any:
        """The digit's rows: what lies between them in the file is of other digits."""
        file = self.handle()
        rows = []
        for row in range(8):
            file.seek((row * len(self) + index) * 32)
            rows.append(np.frombuffer(file.read(32), np.float32))
        return np.stack(rows)

    def handle(self) -> Any:
        return self.file


class FromAHandleOfItsOwn(FromAHandle):
    def __init__(self, path: Path) -> None:
        self.path, self.file, self.owner = path, None, 0

    def handle(self) -> Any:
        if self.owner != os.getpid():
            self.file = open(self.path, "rb", buffering=0)  # noqa: SIM115 - as long as the worker lives
            self.owner = os.getpid()
        return self.file


def from_file(dataset: type[FromAHandle], path: Path) -> Any:
    return DataLoader(dataset(path), SIZE, num_workers=4)


def _with_file(use: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.bin"
        path.write_bytes(digits(512)[0].transpose(1, 0, 2).tobytes())
        return use(path)


def _audit_file(dataset: type[FromAHandle]) -> Any:
    return _with_file(lambda path: audited(partial(from_file, dataset, path), "as-is"))


def _handle_proof() -> str:
    def wrong(dataset: type[FromAHandle], path: Path) -> int:
        read = np.concatenate([batch.numpy() for batch in from_file(dataset, path)])
        return int((read != digits(512)[0]).any(axis=(1, 2)).sum())

    sick = _with_file(lambda path: sum(wrong(FromAHandle, path) for _ in range(4)))
    assert sick > 0
    assert _with_file(lambda path: wrong(FromAHandleOfItsOwn, path)) == 0
    return f"{sick} of 2048 images are not what is stored under their index"


# -- X15: one tensor for all batches of a worker ----------------------------------------------------


class IntoOneTensor:
    """A collate function that saves the allocation; sent to the parent, the tensor is shared with it."""

    def __init__(self) -> None:
        self.batch = torch.empty(SIZE, 8, 8)

    def __call__(self, items: Iterable[Any]) -> torch.Tensor:
        for row, (image, _) in enumerate(items):
            self.batch[row] = torch.from_numpy(image)
        return self.batch


class IntoANewTensor(IntoOneTensor):
    def __call__(self, items: Iterable[Any]) -> torch.Tensor:
        return super().__call__(items).clone()


def collated(collate: Callable[[], Any]) -> Any:
    return DataLoader(Digits(), SIZE, num_workers=2, collate_fn=collate(), prefetch_factor=4)


def _collated_proof() -> str:
    def different(collate: Callable[[], Any]) -> int:
        return len({batch.numpy().tobytes() for batch in list(collated(collate))})

    assert different(IntoOneTensor) == 2
    assert different(IntoANewTensor) == 16
    return "16 batches that are kept hold 2 different contents, one for each worker"


def _case(
    id: str, what: str, cause: str, sick: Any, twin: Any, proof: Callable[[], str], strategy: str = "as-is"
) -> Case:
    return Case(
        id,
        "torch",
        what,
        frozenset({cause}),
        partial(audited, sick, strategy),
        partial(audited, twin, strategy),
        proof,
    )


def _on(loader: Callable[[Any], Any], sick: Any, twin: Any) -> tuple[Any, Any]:
    return partial(loader, sick), partial(loader, twin)


CASES: tuple[Case, ...] = (
    _case(
        "G01",
        "the data holds a tenth of its items twice",
        "intrinsic-duplicate",
        *_on(shuffled, WithCopies, Deduplicated),
        _copies_proof,
    ),
    _case(
        "P48",
        "each image three times an epoch by design, augmented anew each time",
        "intrinsic-duplicate",
        repeating,
        once,
        _repeating_proof,
    ),
    _case(
        "X16",
        "RandomSampler(replacement=True)",
        "intrinsic-duplicate",
        with_replacement,
        partial(shuffled, Digits),
        _replacement_proof,
    ),
    _case(
        "X13",
        "a batch sampler fills the last batch from the head of the order",
        "padding-duplicate",
        *_on(wrapped_around, Wrapped, BatchSampler),
        _wrapped_proof,
    ),
    _case(
        "P43",
        "augmentation writes into the stored image",
        "inplace-mutation",
        *_on(in_this_process, BrightenedInPlace, Brightened),
        _in_place_proof,
    ),
    _case(
        "X11",
        "sub_ and div_ on the stored tensor, in persistent workers",
        "inplace-mutation",
        *_on(in_kept_workers, NormalisedInPlace, Normalised),
        _normalised_proof,
    ),
    _case(
        "X12",
        "random noise is added in place: each epoch's to the one before's",
        "inplace-mutation",
        *_on(in_this_process, NoiseInPlace, NoiseOnACopy),
        _noise_in_place_proof,
    ),
    Case(
        "X14",
        "torch",
        "one file handle, opened before the fork, in all workers",
        frozenset({"shared-state-race"}),
        partial(_audit_file, FromAHandle),
        partial(_audit_file, FromAHandleOfItsOwn),
        _handle_proof,
    ),
    _case(
        "X15",
        "collate_fn fills one tensor again and again, which is in shared memory",
        "buffer-alias",
        *_on(collated, IntoOneTensor, IntoANewTensor),
        _collated_proof,
    ),
)
