"""Makes the pandas frames of design section 5 out of the records of many files.

Requires pandas, imported when a frame is made. The work is done in NumPy on whole columns: a log of
millions of events costs a few copies of itself, and no Python object an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from batchaudit.journal.header import Header
from batchaudit.journal.layout import KIND_HEADER, RECORD, STREAMS, IdKind, Stage
from batchaudit.journal.ragged import ranges, take
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
        scan.records[rows],
        take(scan.digests, (np.cumsum(samples) - samples)[rows], samples[rows]),
        take(scan.ids, (np.cumsum(ids) - ids)[rows], ids[rows]),
        texts,
    )


def build(parts: list[Part]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The events, sorted by (began_ns, file, seq), and the samples that hang on them."""
    records = np.concatenate([np.empty(0, RECORD), *(part.records for part in parts)])
    file = np.repeat(np.arange(len(parts)), [len(part.records) for part in parts])
    # The files come in order, and their records too: a stable sort of the times is all that is left.
    order = np.argsort(records["began_ns"], kind="stable")
    samples = _samples(parts, records, order)
    texts = _texts(parts, order)
    return _events([part.header for part in parts], file[order], records[order], texts), samples


def _events(headers: list[Header], file: Array, records: Array, texts: Array) -> pd.DataFrame:
    import pandas as pd

    said: dict[str, Any] = {name: _categories(headers, name, file) for name in _FILE_TEXTS}
    for name in _FILE_NUMBERS:
        said[name] = _of_files(headers, name)[file]
    columns: dict[str, Any] = {name: said[name] for name in ("run", "attempt", "source", "strategy")}
    stage = records["kind"].astype(np.int8)
    columns["stage"] = _categorical(stage, [each.name.lower() for each in Stage])
    columns |= {name: said[name] for name in ("host", "rank")}
    columns["worker"] = _workers(headers, file, records)
    columns["pid"] = said["pid"]
    for name in ("thread", "epoch", "step", "seq", "index"):
        columns[name] = records[name].astype(np.int64)
    columns["ticket"] = _tickets(headers, file, records)
    columns |= {name: records[name].astype(np.uint64) for name in ("digest_hi", "digest_lo")}
    columns["samples"] = records["sample_count"].astype(np.int64)
    columns |= {name: records[name].astype(np.int64) for name in ("nbytes", "began_ns", "ended_ns")}
    for number, stream in enumerate(STREAMS):
        for when in ("before", "after"):
            columns[f"rng_{stream}_{when}"] = records[f"streams_{when}"][:, number].astype(np.uint64)
    columns["framework_worker"] = records["framework_worker"].astype(np.int64)
    columns["framework_seed"] = records["framework_seed"].astype(np.uint64)
    columns["flags"] = records["flags"].astype(np.int64)
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


def _tickets(headers: list[Header], file: Array, records: Array) -> Array:
    """A produced event's own ticket; for another that of the produced event it came from; 0 = unknown."""
    file_ids = np.array([header.file_id for header in headers], np.uint64)
    own = (file_ids[file] << np.uint64(32)) + records["seq"] + np.uint64(1)
    tickets = np.where(records["kind"] == Stage.PRODUCED, own, records["ticket"].astype(np.uint64))
    # Two of very many files may have drawn the same id: what their tickets name can then not be known.
    keys_of_id: dict[int, set[int]] = {}
    for header in headers:
        keys_of_id.setdefault(header.file_id, set()).add(header.key)
    shared = [file_id for file_id, keys in keys_of_id.items() if len(keys) > 1]
    if shared:
        tickets[np.isin(tickets >> np.uint64(32), np.array(shared, np.uint64))] = 0
    return tickets


