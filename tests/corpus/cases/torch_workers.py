"""What torch's workers copy when they start: random states, streams, shards. P01 - P11, P18, P19, P21, P39."""

# mypy: disable-error-code="misc"
# The frameworks' classes are Any to mypy, and these are subclasses of them.

from __future__ import annotations

import ctypes
import hashlib
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from tests.corpus.case import Case
from tests.corpus.cases.data import COUNT, SIZE, Digits, Noisy, digits, drawn, eighths, passes, which
from tests.corpus.runs import audited

BOTH = ("rng-clone", "rng-epoch-reset")
WORKERS = 4


def loader(dataset: Callable[[], Any], **settings: Any) -> Any:
    return DataLoader(dataset(), SIZE, **{"shuffle": True, "num_workers": WORKERS, **settings})


def worker() -> int:
    """The number of this worker; 0 where there is none."""
    info = get_worker_info()
    return 0 if info is None else int(info.id)


def seed() -> int:
    """What torch seeds this worker with in this epoch; in the main process its own seed."""
    return int(torch.initial_seed())


# -- P01, P04, P11: a worker_init_fn that gives every worker, or every epoch, the same state --------


class FromNumpy(Noisy):
    """Noise from NumPy's global stream, which torch has seeded in its workers since 1.9."""

    def noise(self, index: int) -> Any:
        return eighths(np.random.randint(-3, 4, (8, 8)))


AT_START = np.random.RandomState(7).get_state()


def restore_the_state(worker_id: int) -> None:
    np.random.set_state(AT_START)


def seed_by_number(worker_id: int) -> None:
    np.random.seed(worker_id)


def seed_with_a_constant(worker_id: int) -> None:
    np.random.seed(42)


def seed_from_torch(worker_id: int) -> None:
    np.random.seed(torch.initial_seed() % 2**32)


# -- P02 - P08: generators that belong to the dataset, its transform or its collate function --------


class Cropping(Digits):
    """P02: the place of a crop from the dataset's own torch.Generator. The pixels say it: all are different."""

    def __init__(self) -> None:
        super().__init__()
        self.images = np.arange(COUNT * 64, dtype=np.float32).reshape(COUNT, 8, 8)
        self.generator = torch.Generator().manual_seed(0)

    def __getitem__(self, index: int) -> Any:
        top, left = torch.randint(0, 4, (2,), generator=self.of_this_worker()).tolist()
        return self.images[index][top : top + 5, left : left + 5], self.labels[index]

    def of_this_worker(self) -> torch.Generator | None:
        return self.generator


class CroppingByTheGlobalStream(Cropping):
    def of_this_worker(self) -> None:
        return None


class ThreeNumbers(Dataset[Any]):
    """P03, as in the blog: nothing is stored, each item is drawn."""

    def __init__(self) -> None:
        self.rng = np.random.RandomState(0)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        return self.rng.randint(0, 10_000, 3)


class ThreeNumbersByWorker(ThreeNumbers):
    """Seeded when a worker asks for its first item."""

    seeded = False

    def __getitem__(self, index: int) -> Any:
        if not self.seeded:
            self.rng, self.seeded = np.random.RandomState(seed() % 2**32), True
        return super().__getitem__(index)


class FromPython(Noisy):
    """P04: a `random.Random` of the dataset's own."""

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(0)

    def noise(self, index: int) -> Any:
        return eighths([[self.random.randint(-3, 3) for _ in range(8)] for _ in range(8)])


def reseed_python(worker_id: int) -> None:
    info = get_worker_info()
    assert info is not None
    info.dataset.random.seed(info.seed)


