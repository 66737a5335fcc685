from __future__ import annotations

import copy
import gc
import multiprocessing
import sys
from itertools import islice

import numpy as np
import pytest

grain = pytest.importorskip("grain")

import batchaudit as ba  # noqa: E402
from batchaudit import sources  # noqa: E402
from batchaudit.journal.reader import load  # noqa: E402
from batchaudit.sources.kinds import Kind  # noqa: E402
from tests.sources.delivered import epochs, given, logged  # noqa: E402

ROWS, SIZE = 24, 4


@pytest.fixture(scope="module", autouse=True)
def parsed_flags():
    from absl import flags

    flags.FLAGS.mark_as_parsed()  # as `absl.app.run` does; grain asks for it where it starts processes


@pytest.fixture(autouse=True)
def threads_ended():
    yield
    gc.collect()  # iterators of grain's end their threads, but lie in cycles of grain's own


class Digits:
    """Real digits, which say of themselves which they are."""

    def __init__(self):
        from sklearn.datasets import load_digits

        self.images = load_digits().data[:ROWS]

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return {"image": self.images[index], "row": np.int64(index)}

    def __repr__(self):
        return "Digits()"


class Noise(grain.transforms.RandomMap):
    """Draws from the stream that grain gives each record."""

    def random_map(self, element, rng):
        return {**element, "image": element["image"] + rng.normal(size=64)}


class OwnNoise(grain.transforms.Map):
    """Draws from a stream of its own, of which each worker has a copy."""

    def __init__(self):
        self.rng = np.random.default_rng(7)

    def map(self, element):
        return {**element, "noise": self.rng.normal()}


class Fails(grain.transforms.Map):
    def map(self, element):
        if element["row"] == 13:
            raise LookupError("no such digit")
        return element


def loader(workers=0, transformation=None):
    sampler = grain.samplers.IndexSampler(
        ROWS, shuffle=True, seed=3, num_epochs=1, shard_options=grain.sharding.NoSharding()
    )
    return grain.DataLoader(
        data_source=Digits(),
        sampler=sampler,
        operations=[transformation or Noise(), grain.transforms.Batch(SIZE)],
        worker_count=workers,
    )


def mapped():
    return grain.MapDataset.source(Digits()).seed(5).shuffle().random_map(Noise()).batch(SIZE)


def streamed():
    return mapped().to_iter_dataset()


def prefetched(workers=2):
    return streamed().mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def then_a_thread():
    return grain.experimental.ThreadPrefetchIterDataset(prefetched(), prefetch_buffer_size=2)


def then_mapped():
    return prefetched().map(lambda batch: {**batch, "image": batch["image"] / 16})


MAKES = {
    "DataLoader": loader,
    "DataLoader, 2 workers": lambda: loader(2),
    "MapDataset": mapped,
    "IterDataset": streamed,
    "mp_prefetch": prefetched,
    "mp_prefetch, then a thread": then_a_thread,
    "mp_prefetch, then map": then_mapped,
}
IN_WORKERS = ("DataLoader, 2 workers", "mp_prefetch", "mp_prefetch, then a thread")


