"""Journal files cut and damaged in every way that can be drawn: nothing raised, nothing false, no loss uncounted.

A file is written by the real writer. What is read of a damaged copy is held, byte by byte, to what is read of the
file itself; and every byte of the copy must be in a record that was read, in the header, or counted as dropped.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from batchaudit.errors import JournalError
from batchaudit.journal.header import header_size
from batchaudit.journal.layout import HEAD, KIND_END, SUFFIX, SYNC, Event, Stage
from batchaudit.journal.reader import load
from batchaudit.journal.scan import Scan, scan
from batchaudit.journal.writer import JournalWriter
from tests.faults.contents import of_log

MUTATIONS = 100_000
SMALL, LONG = 60, 8_300  # events; a copy of the header stands about every 4,096
_TAIL = 4_096
_ONE_IN_LONG = 20  # of so many damaged files one is the long one
_ONE_LOADED = 50  # and of so many small ones one is read from a folder, in each mode
_TEXTS = ("", "", "epoch", "exhausted", "ValueError: ü", "x" * 300)


@dataclass(frozen=True)
class Original:
    """A file as it was written.

    Attributes:
        data: its bytes.
        found: what is read of it.
        rows: by sequence number, the row of its event in `found`; -1 for the end and copies of the header.
        sizes: by sequence number, the bytes of its record.
        digests: the bytes of each event's digests.
        ids: the bytes of each event's ids.
        written: what was read of it as a log, by value.
    """

    data: bytes
    found: Scan
    rows: np.ndarray[Any, Any]
    sizes: np.ndarray[Any, Any]
    digests: list[bytes]
    ids: list[bytes]
    written: frozenset[Any]


@dataclass
class Tally:
    """What was seen; `wrong` is what never may be."""

    files: Counter[str] = field(default_factory=Counter)
    loads: int = 0
    read: int = 0
    lost: int = 0
    clean_cuts: int = 0
    exchanged: int = 0
    no_header: int = 0
    wrong: list[str] = field(default_factory=list)


def written(folder: Path, count: int, seed: int) -> Original:
    """Writes a journal with the real writer, and reads it.

    Args:
        folder: an empty one.
        count: events.
        seed: what they hold.
    """
    drawn = random.Random(seed)
    writer = JournalWriter(folder, source="train", strategy="live", run="r", about={"kind": "iterable"})
    tickets = [0]
    for number in range(count):
        tickets.append(writer.append(_event(drawn, number, tickets[-1])))
    writer.close()
    (path,) = folder.glob(f"*{SUFFIX}")
    data = path.read_bytes()
    found = scan(data)
    is_event = found.kinds < KIND_END - 1
    rows = np.full(len(found.seqs), -1)
    rows[found.seqs[is_event]] = np.arange(int(is_event.sum()))
    sizes = np.array(list(_sizes(data, len(found.seqs))))
    assert found.bytes_dropped == 0 and header_size(data) + sizes.sum() == len(data)
    digests = _stretches(found.digests, found.records["sample_count"])
    ids = _stretches(found.ids, found.records["id_count"])
    values = frozenset(what for _, what in of_log(load(folder)))
    return Original(data, found, rows, sizes, digests, ids, values)


def _stretches(values: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> list[bytes]:
    return [each.tobytes() for each in np.split(values, np.cumsum(counts.astype(np.int64)))[:-1]]


def _event(drawn: random.Random, number: int, ticket: int) -> Event:
    words = [drawn.getrandbits(64) for _ in range(drawn.randrange(6))]
    samples = np.array(words, np.uint64) if words else None
    ids = (
        np.array([drawn.randrange(-(2**63), 2**63) for _ in words], np.int64)
        if drawn.random() < 0.5
        else None
    )
    stage = drawn.choice(tuple(Stage))
    return Event(
        stage, drawn.randrange(64), drawn.getrandbits(40), number % 3, number, drawn.randrange(-1, 99),
        ticket if stage == Stage.DELIVERED else 0, drawn.getrandbits(64), drawn.getrandbits(64), 8 * len(words),
        10 * number, 10 * number + 5, samples=samples, ids=ids if words else None, text=drawn.choice(_TEXTS),
    )  # fmt: skip


def _sizes(data: bytes, count: int) -> Iterator[int]:
    """The bytes of each record of an undamaged file."""
    at = header_size(data)
    for _ in range(count):
        assert data.startswith(SYNC, at)
        size = HEAD.size + HEAD.unpack_from(data, at)[2]
        yield size
        at += size


# -- what is done to a file -----------------------------------------------------------------------


def _stretch(drawn: random.Random, data: bytearray, most: int) -> tuple[int, int]:
    begin = drawn.randrange(len(data))
    return begin, min(len(data), begin + drawn.randrange(1, most))


def _flip(drawn: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(drawn.choice((1, 1, 1, 2, 8))):
        data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)


def _insert(drawn: random.Random, data: bytearray, other: bytes) -> None:
    at = drawn.randrange(len(data) + 1)
    data[at:at] = drawn.randbytes(drawn.choice((1, 3, 8, 200)))


def _delete(drawn: random.Random, data: bytearray, other: bytes) -> None:
    begin, end = _stretch(drawn, data, drawn.choice((2, 9, 600, 5_000)))
    del data[begin:end]


def _swap(drawn: random.Random, data: bytearray, other: bytes) -> None:
    size = drawn.choice((1, 8, 64, 512, 4_096))
    blocks = max(len(data) // size, 1)
    one, two = (size * drawn.randrange(blocks) for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


def _duplicate(drawn: random.Random, data: bytearray, other: bytes) -> None:
    begin, end = _stretch(drawn, data, drawn.choice((9, 600, 5_000)))
    at = drawn.choice((end, drawn.randrange(len(data) + 1)))
    data[at:at] = data[begin:end]


def _zero(drawn: random.Random, data: bytearray, other: bytes) -> None:
    page = drawn.choice((512, 4_096))
    begin = page * drawn.randrange(len(data) // page + 1)
    end = min(begin + page, len(data))
    data[begin:end] = bytes(end - begin)


def _splice(drawn: random.Random, data: bytearray, other: bytes) -> None:
    begin, end = _stretch(drawn, bytearray(other), 5_000)
    at = drawn.choice((0, drawn.randrange(len(data) + 1)))
    data[at : at + drawn.choice((0, end - begin))] = other[begin if at else 0 : end]


def _cut(drawn: random.Random, data: bytearray, other: bytes) -> None:
    del data[drawn.randrange(len(data)) :]


KINDS: dict[str, Callable[[random.Random, bytearray, bytes], None]] = {
    "flip": _flip, "insert": _insert, "delete": _delete, "swap": _swap, "duplicate": _duplicate, "zero": _zero,
    "splice": _splice, "cut": _cut,
}  # fmt: skip


def mutated(data: bytes, other: bytes, drawn: random.Random) -> tuple[str, bytes]:
    """A damaged copy of a file, and in which ways."""
    copy, names = bytearray(data), []
    for _ in range(drawn.choice((1, 1, 1, 2, 3))):
        if copy:
            names.append(drawn.choice(tuple(KINDS)))
            KINDS[names[-1]](drawn, copy, other)
    return names[0], bytes(copy)


# -- what is read of it ---------------------------------------------------------------------------


def judge(data: bytes, originals: dict[int, Original], of: Original, tally: Tally) -> None:
    """Holds what is read of a damaged file to what was written.

    Args:
        data: its bytes.
        originals: the undamaged files by their key: it may have become a copy of another one.
        of: which one was damaged.
        tally: counts what was seen.
    """
    found = scan(data)
    if found.header is None:
        tally.no_header += 1
        tally.lost += len(of.found.records)
        if len(found.seqs) or found.bytes_dropped != len(data):
            tally.wrong.append("records without a header, or bytes that nobody counts")
        return
    original = originals[found.header.key]
    if not _is_part(found, original):
        tally.wrong.append("a record that was not written")
    tally.read += len(found.records)
    used = header_size(data) + int(original.sizes[found.seqs].sum())
    if used + found.bytes_dropped != len(data):
        tally.wrong.append(f"{len(data)} bytes, of which {used} are read and {found.bytes_dropped} dropped")
    seen = np.unique(found.seqs)
    missing = len(original.sizes) - len(seen)
    if original is of and not missing:
        return
    tally.lost += int((of.rows >= 0).sum()) - (int((of.rows[seen] >= 0).sum()) if original is of else 0)
    gaps = int(seen.max()) + 1 - len(seen) if len(seen) else 0
    if not found.bytes_dropped and not gaps:
        if original is not of and original.data.startswith(data):
            tally.exchanged += 1  # for another whole one: as documented, nothing in a folder tells of it
            return
        # The documented one that leaves no trace but the missing end.
        tally.clean_cuts += 1
        if original is not of or (found.kinds == KIND_END).any():
            tally.wrong.append("a loss that nothing tells of")


def _is_part(found: Scan, original: Original) -> bool:
    """Whether all that was read is what was written under those numbers, to the last bit."""
    if len(found.seqs) and int(found.seqs.max()) >= len(original.rows):
        return False
    is_event = found.kinds < KIND_END - 1
    rows = original.rows[found.seqs]
    if not np.array_equal(rows >= 0, is_event):
        return False
    rows = rows[is_event]
    whole = original.found
    if found.records.tobytes() != whole.records[rows].tobytes():
        return False
    for read, stretches in ((found.digests, original.digests), (found.ids, original.ids)):
        if read.tobytes() != b"".join([stretches[row] for row in rows]):
            return False
    texts = {place: whole.texts[row] for place, row in enumerate(rows.tolist()) if row in whole.texts}
    return found.texts == texts


def judge_load(data: bytes, folder: Path, originals: dict[int, Original], tally: Tally) -> None:
    """Reads a damaged file from a folder, in each mode."""
    tally.loads += 1
    path = folder / f"damaged{SUFFIX}"
    path.write_bytes(data)
    known = frozenset[Any]().union(*(one.written for one in originals.values()))
    log = load(folder)
    health = log.health
    read = Counter(what for _, what in of_log(log))
    if not known.issuperset(read) or max(read.values(), default=1) > 1:
        tally.wrong.append("load gave a record that was not written, or one twice")
    whole = any(one.written == read.keys() for one in originals.values())
    if not whole and health.complete and not health.files_not_ended:
        tally.wrong.append("load lost something and does not say so")
    try:
        load(folder, mode="strict")
        if not health.complete:
            tally.wrong.append("strict took what is not complete")
    except JournalError:
        if health.complete:
            tally.wrong.append("strict refused what is complete")
    salvaged = load(folder, mode="salvage")
    sure = salvaged.events["flags"] & 64 == 0
    if sorted(salvaged.events["seq"][sure]) != sorted(log.events["seq"]):
        tally.wrong.append("salvage has other records that verify")
    if int((~sure).sum()) != salvaged.health.unverified:
        tally.wrong.append("salvage does not count what does not verify")


def run(count: int, seed: int, *, long: bool = True) -> Tally:
    """Cuts files at every byte and damages others at random.

    Args:
        count: how many to damage.
        seed: what is drawn.
        long: whether a file of several thousand events is among them, and cut at each of its last bytes.
    """
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="batchaudit-mutations-") as name:
        folders = [Path(name) / each for each in ("small", "other", "long", "damaged")]
        for folder in folders:
            folder.mkdir()
        small, other = (written(folder, SMALL, seed + at) for at, folder in enumerate(folders[:2]))
        files = [small, written(folders[2], LONG, seed + 2)] if long else [small]
        originals = {one.found.header.key: one for one in (*files, other) if one.found.header is not None}
        for file, first in zip(files, (0, len(files[-1].data) - _TAIL), strict=False):
            for end in range(first, len(file.data) + 1):
                tally.files["every byte"] += 1
                judge(file.data[:end], originals, file, tally)
                if file is small and end % _ONE_LOADED == 0:
                    judge_load(file.data[:end], folders[3], originals, tally)
        for number in range(count):
            drawn = random.Random(f"{seed} {number}")
            file = files[-1] if number % _ONE_IN_LONG == 0 else small
            kind, data = mutated(file.data, other.data, drawn)
            tally.files[kind] += 1
            before = len(tally.wrong)
            judge(data, originals, file, tally)
            if file is small and number % _ONE_LOADED == 1:
                judge_load(data, folders[3], originals, tally)
            tally.wrong[before:] = [f"mutation {number}: {what}" for what in tally.wrong[before:]]
    return tally


def main(count: int | None, seed: int) -> int:
    """Runs it at full size; 0 if every promise held."""
    began = time.monotonic()
    tally = run(count or MUTATIONS, seed)
    cuts = tally.files.pop("every byte")
    print(f"{cuts:,} cuts, one at every byte of a whole small file and of the last {_TAIL:,} of a long one")
    kinds = ", ".join(f"{many:,} {kind}" for kind, many in sorted(tally.files.items()))
    print(f"{tally.files.total():,} damaged files, by what was done first: {kinds}")
    print(
        f"{tally.read:,} records read, {tally.lost:,} lost; {tally.loads:,} of the files loaded in each mode"
    )
    print(
        f"{tally.no_header:,} files without a header left, {tally.clean_cuts:,} cut exactly between records, "
        f"{tally.exchanged:,} exchanged for another whole one"
    )
    print(
        f"wrong records, uncounted losses, exceptions: {len(tally.wrong)}; {time.monotonic() - began:.0f} s"
    )
    for what in tally.wrong[:20]:
        print(what)
    return 1 if tally.wrong else 0