class NoisyStream(IterableDataset[Any]):
    """P05: a stream that shares out its items, and not its randomness."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __iter__(self) -> Iterator[Any]:
        self.begin()
        for index in share(range(COUNT)):
            yield digits()[0][index] + eighths(self.rng.integers(-3, 4, (8, 8))), index

    def begin(self) -> None:
        pass


class NoisyStreamByWorker(NoisyStream):
    def begin(self) -> None:
        if get_worker_info() is not None:
            self.rng = np.random.default_rng(seed())


class Masking:
    """P06: a collate function that masks pixels, as that of a masked language model does tokens."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, items: list[Any]) -> Any:
        images = np.stack([image for image, _ in items])
        noise = eighths(self.of_this_worker().integers(-3, 4, images.shape))
        return torch.from_numpy(images + noise), [label for _, label in items]

    def of_this_worker(self) -> np.random.Generator:
        return self.rng


class MaskingByWorker(Masking):
    """One generator for each (epoch, worker), made where it is first used."""

    made_for: int | None = None

    def of_this_worker(self) -> np.random.Generator:
        if get_worker_info() is not None and self.made_for != seed():
            self.rng, self.made_for = np.random.default_rng(seed()), seed()
        return self.rng


class RandNoise:
    """P07: a transform like MONAI's `Randomizable`, which owns a RandomState."""

    def __init__(self) -> None:
        self.R = np.random.RandomState(0)

    def set_random_state(self, seed: int) -> None:
        self.R = np.random.RandomState(seed)

    def __call__(self, image: Any) -> Any:
        return image + eighths(self.R.randint(-3, 4, (8, 8)))


class Compose:
    """P08: a composition like Albumentations', whose transforms draw from its own generator."""

    def __init__(self, seed: int | None = None) -> None:
        self.transforms = [self._noise]
        self.random_generator = np.random.default_rng(seed)

    def _noise(self, image: Any) -> Any:
        return image + eighths(self.random_generator.integers(-3, 4, (8, 8)))

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


class Transformed(Digits):
    def __init__(self, transform: Callable[[], Any]) -> None:
        super().__init__()
        self.transform = transform()

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return self.transform(image), label


def reseed_transform(worker_id: int) -> None:
    """What `monai.data.worker_init_fn` does."""
    info = get_worker_info()
    assert info is not None
    info.dataset.transform.set_random_state(info.seed % 2**32)


def reseed_composition(worker_id: int) -> None:
    """What Albumentations does since it was told."""
    info = get_worker_info()
    assert info is not None
    info.dataset.transform.random_generator = np.random.default_rng(info.seed)


# -- X01, X02: random states that nobody can read ---------------------------------------------------

LIBC = ctypes.CDLL(None)


class FromC(Noisy):
    """Noise from the C library's `rand`, as augmentation written in C takes it."""

    def noise(self, index: int) -> Any:
        return eighths([[LIBC.rand() % 7 - 3 for _ in range(8)] for _ in range(8)])


def seed_c(worker_id: int) -> None:
    LIBC.srand(torch.initial_seed() % 2**32)


def hashed() -> Callable[[], bytes]:
    """A random stream that looks like none: each draw is the hash of the one before."""
    state = bytearray(32)

    def draw() -> bytes:
        state[:] = hashlib.sha256(state).digest()
        return hashlib.sha512(state).digest()

    return draw


class FromHashes(Noisy):
    def __init__(self) -> None:
        super().__init__()
        self.draw = hashed()

    def noise(self, index: int) -> Any:
        return eighths(np.frombuffer(self.draw(), np.uint8).reshape(8, 8) % 7 - 3.0)


def advance_hashes(worker_id: int) -> None:
    """Workers that are kept begin a long way from each other."""
    info = get_worker_info()
    assert info is not None
    for _ in range(10_000 * worker_id):
        info.dataset.draw()


# -- P18, P19, P21, X04, P39: streams ---------------------------------------------------------------


class Everything(IterableDataset[Any]):
    """P18: knows nothing of its worker."""

    def __iter__(self) -> Iterator[Any]:
        for index in self.order():
            yield digits()[0][index], index

    def order(self) -> Any:
        return range(48)


