from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from batchaudit.capture.fingerprint import fingerprint
from batchaudit.errors import UsageError
from batchaudit.journal.layout import Event
from batchaudit.journal.reader import load
from batchaudit.journal.secrecy import Secrecy
from batchaudit.journal.writer import JournalWriter

AGES = np.array([17, 42, 42, 99])


@pytest.fixture
def secrecy(tmp_path):
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    return Secrecy.of_file(tmp_path / "key")


def event(step: int = 0) -> Event:
    seen = fingerprint(AGES)
    return Event(
        0, step=step, began_ns=step, digest_hi=seen.digest_hi, digest_lo=seen.digest_lo, samples=seen.samples,
        ids=np.array([5, 0, 7, -1]), streams_before=(3, 0, 0, 0, 9), streams_after=(4, 0, 0, 0, 9),
        framework_seed=1234, text="iterator",
    )  # fmt: skip


def test_nothing_that_could_be_guessed_is_left_in_the_file(tmp_path, secrecy):
    folder = tmp_path / "run"
    writer = JournalWriter(folder, source="s", strategy="t", run="r", secrecy=secrecy)
    writer.append(event())
    writer.close()
    (path,) = folder.glob("*.baj")
    content, plain = path.read_bytes(), event()
    numbers = [plain.digest_hi, plain.digest_lo, *plain.samples.tolist()]
    assert not [number for number in numbers if number.to_bytes(8, "little") in content]
    row = load(folder).events.iloc[0]
    seen = {
        name: row[name] for name in ("digest_hi", "rng_numpy_before", "rng_private_after", "framework_seed")
    }
    assert all(seen.values()) and not set(seen.values()) & {plain.digest_hi, 3, 4, 9, 1234}
    assert not set(load(folder).samples["id"]) & {5, 0, 7, -1}


def test_what_was_equal_stays_equal_and_what_was_unknown_stays_unknown(secrecy):
    one, two = secrecy.hide(event()), secrecy.hide(event())
    assert (one.digest_hi, one.digest_lo, one.samples.tolist()) == (
        two.digest_hi,
        two.digest_lo,
        two.samples.tolist(),
    )
    assert one.samples[1] == one.samples[2] and len(set(one.samples.tolist())) == 3
    assert [bool(state) for state in one.streams_before] == [True, False, False, False, True]
    assert one.streams_before[4] == one.streams_after[4] and one.streams_before[0] != one.streams_after[0]
    nothing = secrecy.hide(Event(2, text="epoch"))
    assert nothing == Event(2, text="epoch")


def test_it_is_blake2b_with_the_key_of_the_file(secrecy):
    key = hashlib.blake2b(b"0123456789abcdef", digest_size=32, person=b"batchaudit key").digest()
    sample = event().samples[:1].tobytes()
    expected = hashlib.blake2b(sample, key=key, digest_size=8, person=b"sample").digest()
    assert secrecy.hide(event()).samples[:1].tobytes() == expected


def test_another_key_gives_other_digests_and_another_name(tmp_path, secrecy):
    (tmp_path / "other").write_bytes(b"0123456789abcdeg")
    other = Secrecy.of_file(tmp_path / "other")
    assert not set(secrecy.hide(event()).samples) & set(other.hide(event()).samples)
    assert secrecy.name != other.name


def test_signed_and_unsigned_ids_of_equal_numbers_are_the_same_item(secrecy):
    ids = [secrecy.hide(Event(0, ids=np.array([3], kind))).ids for kind in ("i8", "u8", "i4")]
    assert ids[0] == ids[1] == ids[2]


def test_a_pickled_writer_goes_on_under_the_key(tmp_path, secrecy):
    writer = JournalWriter(tmp_path / "run", source="s", strategy="t", run="r", secrecy=secrecy)
    writer.append(event(0))
    again = pickle.loads(pickle.dumps(writer))
    again.append(event(1))
    for one in (writer, again):
        one.close()
    log = load(tmp_path / "run")
    assert log.events["digest_lo"].nunique() == 1
    assert {writer["key_name"] for writer in log.writers} == {secrecy.name}


@pytest.mark.parametrize("content", [b"", b"0123456789abcde"])
def test_a_key_that_could_be_guessed_is_refused(tmp_path, content):
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match=f"has {len(content)} bytes"):
        Secrecy.of_file(tmp_path / "key")


def test_a_key_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere.*No such file"):
        Secrecy.of_file(tmp_path / "nowhere")