def _workers(headers: list[Header], file: Array, records: Array) -> Array:
    """The ordinal of each event's (host, rank, process, thread) among those that produce; -1 for others.

    It counts by first appearance, apart in each run, source, strategy and attempt. The consumer is no worker,
    even where its thread is one's: delivered events have -1.
    """
    groups, _ = _codes(headers, "run", "source", "strategy", "attempt")
    # The process' start beside its pid: pids are given out again.
    processes, known = _codes(headers, "host", "rank", "pid", "process_started")
    threads, thread = np.unique(records["thread"], return_inverse=True)
    replica = (groups[file] * len(known) + processes[file]) * len(threads) + thread
    produced = records["kind"] == Stage.PRODUCED
    replicas, first = np.unique(replica[produced], return_index=True)
    ordinals = np.empty(len(replicas), np.int64)
    by_appearance = np.lexsort((first, replicas // max(len(known) * len(threads), 1)))
    group = (replicas // max(len(known) * len(threads), 1))[by_appearance]
    ordinals[by_appearance] = np.arange(len(replicas)) - np.searchsorted(group, group)
    workers = np.full(len(records), -1, np.int64)
    if len(replicas):
        found = np.searchsorted(replicas, replica).clip(max=len(replicas) - 1)
        known_here = (replicas[found] == replica) & (records["kind"] != Stage.DELIVERED)
        workers[known_here] = ordinals[found[known_here]]
    return workers


def _texts(parts: list[Part], order: Array) -> Array:
    texts = np.full(len(order), "", object)
    base = 0
    for part in parts:
        for row, text in part.texts.items():
            texts[base + row] = text
        base += len(part.records)
    return texts[order]


def _samples(parts: list[Part], records: Array, order: Array) -> pd.DataFrame:
    """One row a sample, in the order of the events; an event may have ids, or digests, or both."""
    import pandas as pd

    digest_counts = records["sample_count"].astype(np.int64)
    id_counts = records["id_count"].astype(np.int64)
    rows = np.maximum(digest_counts, id_counts)[order]
    digest, no_digest = _spread([part.digests for part in parts], np.uint64, digest_counts, rows, order)
    bits, no_id = _spread([part.ids for part in parts], np.int64, id_counts, rows, order)
    unsigned = np.repeat(records["id_kind"][order] == IdKind.UNSIGNED, rows)
    columns: dict[str, Any] = {
        "event": np.repeat(np.arange(len(order)), rows),
        "position": ranges(np.zeros_like(rows), rows, np.int32),
        "digest": pd.arrays.IntegerArray(digest, no_digest) if no_digest.any() else digest,
        "id": _ids(bits, unsigned, no_id),
    }
    return pd.DataFrame(columns, copy=False)


def _spread(
    values: list[Array], dtype: type, counts: Array, rows: Array, order: Array
) -> tuple[Array, Array]:
    """The values of the events in `order`, each over its `rows`: 0 where it has none, and which those are."""
    flat = np.concatenate([np.empty(0, dtype), *values])
    ends = np.cumsum(counts)
    starts, counts = (ends - counts)[order], counts[order]
    in_order = not (np.diff(order) < 0).any()
    found = flat if in_order else flat[ranges(starts, counts)]
    if (counts == rows).all():
        return found, np.zeros(len(found), bool)
    missing = ranges(np.zeros_like(rows), rows) >= np.repeat(counts, rows)
    spread: Array = np.zeros(len(missing), dtype)
    spread[~missing] = found
    return spread, missing


def _ids(bits: Array, unsigned: Array, missing: Array) -> Any:
    """Nullable integers: Int64, or UInt64 where an id needs it; Python's where no one type holds all."""
    import pandas as pd

    if not (unsigned & (bits < 0)).any():
        return pd.arrays.IntegerArray(bits, missing)
    if not (~unsigned & (bits < 0)).any():
        return pd.arrays.IntegerArray(bits.view(np.uint64), missing)
    ids = np.where(unsigned, bits.view(np.uint64).astype(object), bits.astype(object))
    ids[missing] = pd.NA
    return ids
