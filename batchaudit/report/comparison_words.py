"""What is said of a comparison, in which words; the console only sets it.

All text here is clean (no control characters) and still plain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchaudit.report import cells
from batchaudit.report.comparison import DIFFERENT, SAME, UNKNOWN, Alone, Comparison, Grain, Pair
from batchaudit.report.epoch_table import ENDS, MOST_ROWS, Table
from batchaudit.report.incomplete import WORD
from batchaudit.untrusted import shown_line

_DIGITS = 8  # of a digest, as people read it
_FIGURES = ("equal", "moved", "missing", "extra")
_LEGEND = "moved: in both, at another place; missing: in A, not in B; extra: in B, not in A"
_BY_EPOCH = "; in an epoch's row, what is in another epoch counts as missing or extra"


def headline(comparison: Comparison) -> str:
    """The verdict of a comparison in one line."""
    if not comparison.complete:
        broken = [name for name, side in _sides(comparison) if not side.complete]
        which = f"log of {broken[0]} is" if len(broken) == 1 else f"logs of {' and '.join(broken)} are"
        begins = f"{WORD}: the {which} not whole, so whether they are the same is not known"
        return f"{begins}; what is there is {_seen(comparison)}"
    return _seen(comparison)


def _seen(comparison: Comparison) -> str:
    verdict, pairs = comparison.seen, comparison.pairs
    if len(pairs) == 1 and not comparison.alone:
        return f"{_VERDICTS[verdict]}: {summary(pairs[0])}"
    unlike = [pair for pair in pairs if pair.verdict == verdict] if verdict != SAME else []
    if verdict == SAME:
        return f"the same in all {len(pairs)} streams"
    if not unlike:
        return f"different: {alone(comparison.alone[0])}"
    return (
        f"{_VERDICTS[verdict]} in {len(unlike)} of {len(pairs)} streams: "
        f"{title(comparison, unlike[0])}: {summary(unlike[0])}"
    )


_VERDICTS = {SAME: "the same stream", DIFFERENT: "different", UNKNOWN: "not known whether they are the same"}


def _sides(comparison: Comparison) -> list[tuple[str, Any]]:
    return [("A", comparison.a), ("B", comparison.b)]


def runs(comparison: Comparison) -> str:
    """Which runs are compared."""
    said = []
    for name, side in _sides(comparison):
        attempts = f" (attempts {', '.join(map(str, side.attempts))})" if len(side.attempts) > 1 else ""
        said.append(f"{name} = {shown_line(side.path)}{attempts}")
    return ", ".join(said)


def title(comparison: Comparison, pair: Pair) -> str:
    """What is compared in one pair: the names that tell it from the others."""
    names = [_either(pair.source_a, pair.source_b)]
    if len({one.strategy_a for one in comparison.pairs}) > 1 or pair.strategy_a != pair.strategy_b:
        names.append(_either(pair.strategy_a, pair.strategy_b))
    if len({one.rank for one in comparison.pairs}) > 1:
        names.append(f"rank {pair.rank}")
    return ", ".join(names)


def _either(a: str, b: str) -> str:
    a, b = shown_line(a), shown_line(b)
    return a if a == b else f"{a} in A and {b} in B"


def alone(one: Alone) -> str:
    """A stream that only one run has."""
    name, strategy = shown_line(one.source), shown_line(one.strategy)
    return (
        f"only in {one.run.upper()}: {name} under {strategy}, rank {one.rank}, "
        f"{cells.count(one.batches)} batches"
    )


def summary(pair: Pair) -> str:
    """One pair in one sentence: how far what was delivered is alike."""
    batches, samples = pair.batches, pair.samples
    if batches.same:
        many = f", {_many(samples.counts['a'], 'sample')}" if samples is not None else ""
        return f"{_many(batches.counts['a'], 'batch')}{many} in {_many(len(batches.epochs), 'epoch')}"
    if batches.same is None:
        unknown = cells.count(batches.counts["unknown"])
        return (
            f"{unknown} of {_many(batches.counts['a'], 'batch')} could not be hashed; the others are the same"
        )
    if samples is not None and samples.same:
        how = (
            "in batches of another structure"
            if pair.sizes_alike
            else f"cut into other batches: {cells.count(batches.counts['a'])} in A, "
            f"{cells.count(batches.counts['b'])} in B"
        )
        return f"the samples are the same in the same order, {how}"
    return _unlike(pair)


def _unlike(pair: Pair) -> str:
    counts = pair.batches.counts
    figures = _figures(counts)
    shorter, longer = sorted((counts["a"], counts["b"]))
    if counts["equal"] == shorter < longer:
        lacks = "A" if counts["a"] < counts["b"] else "B"
        return (
            f"{lacks} lacks {cells.count(longer - shorter)} of {_many(longer, 'batch')}; the others are "
            "equal, at the same places"
        )
    if _only_moved(pair.batches):
        return f"the same batches in another order: {cells.count(counts['moved'])} of {figures}"
    if pair.samples is not None and _only_moved(pair.samples):
        return f"the same samples in another order, in other batches: {figures}"
    if pair.ids is not None and pair.ids.same:
        return f"the same stored items in the same order with other content: {figures}"
    return figures


def _only_moved(grain: Grain) -> bool:
    return grain.counts["missing"] == grain.counts["extra"] == 0


def _figures(counts: dict[str, int]) -> str:
    if counts["missing"] == counts["extra"] == counts["unknown"] == 0:
        return f"{_many(counts['a'], 'batch')} moved"
    parts = [f"{cells.count(counts[name])} {name}" for name in ("moved", "missing", "extra") if counts[name]]
    parts += [f"{cells.count(counts['unknown'])} not hashed"] if counts["unknown"] else []
    head = f"{cells.count(counts['equal'])} of {_many(counts['a'], 'batch')} equal"
    return ", ".join([head, *parts])


def _many(number: int, what: str) -> str:
    plural = "batches" if what == "batch" else f"{what}s"
    return f"{cells.count(number)} {what if number == 1 else plural}"


def first(pair: Pair) -> str:
    """Where a pair first differs, and how; "" where it does not."""
    if pair.first is None:
        return ""
    a, b = pair.first["a"], pair.first["b"]
    if a is None or b is None:
        return f"first difference: A {_batch(a)}, B {_batch(b)}"
    if _place(a) == _place(b):
        where = f"{_place(a)}: A {_content(a)}, B {_content(b)}"
    else:
        where = f"A {_batch(a)}, B {_batch(b)}"
    return f"first difference: {where}: {shown_line(str(pair.first['what']))}"


def _place(batch: dict[str, Any]) -> str:
    return f"epoch {batch['epoch']} step {batch['step']}"


def _batch(batch: dict[str, Any] | None) -> str:
    return "has no batch there" if batch is None else f"has {_content(batch)} at {_place(batch)}"


def _content(batch: dict[str, Any]) -> str:
    said = str(batch["digest"])[:_DIGITS]
    if batch["index"] is not None:
        said += f" (index {batch['index']})"
    elif batch["ids"]:
        more = ", …" if batch["samples"] > len(batch["ids"][:3]) else ""
        said += f" (ids {', '.join(map(str, batch['ids'][:3]))}{more})"
    return said


def table(pair: Pair) -> Table:
    """The epochs of a pair; the middle of a long one is left out, and a note says so."""
    columns = _columns(pair)
    rows = [tuple(write(number) for _, write in columns) for number in range(len(pair.batches.epochs))]
    notes = []
    if len(rows) > MOST_ROWS:
        labels = [row[0] for row in rows[ENDS:-ENDS]]
        notes.append(f"… epochs {labels[0]} to {labels[-1]} are left out ({len(labels):,} of {len(rows):,})")
        rows = [*rows[:ENDS], ("…",) * len(columns), *rows[-ENDS:]]
    if len(pair.batches.epochs) > 1:
        rows.append(("all", *(write(-1) for _, write in columns[1:])))
    return Table(tuple(heading for heading, _ in columns), tuple(rows), (*notes, _legend(pair)))


def _legend(pair: Pair) -> str:
    grains = [grain for grain in (pair.batches, pair.samples) if grain is not None]
    between = any(grain.epochs["missing"].sum() > grain.counts["missing"] for grain in grains)
    return _LEGEND + (_BY_EPOCH if between else "")


_Column = tuple[str, Callable[[int], str]]


def _columns(pair: Pair) -> list[_Column]:
    epochs = pair.batches.epochs
    columns: list[_Column] = [("epoch", lambda row: cells.count(epochs["epoch"].iloc[row]))]
    unknown = ("unknown",) if pair.batches.counts["unknown"] else ()
    names = {"a": "batches\nin A", "b": "in B", "unknown": "not\nhashed"}
    for name in ("a", "b", *_FIGURES, *unknown):
        columns.append((names.get(name, name), _figure(pair.batches, pair.batches, name)))
    if pair.samples is not None:
        for name in _FIGURES:
            heading = "samples\nequal" if name == "equal" else name
            columns.append((heading, _figure(pair.samples, pair.batches, name)))
    return columns


def _figure(grain: Grain, rows: Grain, name: str) -> Callable[[int], str]:
    """Writes one figure of the epoch in a row of `rows`, or of all epochs for the row -1."""
    by_epoch = dict(zip(grain.epochs["epoch"], grain.epochs[name], strict=True))
    labels = list(rows.epochs["epoch"])
    return lambda row: cells.count(grain.counts[name] if row < 0 else by_epoch.get(labels[row], 0))
