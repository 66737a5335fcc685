"""Logs that no training has written: every checksum verifies, and the values are what somebody likes.

They are made of real logs, of which values are replaced by extreme ones.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from batchaudit.journal.header import Header, encode_header
from batchaudit.journal.layout import KIND_END, SUFFIX, Event, IdKind, encode, encode_header_copy, seal
from batchaudit.journal.scan import scan

SIGNED = (-(2**63), -(2**62), -1, 0, 1, 2, 2**31, 2**53, 2**62, 2**63 - 1)
UNSIGNED = (0, 1, 2**31, 2**53, 2**63, 2**64 - 1)
NAMES = ("", "a", "../../x", "<script>", "\x1b[2J\u202e\n", "s" * 3_000)
TEXTS = (
    "",
    "exhausted",
    "epoch",
    "iterator",
    "set_epoch",
    "on_epoch_end",
    "same-index {",
    "orders []",
    "x" * 99,
)
STRATEGIES = (
    "", "live", "serial", "baseline", "baseline, again", "fork:2", "probe orders, fork:2", "advice clock, serial",
    "advice costs, serial", "advice candidate, fork:2", "torch:2", "\x1b[2J",
)  # fmt: skip
METADATA: dict[str, tuple[Any, ...]] = {
    "attempt": (0, 1, 999, 10**9 - 1), "rank": (0, 1, 5, 2**17 - 1), "world": (0, 2, 8, 2**17), "pid": (0, 2**63 - 1),
    "source": NAMES, "strategy": STRATEGIES, "host": NAMES, "run": NAMES, "started_ns": (0, -1, 2**63 - 1),
}  # fmt: skip
ABOUT: dict[str, tuple[Any, ...]] = {
    "kind": ("", "iterator", "iterable", "indexed", "dataset", "x"), "framework": ("torch", "keras", "x"),
    "ids": ("", "key", "dataset-1", "dataset"), "split": ("training", "validation", "x"), "data": ("", "a"),
    "order": ("shuffled", "x"), "items": (0, 1, 2**31, 2**53), "batches": (0, 1, 2**53), "drawn": (0, 2**53),
    "batch_size": (0, 1, 2**53), "rows": (0, 2**53), "workers": (0, 2**53), "shuffles": (None, True, False, "x"),
    "set_epoch": (True, False), "drop_last": (True, False), "hooks": ([], ["on_epoch_end"]), "echoes": (True,),
    "shards": ([], [0], [2**53]), "fixed_tail": (True, False),
}  # fmt: skip
_SIGNED_FIELDS = ("epoch", "step", "index", "began_ns", "ended_ns")
_UNSIGNED_FIELDS = ("thread", "ticket", "digest_hi", "digest_lo", "nbytes", "framework_seed")
_TOLD = (None, -1, 10**30, "x", [], {}, [1, "a", None], 1.5, True)


class File(NamedTuple):
    """One journal file: `header`, and its `events`."""

    header: Header
    events: list[Event]


def files_of(folder: Path, most: int = 12) -> list[File]:
    """The journal files of a run, the small ones, and no more than `most` of them."""
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_size)
    found = [read(path.read_bytes()) for path in paths if path.stat().st_size < 200_000]
    return [file for file in found if file.events][-most:]


def read(data: bytes) -> File:
    """The events of a whole journal file."""
    found = scan(data)
    assert found.header is not None
    events = []
    digest = ident = 0
    for row, record in enumerate(found.records):
        n, k = int(record["sample_count"]), int(record["id_count"])
        ids = found.ids[ident : ident + k]
        events.append(
            Event(
                *(
                    int(record[name])
                    for name in ("kind", "flags", "thread", "epoch", "step", "index", "ticket")
                ),
                *(int(record[name]) for name in ("digest_hi", "digest_lo", "nbytes", "began_ns", "ended_ns")),
                tuple(map(int, record["streams_before"])),
                tuple(map(int, record["streams_after"])),
                int(record["framework_worker"]),
                int(record["framework_seed"]),
                found.digests[digest : digest + n] if n else None,
                (ids.view("<u8") if record["id_kind"] == IdKind.UNSIGNED else ids) if k else None,
                found.texts.get(row, ""),
            )
        )
        digest, ident = digest + n, ident + k
    return File(found.header, events)


def write(folder: Path, files: list[File]) -> None:
    """Writes journal files whose checksums verify."""
    for number, (header, events) in enumerate(files):
        (folder / f"{number}{SUFFIX}").write_bytes(as_bytes(header, events))


def as_bytes(header: Header, events: list[Event]) -> bytes:
    """A whole journal file."""
    begin = encode_header(header)
    records = [seal(encode(number, event), header.key) for number, event in enumerate(events)]
    end = seal(encode_header_copy(len(records), KIND_END, begin), header.key)
    return b"".join([begin, *records, end])


def forged(files: list[File], drawn: random.Random) -> list[File]:
    """The files, with values in them that no training gives."""
    made = [
        File(one.header._replace(metadata=dict(one.header.metadata)), list(one.events))
        for one in drawn.sample(files, drawn.randrange(1, len(files) + 1))
    ]
    for _ in range(drawn.choice((1, 1, 2, 4, 12))):
        file = drawn.choice(made)
        drawn.choices((_say, _describe, _column, _shuffle, _move, _event), (3, 3, 2, 1, 1, 10))[0](
            drawn, file, made
        )
    return made


def _say(drawn: random.Random, file: File, files: list[File]) -> None:
    name = drawn.choice(tuple(METADATA))
    for one in drawn.choice((files, [file])):
        one.header.metadata[name] = drawn.choice(METADATA[name])


def _describe(drawn: random.Random, file: File, files: list[File]) -> None:
    name = drawn.choice(tuple(ABOUT))
    value = drawn.choice(ABOUT[name])
    for one in drawn.choice((files, [file])):
        one.header.metadata["about"] = {**one.header.metadata.get("about", {}), name: value}


def _column(drawn: random.Random, file: File, files: list[File]) -> None:
    name = drawn.choice(_SIGNED_FIELDS)
    way = drawn.choice(("same", "reversed", "far", "any"))
    values = [getattr(event, name) for event in file.events]
    for place, value in enumerate(values):
        other = {"same": 1, "reversed": -value, "far": value + 2**62, "any": drawn.choice(SIGNED)}[way]
        other = max(-(2**63), min(2**63 - 1, other))
        file.events[place] = file.events[place]._replace(**{name: other})


def _shuffle(drawn: random.Random, file: File, files: list[File]) -> None:
    drawn.shuffle(file.events)


def _move(drawn: random.Random, file: File, files: list[File]) -> None:
    drawn.choice(files).events.extend(file.events[drawn.randrange(len(file.events) + 1) :])


def _event(drawn: random.Random, file: File, files: list[File]) -> None:
    if file.events:
        place = drawn.randrange(len(file.events))
        file.events[place] = _replaced(drawn, file.events[place])


def _replaced(drawn: random.Random, event: Event) -> Event:
    name = drawn.choice(Event._fields)
    value: Any
    if name in _SIGNED_FIELDS:
        value = drawn.choice(SIGNED)
    elif name in _UNSIGNED_FIELDS:
        value = drawn.choice(UNSIGNED)
    elif name == "framework_worker":
        value = drawn.choice((-(2**31), -1, 0, 2**31 - 1))
    elif name == "flags":
        value = drawn.randrange(1 << 16)
    elif name == "stage":
        value = drawn.randrange(4)
    elif name.startswith("streams"):
        value = tuple(drawn.choices(UNSIGNED, k=5))
    elif name == "samples":
        value = np.array(drawn.choices(UNSIGNED, k=drawn.randrange(6)), "<u8")
    elif name == "ids":
        value = np.array(drawn.choices(SIGNED, k=drawn.randrange(1, 6)), "<i8")
    else:
        value = _text(drawn, event.text)
    return event._replace(**{name: value})


def _text(drawn: random.Random, text: str) -> str:
    """Another text; of a probe's own, which are JSON, one value is another."""
    name, blank, told = text.partition(" ")
    if not told.startswith("{") or drawn.random() < 0.2:
        return drawn.choice(TEXTS)
    said = json.loads(told)
    said[drawn.choice([*said, "x"])] = drawn.choice(_TOLD)
    return f"{name}{blank}{json.dumps(said)}"