class ShuffledInside(Everything):
    """P19: each worker has the whole stream in an order of its own, and augments it differently."""

    def __iter__(self) -> Iterator[Any]:
        for image, index in super().__iter__():
            yield image + eighths(torch.randint(-3, 4, (8, 8))), index

    def order(self) -> Any:
        return torch.randperm(48).tolist()


class EverythingShared(Everything):
    """The repair: every worker takes its part."""

    def order(self) -> Any:
        return share(super().order())


class ShuffledAndShared(ShuffledInside):
    """The repair: every worker takes its part of one order, which is another in each epoch."""

    def order(self) -> Any:
        info = get_worker_info()
        return share(np.random.default_rng(info.seed - info.id if info else None).permutation(48).tolist())


def share(order: Any) -> Any:
    """The part of an order that is this worker's."""
    info = get_worker_info()
    return order[info.id :: info.num_workers] if info else order


class FortySix(Everything):
    """P21: shared out well, in parts that are no multiples of the batch."""

    def order(self) -> Any:
        return share(range(46))


class OfShards(Everything):
    """X04: a worker's shards are every fourth, and there are but two."""

    shards = 2

    def order(self) -> Any:
        size = 96 // self.shards
        mine = share(range(self.shards))
        return [index for shard in mine for index in range(shard * size, (shard + 1) * size)]


class OfManyShards(OfShards):
    shards = 8


class DrawnShards(Everything):
    """P39: draws its shards for ever, from a generator that every worker seeds alike."""

    def __init__(self) -> None:
        self.rng: np.random.Generator | None = None

    def order(self) -> Any:
        if self.rng is None:
            self.rng = np.random.default_rng(self.seeds())
        return [shard * 8 + row for shard in self.rng.choice(16, 6) for row in range(8)]

    def seeds(self) -> Any:
        return 0


class DrawnShardsByWorker(DrawnShards):
    def seeds(self) -> Any:
        return [0, worker()]


def index_of(batch: Any) -> Any:
    """The `key=` of the streams, whose samples carry their number."""
    return batch[1]


# -- proofs -----------------------------------------------------------------------------------------


def _draws(make: Callable[[], Any]) -> tuple[int, int, int]:
    """Samples of an epoch, how many different noises they have, and how many new ones the next epoch has."""
    first, second = passes(make(), 2, drawn)
    return len(first), len(set(first)), len(set(second) - set(first))


def _random_proof(sick: Any, twin: Any, clones: int, again: bool) -> str:
    samples, different, new = _draws(sick)
    assert different == samples // clones
    assert new == (0 if again else different)
    assert _draws(twin) == (samples, samples, samples)
    return f"{different} different noises for {samples} samples, {new} new ones in the next epoch"


def _crop_proof() -> str:
    def places(dataset: Callable[[], Any]) -> list[list[int]]:
        """Where each worker cropped in an epoch: the first pixel of an item that has 64 of its own."""
        batches = [batch[0][:, 0, 0].int() % 64 for batch in loader(dataset)]
        return [torch.cat(batches[number::WORKERS]).tolist() for number in range(WORKERS)]

    first, *others = places(Cropping)
    assert all(other == first for other in others) and places(Cropping)[0] == first
    healthy = places(CroppingByTheGlobalStream)
    assert len({tuple(each) for each in healthy}) == WORKERS
    return f"4 workers crop 32 samples each at the same places, and again in the next epoch: {first[:4]} ..."


def _three_numbers_proof() -> str:
    def rows(dataset: Callable[[], Any]) -> list[int]:
        loaded = three(dataset)
        seen = [{tuple(row) for batch in loaded for row in batch.tolist()} for _ in range(3)]
        return [len(seen[0]), len(seen[0] | seen[1] | seen[2])]

    assert rows(ThreeNumbers) == [16, 16]
    assert rows(ThreeNumbersByWorker) == [64, 192]
    return "16 different rows in 3 epochs of 64"


def three(dataset: Callable[[], Any]) -> Any:
    return DataLoader(dataset(), 2, num_workers=WORKERS)


