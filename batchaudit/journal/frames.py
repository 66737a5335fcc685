"""Makes the pandas frames out of the records of many files: see docs/reference/columns.md.

Requires pandas, imported when a frame is made. The work is done in NumPy on whole columns: a log of
millions of events costs a few copies of itself, and no Python object an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from batchaudit.journal.columns import columns_of, rows_of
from batchaudit.journal.header import Header
from batchaudit.journal.layout import KIND_HEADER, STREAMS, IdKind, Stage
from batchaudit.journal.ragged import take
from batchaudit.journal.sample_frame import Counts, sample_frame
from batchaudit.journal.scan import Scan

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

_FILE_TEXTS = ("run", "source", "strategy", "host")
_FILE_NUMBERS = ("attempt", "rank", "pid")


class Part(NamedTuple):
    """The events of one file, in the order of their sequence numbers.

    Attributes:
        header: the file's header.
        records: dtype RECORD, shape (n,).
        digests: uint64: the samples' digests, event after event.
        ids: int64: the bits of the ids, event after event.
        texts: the texts that are not empty, by the row of their event.
    """

    header: Header
    records: Array
    digests: Array
    ids: Array
    texts: dict[int, str]


def extract(scan: Scan, header: Header, rows: Array | None) -> Part:
    """The events of a scanned file in the order of their numbers.

    Args:
        scan: the file.
        header: its header.
        rows: which of the scan's records to take, in this order; None for all as they are.
    """
    if rows is None:
        return Part(header, scan.records, scan.digests, scan.ids, scan.texts)
    is_event = scan.kinds < KIND_HEADER
    rows = (np.cumsum(is_event) - 1)[rows[is_event[rows]]]
    samples = scan.records["sample_count"].astype(np.int64)
    ids = scan.records["id_count"].astype(np.int64)
    texts = {row: scan.texts[old] for row, old in enumerate(rows.tolist()) if old in scan.texts}
    return Part(
        header,
        rows_of(scan.records, rows),
        take(scan.digests, (np.cumsum(samples) - samples)[rows], samples[rows]),
        take(scan.ids, (np.cumsum(ids) - ids)[rows], ids[rows]),
        texts,
    )


def build(parts: list[Part]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The events, sorted by (began_ns, file, seq), and the samples that hang on them."""
    blocks = [part.records for part in parts]
    file = np.repeat(np.arange(len(parts)), [len(block) for block in blocks])
    counts = Counts(*(_field(blocks, name) for name in ("sample_count", "id_count")))
    unsigned = _field(blocks, "id_kind") == IdKind.UNSIGNED
    # The files come in order, and their records too: a stable sort of the times is all that is left.
    began = _field(blocks, "began_ns")
    order = np.argsort(began, kind="stable") if (began[1:] < began[:-1]).any() else None
    places = None
    if order is not None:
        file, unsigned = file[order], unsigned[order]
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
    digests, ids = ([getattr(part, name) for part in parts] for name in ("digests", "ids"))
    samples = sample_frame(digests, ids, counts, unsigned, order)
    texts = _texts(parts, order)
    return _events([part.header for part in parts], file, columns_of(blocks, places), texts), samples


def _field(blocks: list[Array], name: str) -> Array:
    """One field of all records: int64."""
    return np.concatenate([np.empty(0, np.int64), *(block[name].astype(np.int64) for block in blocks)])


def _events(headers: list[Header], file: Array, known: dict[str, Array], texts: Array) -> pd.DataFrame:
    import pandas as pd

    said: dict[str, Any] = {name: _categories(headers, name, file) for name in _FILE_TEXTS}
    for name in _FILE_NUMBERS:
        said[name] = _of_files(headers, name)[file]
    columns: dict[str, Any] = {name: said[name] for name in ("run", "attempt", "source", "strategy")}
    columns["stage"] = _categorical(known["kind"], [each.name.lower() for each in Stage])
    columns |= {name: said[name] for name in ("host", "rank")}
    columns["worker"] = _workers(headers, file, known)
    columns["pid"] = said["pid"]
    columns |= {name: known[name] for name in ("thread", "epoch", "step", "seq", "index")}
    columns["ticket"] = _tickets(headers, file, known)
    columns |= {name: known[name] for name in ("digest_hi", "digest_lo")}
    columns["samples"] = known["sample_count"]
    columns |= {name: known[name] for name in ("nbytes", "began_ns", "ended_ns")}
    for stream in STREAMS:
        for when in ("before", "after"):
            columns[f"rng_{stream}_{when}"] = known[f"rng_{stream}_{when}"]
    columns |= {name: known[name] for name in ("framework_worker", "framework_seed", "flags")}
    columns["text"] = texts
    return pd.DataFrame(columns, copy=False)