def copied(batches):
    """Batches out of grain's shared memory, which goes with the arrays."""
    return [{name: np.array(leaf) for name, leaf in batch.items()} for batch in batches]


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.mark.parametrize("name", MAKES)
def test_two_passes_are_what_they_are_unwatched_and_what_the_log_says(name, folder):
    make = MAKES[name]
    plain = copied(make())
    assert len(plain) == ROWS // SIZE
    with ba.Audit(folder) as audit:
        source = make()
        watched = audit.wrap(source, name="digits")
        assert isinstance(watched, type(source))
        assert audit.wrap(watched) is watched
        assert audit.wrap(source) is watched
        seen = [copied(watched) for _ in range(2)]
        report = audit.report()
    for each in seen:
        assert_same(each, plain)
    found = logged(folder, "digits")
    assert epochs(found) == given(*seen)
    assert (found.delivered["made"] >= 0).all()
    # The streams that grain gives the records repeat with each pass, as they should.
    assert "rng-clone" not in [finding.cause for finding in report.findings]
    if name in IN_WORKERS:
        # Two new processes a pass, in turns.
        made = found.produced.loc[found.delivered["made"]]
        assert made["framework_worker"].tolist() == [0, 1] * (ROWS // SIZE)
        assert made["pid"].nunique() == 4
        assert set(found.delivered["pid"]).isdisjoint(made["pid"])
    else:
        assert set(found.produced["pid"]) == set(found.delivered["pid"])


def test_a_stream_of_its_own_is_seen_to_be_the_same_in_each_worker(folder):
    with ba.Audit(folder) as audit:
        for _ in audit.wrap(loader(2, OwnNoise()), name="digits"):
            pass
    made = logged(folder, "digits").produced
    first = [rows["rng_private_before"].iloc[0] for _, rows in made.groupby("framework_worker")]
    assert first[0] == first[1] != 0
    assert made["rng_private_before"].nunique() == ROWS // SIZE // 2


@pytest.mark.parametrize("make", [loader, lambda: loader(2), streamed, prefetched])
def test_a_checkpoint_is_the_same_and_goes_on_the_same(make, folder):
    unwatched = make()
    plain = iter(unwatched)
    copied(islice(plain, 2))
    state = copy.deepcopy(plain.get_state())
    rest = copied(plain)
    with ba.Audit(folder) as audit:
        source = audit.wrap(make(), name="digits")
        begun = iter(source)
        copied(islice(begun, 2))
        assert begun.get_state() == state
        assert str(begun).startswith(str(plain)[:20])
        assert isinstance(begun, type(plain))
        assert_same(copied(begun), rest)
        resumed = iter(source)
        resumed.set_state(state)
        assert_same(copied(resumed), rest)
    assert len(rest) == ROWS // SIZE - 2


@pytest.mark.parametrize("make", [lambda: loader(2), prefetched])
def test_a_pass_that_is_left_ends_its_workers(make, folder):
    before = multiprocessing.active_children()
    with ba.Audit(folder) as audit:
        iterator = iter(audit.wrap(make(), name="digits"))
        next(iterator)
        assert len(multiprocessing.active_children()) == len(before) + 2
        gc.collect()
        gc.disable()
        try:
            del iterator
            assert multiprocessing.active_children() == before
        finally:
            gc.enable()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_users_transformation_raises_comes_through(workers, folder):
    with pytest.raises(LookupError) as plain:
        list(loader(workers, Fails()))
    with ba.Audit(folder) as audit, pytest.raises(LookupError) as watched:
        list(audit.wrap(loader(workers, Fails()), name="digits"))
    assert str(watched.value) == str(plain.value)
    assert set(logged(folder, "digits").raised["text"]) == {"LookupError"}


def test_a_map_dataset_is_asked_by_number(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(mapped(), name="digits")
        assert len(watched) == ROWS // SIZE
        seen = [[watched[i] for i in range(len(watched))] for _ in range(2)]
        assert not sources.is_twin(watched[1:3])
    found = logged(folder, "digits")
    assert epochs(found) == given(*seen)
    assert found.produced["index"].tolist() == [*range(ROWS // SIZE)] * 2


def test_what_is_made_of_a_map_dataset_is_not_watched_but_its_iteration_is(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(mapped(), name="digits")
        for made in (watched.map(len), watched.shuffle(3), watched.repeat(2), watched.pipe(lambda it: it)):
            assert not sources.is_twin(made)
        seen = copied(watched.to_iter_dataset())
    assert epochs(logged(folder, "digits")) == given(seen)


def test_what_is_made_of_an_iter_dataset_is_what_it_is_unwatched(folder):
    plain = copied(streamed().map(lambda batch: batch))
    with ba.Audit(folder) as audit:
        watched = audit.wrap(streamed(), name="digits")
        assert_same(copied(watched.map(lambda batch: batch)), plain)
    assert epochs(logged(folder, "digits")) == given(plain)


def test_what_a_hook_claims_it_delivers_itself(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(prefetched(), name="digits")
        recorder = sources.recorder_of(watched)
        recorder.claim()
        seen, tickets = [], []
        for batch in watched:
            tickets.append(recorder.take_ticket())
            seen += copied([batch])
        recorder.release()
    events = load(folder).events
    assert "delivered" not in set(events["stage"])
    # By hand: pandas makes floats of integers below and above 2^63.
    made = {
        int(row.ticket): (int(row.digest_hi), int(row.digest_lo))
        for row in events[events["stage"] == "produced"].itertuples()
    }
    assert [[made[ticket] for ticket in tickets]] == given(seen)


def test_after_the_audit_it_goes_on_unwatched(folder):
    with ba.Audit(folder) as audit:
        watched = audit.wrap(loader(2), name="digits")
        during = copied(watched)
    with pytest.warns(ba.errors.BatchauditWarning):
        assert_same(copied(watched), during)
    assert epochs(logged(folder, "digits")) == given(during)


def test_kinds_are_told_without_loading_grain(monkeypatch):
    assert sources.kind_of(mapped()) is Kind.INDEXED
    assert sources.kind_of(streamed()) is Kind.ITERABLE
    assert sources.kind_of(loader()) is Kind.ITERABLE
    monkeypatch.delitem(sys.modules, "grain")
    assert sources.kind_of(streamed()) is Kind.ITERABLE  # as any iterable