def _stream_proof(sick: Any, twin: Any, samples: int, different: int, healthy: tuple[int, int]) -> str:
    seen = passes(sick(), 1, which)[0]
    assert (len(seen), len(set(seen))) == (samples, different)
    seen = passes(twin(), 1, which)[0]
    assert (len(seen), len(set(seen))) == healthy
    return f"{different} different digits in {samples} samples; repaired, {healthy[1]} in {healthy[0]}"


def _idle_proof() -> str:
    def at_work(dataset: Callable[[], Any]) -> int:
        return len({int(number) for batch in stream(partial(Signed, dataset)) for number in batch[0]})

    assert (at_work(OfShards), at_work(OfManyShards)) == (2, 4)
    return "2 of 4 workers have nothing to do"


class Signed(IterableDataset[Any]):
    """Each item of another stream as the number of the worker that made it."""

    def __init__(self, dataset: Callable[[], Any]) -> None:
        self.dataset = dataset()

    def __iter__(self) -> Iterator[Any]:
        return ((worker(), index) for _, index in self.dataset)


def _shards_proof() -> str:
    def sequences(dataset: Callable[[], Any]) -> set[tuple[int, ...]]:
        batches = [tuple(which(batch[0])) for batch in drawn_shards(dataset)]
        return {sum(batches[number::2], ()) for number in range(2)}

    assert len(sequences(DrawnShards)) == 1
    assert len(sequences(DrawnShardsByWorker)) == 2
    return "both workers give the same 48 digits in the same order"


# -- the cases --------------------------------------------------------------------------------------


def _random(
    id: str, what: str, sick: Any, twin: Any, *, expected: tuple[str, ...] = BOTH, **options: Any
) -> Case:
    clones = options.pop("workers", WORKERS) if "rng-clone" in expected else 1
    proof = partial(_random_proof, sick, twin, clones, "rng-epoch-reset" in expected)
    return _case(id, what, expected, sick, twin, proof, **options)


def _case(
    id: str, what: str, expected: tuple[str, ...], sick: Any, twin: Any, proof: Any, **options: Any
) -> Case:
    allowed = frozenset(options.pop("allowed", ()))
    look = partial(audited, strategy="as-is", **options)
    return Case(
        id, "torch", what, frozenset(expected), partial(look, sick), partial(look, twin), proof, allowed
    )


def masked(collate: Callable[[], Any]) -> Any:
    return loader(Digits, collate_fn=collate())


def stream(dataset: Callable[[], Any], **settings: Any) -> Any:
    return DataLoader(dataset(), SIZE, **{"num_workers": WORKERS, **settings})


def drawn_shards(dataset: Callable[[], Any]) -> Any:
    return stream(dataset, num_workers=2, persistent_workers=True)


def dropping(drop_last: bool) -> Any:
    return stream(FortySix, num_workers=3, drop_last=drop_last)


def _init(dataset: Callable[[], Any], init: Callable[[int], None] | None, **settings: Any) -> Any:
    return partial(loader, dataset, worker_init_fn=init, **settings)


_MONAI = partial(Transformed, RandNoise)
_ALBUMENTATIONS = partial(Transformed, Compose)
_KEPT = {"persistent_workers": True}
_SPAWNED = {"num_workers": 2, "multiprocessing_context": "spawn"}