def _of_files(headers: list[Header], name: str) -> Array:
    return np.array([header.metadata.get(name, 0) for header in headers], np.int64)


def _codes(headers: list[Header], *names: str) -> tuple[Array, list[tuple[Any, ...]]]:
    """A number for each file, equal where the metadata called `names` are, and what the numbers stand for."""
    known: dict[tuple[Any, ...], int] = {}
    said = (tuple(header.metadata.get(name, "") for name in names) for header in headers)
    codes = [known.setdefault(values, len(known)) for values in said]
    return np.array(codes, np.int64), list(known)


def _categories(headers: list[Header], name: str, file: Array) -> Any:
    codes, values = _codes(headers, name)
    return _categorical(codes[file], [str(value) for (value,) in values])


def _categorical(codes: Array, values: list[str]) -> Any:
    import pandas as pd

    # A string an event would cost more than all of its numbers.
    return pd.Categorical.from_codes(codes, pd.Index(values, dtype=object))


def _tickets(headers: list[Header], file: Array, known: dict[str, Array]) -> Array:
    """A produced event's own ticket; for another that of the produced event it came from; 0 = unknown."""
    file_ids = np.array([header.file_id for header in headers], np.uint64)
    own = (file_ids[file] << np.uint64(32)) + known["seq"].view(np.uint64) + np.uint64(1)
    tickets = np.where(known["kind"] == Stage.PRODUCED, own, known["ticket"])
    # Two of very many files may have drawn the same id: what their tickets name can then not be known.
    keys_of_id: dict[int, set[int]] = {}
    for header in headers:
        keys_of_id.setdefault(header.file_id, set()).add(header.key)
    shared = [file_id for file_id, keys in keys_of_id.items() if len(keys) > 1]
    if shared:
        tickets[np.isin(tickets >> np.uint64(32), np.array(shared, np.uint64))] = 0
    return tickets


def _workers(headers: list[Header], file: Array, known: dict[str, Array]) -> Array:
    """The ordinal of each event's (host, rank, process, thread) among those that produce; -1 for others.

    It counts by first appearance, apart in each run, source, strategy and attempt. The consumer is no worker,
    even where its thread is one's: delivered events have -1.
    """
    groups, _ = _codes(headers, "run", "source", "strategy", "attempt")
    # The process' start beside its pid: pids are given out again.
    processes, named = _codes(headers, "host", "rank", "pid", "process_started")
    threads, thread = np.unique(known["thread"], return_inverse=True)
    replica = (groups[file] * len(named) + processes[file]) * len(threads) + thread
    produced = known["kind"] == Stage.PRODUCED
    replicas, first = np.unique(replica[produced], return_index=True)
    ordinals = np.empty(len(replicas), np.int64)
    by_appearance = np.lexsort((first, replicas // max(len(named) * len(threads), 1)))
    group = (replicas // max(len(named) * len(threads), 1))[by_appearance]
    ordinals[by_appearance] = np.arange(len(replicas)) - np.searchsorted(group, group)
    workers = np.full(len(file), -1, np.int64)
    if len(replicas):
        found = np.searchsorted(replicas, replica).clip(max=len(replicas) - 1)
        known_here = (replicas[found] == replica) & (known["kind"] != Stage.DELIVERED)
        workers[known_here] = ordinals[found[known_here]]
    return workers


def _texts(parts: list[Part], order: Array | None) -> Array:
    texts = np.full(sum(len(part.records) for part in parts), "", object)
    base = 0
    for part in parts:
        for row, text in part.texts.items():
            texts[base + row] = text
        base += len(part.records)
    return texts if order is None else texts[order]