CASES: tuple[Case, ...] = (
    _random(
        "P01",
        "worker_init_fn restores one state of NumPy's stream",
        _init(FromNumpy, restore_the_state),
        _init(FromNumpy, None),
    ),
    _case(
        "P02",
        "crops from a torch.Generator of the dataset's",
        BOTH,
        partial(loader, Cropping),
        partial(loader, CroppingByTheGlobalStream),
        _crop_proof,
    ),
    _case(
        "P03",
        "items drawn from a RandomState of the dataset's",
        BOTH,
        partial(three, ThreeNumbers),
        partial(three, ThreeNumbersByWorker),
        _three_numbers_proof,
    ),
    _random(
        "P04",
        "noise from a random.Random of the dataset's",
        _init(FromPython, None),
        _init(FromPython, reseed_python),
    ),
    _random(
        "P05",
        "an IterableDataset shared out by worker, with one generator in all",
        partial(stream, NoisyStream),
        partial(stream, NoisyStreamByWorker),
        key=index_of,
    ),
    _random(
        "P06",
        "the collate function holds the generator",
        partial(masked, Masking),
        partial(masked, MaskingByWorker),
    ),
    _random(
        "P07",
        "a transform like MONAI's owns a RandomState",
        _init(_MONAI, None),
        _init(_MONAI, reseed_transform),
    ),
    _random(
        "P07b",
        "the same under spawn: the state is pickled",
        _init(_MONAI, None, **_SPAWNED),
        _init(_MONAI, reseed_transform, **_SPAWNED),
        workers=2,
        epochs=2,
    ),
    _random(
        "P08",
        "a composition like Albumentations' owns a generator",
        _init(_ALBUMENTATIONS, None),
        _init(_ALBUMENTATIONS, reseed_composition),
    ),
    _random(
        "P08b",
        "the same with persistent workers: epochs differ, workers do not",
        _init(_ALBUMENTATIONS, None, **_KEPT),
        _init(_ALBUMENTATIONS, reseed_composition, **_KEPT),
        expected=("rng-clone",),
    ),
    _random(
        "P11",
        "worker_init_fn: np.random.seed(worker_id)",
        _init(FromNumpy, seed_by_number),
        _init(FromNumpy, seed_from_torch),
        expected=("rng-epoch-reset",),
    ),
    _random(
        "P11b",
        "worker_init_fn: np.random.seed(42)",
        _init(FromNumpy, seed_with_a_constant),
        _init(FromNumpy, seed_from_torch),
    ),
    _random(
        "X01",
        "noise from the C library's rand, whose state cannot be read",
        _init(FromC, None),
        _init(FromC, seed_c),
    ),
    _random(
        "X02",
        "a chain of hashes as random stream, in persistent workers",
        _init(FromHashes, None, **_KEPT),
        _init(FromHashes, advance_hashes, **_KEPT),
        expected=("rng-clone",),
    ),
    _case(
        "P18",
        "an IterableDataset that knows nothing of its worker",
        ("unsharded-replica",),
        partial(stream, Everything, num_workers=3),
        partial(stream, EverythingShared, num_workers=3),
        partial(
            _stream_proof,
            partial(stream, Everything, num_workers=3),
            partial(stream, EverythingShared, num_workers=3),
            144,
            48,
            (48, 48),
        ),
    ),
    _case(
        "P19",
        "each worker shuffles and augments the whole stream for itself",
        ("unsharded-replica",),
        partial(stream, ShuffledInside),
        partial(stream, ShuffledAndShared),
        partial(
            _stream_proof,
            partial(stream, ShuffledInside),
            partial(stream, ShuffledAndShared),
            192,
            48,
            (48, 48),
        ),
        key=index_of,
    ),
    _case(
        "P21",
        "drop_last drops the last batch of every worker",
        ("tail-drop",),
        partial(dropping, True),
        partial(dropping, False),
        partial(_stream_proof, partial(dropping, True), partial(dropping, False), 32, 32, (46, 46)),
    ),
    _case(
        "X04",
        "four workers for two shards",
        ("overshard",),
        partial(stream, OfShards),
        partial(stream, OfManyShards),
        _idle_proof,
    ),
    _case(
        "P39",
        "every worker chooses its shards by the same seed",
        ("rng-clone",),
        partial(drawn_shards, DrawnShards),
        partial(drawn_shards, DrawnShardsByWorker),
        _shards_proof,
        key=index_of,
        allowed=("unsharded-replica", "intrinsic-duplicate"),
    ),
)
