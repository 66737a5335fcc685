"""Which samples are in both of two splits, epoch by epoch. Tables in, overlap out. Requires pandas.

By id where both splits have ids of the same stored items; else by the content of samples, 64 bits each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from batchaudit.analysis import sequences
from batchaudit.analysis.codes import Pairs, least, pairs, ranked, starts
from batchaudit.analysis.contents import come_again
from batchaudit.analysis.tables import NO_SAMPLES, UNHASHABLE, Tables

Array = np.ndarray[Any, Any]

TRAINING, VALIDATION = "training", "validation"
_OFTEN = 0.01
"""A content that fills more of a pass than this, and comes more than twice as often as most, is padding."""


@dataclass(frozen=True)
class Part:
    """One source of an attempt and its part in the training.

    Attributes:
        name: the source's name.
        split: "training", "validation" or "prediction".
        id_space: which stored items its ids name; "" where they are its own.
        tables: its events.
        kind: what can be done with it, as in `Evidence`.
        framework: the framework that it is of; "" for none.
        keys: the names of the keys that its digests and ids went through; "" for none.
    """

    name: str
    split: str
    id_space: str
    tables: Tables
    kind: str = ""
    framework: str = ""
    keys: frozenset[str] = frozenset({""})


@dataclass(frozen=True)
class Overlap:
    """What one training source and one validation source share.

    Attributes:
        training: the training source.
        validation: the validation source.
        by: "id" or "digest": what was compared.
        validation_samples: how many different samples were validated on, over all passes.
        epochs: pandas frame, a row an epoch of training: `epoch`; `shared`, how many different validation
            samples were trained on in it; `shared_with_pass`, how many of those of the validation pass of
            that epoch; `trained_on`, how many validation samples were trained on up to its end;
            `pass_trained_on`, how many of those of its validation pass. Of the pass <NA> where there are not
            as many validation passes as epochs. Empty where nothing can be compared.
        example: the first training sample that is validated on, too: `sample`, `training` and `validation`,
            each (epoch, step), and of several ranks `ranks`, those that train and validate; empty where
            there is none.
        repeated: which part of the training samples after the first epoch were in an earlier one; None with
            one epoch. Near 0: their content is drawn anew.
        validation_repeated: the same of the validation.
        ignored: how many different contents were left out because they fill much of a pass, as padding does.
        ranks: which ranks share samples: {(rank that trains, rank that validates): how many different ones}.
        unlike: why samples of the two cannot be equal, or are not known; "" where they can be compared.
    """

    training: Part
    validation: Part
    by: str
    validation_samples: int = 0
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    example: dict[str, Any] = field(default_factory=dict)
    repeated: float | None = None
    validation_repeated: float | None = None
    ignored: int = 0
    ranks: dict[tuple[int, int], int] = field(default_factory=dict)
    unlike: str = ""

    @property
    def shared(self) -> int:
        """How many different validation samples were trained on."""
        return 0 if self.epochs.empty else int(self.epochs["trained_on"].iloc[-1])

    @property
    def only_across_ranks(self) -> bool:
        """Whether no rank trains on what it validates on itself, and yet another does."""
        return bool(self.ranks) and all(training != validation for training, validation in self.ranks)


def overlaps(parts: Iterable[Part]) -> list[Overlap]:
    """Compares every training source with every validation source.

    Args:
        parts: the sources of one attempt.

    Returns:
        One for each such two that delivered a batch.
    """
    listed = [part for part in parts if len(part.tables.delivered)]
    return [
        overlap(training, validation)
        for training in listed
        for validation in listed
        if training.split == TRAINING and validation.split == VALIDATION
    ]


def overlap(training: Part, validation: Part) -> Overlap:
    """Compares what was trained on with what was validated on.

    Args:
        training: the training source.
        validation: the validation source.

    Returns:
        Which samples are in both.
    """
    by_id = training.id_space != "" and training.id_space == validation.id_space
    by_id = by_id and training.tables.ids_known and validation.tables.ids_known
    by = "id" if by_id else "digest"
    unlike = "" if by_id else _unlike(training, validation)
    if unlike:
        return Overlap(training, validation, by, unlike=unlike)
    values = (tables.delivered_samples[0][by] for tables in (training.tables, validation.tables))
    trained_codes, validated_codes = sequences.codes(*([column] for column in values))
    count = int(max(trained_codes.max(initial=-1), validated_codes.max(initial=-1))) + 1
    trained, validated = _seen(training.tables, trained_codes), _seen(validation.tables, validated_codes)
    repeated, validation_repeated = (
        come_again(seen.met.group, seen.met.item, count) for seen in (trained, validated)
    )
    blank = np.zeros(count, bool)
    for seen in (trained, validated) if not by_id else ():
        blank[_blank(seen)] = True
    if blank.any():
        trained, validated = trained.without(blank), validated.without(blank)
    common = trained.codes(count) & validated.codes(count)
    return Overlap(
        training,
        validation,
        by,
        validation_samples=int(np.count_nonzero(validated.codes(count))),
        epochs=_epochs(trained, validated, common),
        example=_example(trained, validated, common, by),
        repeated=repeated,
        validation_repeated=validation_repeated,
        ignored=int(np.count_nonzero(blank)),
        ranks=_ranks(trained, validated, common),
    )


def _unlike(*parts: Part) -> str:
    """Why the contents of two sources cannot be compared."""
    sizes = []
    for part in parts:
        delivered = part.tables.delivered
        if bool(((delivered["flags"] & (NO_SAMPLES | UNHASHABLE)) > 0).any()):
            return f"not every sample of {part.name} could be hashed"
        filled = delivered[delivered["samples"] > 0]
        sizes.append(set(filled["nbytes"] / filled["samples"]))
    if not all(sizes):
        return "no sample was delivered by one of them"
    if sizes[0] != sizes[1] and max(map(len, sizes)) == 1:
        return (
            f"a sample of {parts[0].name} has {min(sizes[0]):,.0f} bytes and one of {parts[1].name} "
            f"{min(sizes[1]):,.0f}: their contents cannot be equal"
        )
    return ""


@dataclass(frozen=True)
class _Seen:
    """The delivered samples of one source, in order.

    Attributes:
        tables: its events.
        row: the row of each in `Tables.delivered_samples`.
        code: a number of each, equal where samples are, also of the other source.
        met: which code came in which epoch; a group is an epoch's ordinal.
    """

    tables: Tables
    row: Array
    code: Array
    met: Pairs

    def without(self, codes: Array) -> _Seen:
        """What is left without some codes: bool, by code."""
        left = ~codes[self.code]
        return _seen(self.tables, self.code[left], self.row[left])

    def codes(self, count: int) -> Array:
        """Which of so many codes came: bool, by code."""
        came = np.zeros(count, bool)
        came[self.met.item] = True
        return came

    def of_batch(self, name: str) -> Array:
        """What a column of `Tables.delivered` says of each sample's batch."""
        values: Array = self.tables.delivered[name].to_numpy()[self.tables.delivered_samples[1][self.row]]
        return values


def _seen(tables: Tables, code: Array, row: Array | None = None) -> _Seen:
    row = np.arange(len(code)) if row is None else row
    return _Seen(tables, row, code, pairs(tables.epochs[1][tables.delivered_samples[1][row]], code))


def _blank(seen: _Seen) -> Array:
    """The codes of contents that fill much of a pass: they say nothing of where they are from."""
    found = [np.empty(0, np.int64)]
    begins = starts(seen.met.group)
    for code, times in zip(
        *(np.split(each, begins[1:]) for each in (seen.met.item, seen.met.times)), strict=True
    ):
        if len(times):
            found.append(code[times > max(_OFTEN * int(times.sum()), 2 * float(np.median(times)))])
    return np.concatenate(found)


def _epochs(trained: _Seen, validated: _Seen, common: Array) -> pd.DataFrame:
    labels, passes = trained.tables.epochs[0], len(validated.tables.epochs[0])
    shared = common[trained.met.item]
    ordinal, code = trained.met.group[shared], trained.met.item[shared]
    first = least(code, ordinal, len(common))
    in_pass = validated.met
    # Each of the two has a code in an epoch once: what comes twice is in both.
    both = pairs(np.concatenate([ordinal, in_pass.group]), np.concatenate([code, in_pass.item]))

    def count(ordinals: Array) -> Array:
        counted: Array = np.bincount(ordinals, minlength=len(labels))
        return counted

    def of_pass(ordinals: Array) -> Any:
        if passes != len(labels):
            return pd.array([pd.NA] * len(labels), dtype="Int64")
        return pd.array(count(ordinals), dtype="Int64")

    return pd.DataFrame(
        {
            "epoch": labels,
            "shared": count(ordinal),
            "shared_with_pass": of_pass(both.group[both.times > 1]),
            "trained_on": np.cumsum(count(first[common])),
            "pass_trained_on": of_pass(in_pass.group[first[in_pass.item] <= in_pass.group]),
        }
    )


def _ranks(trained: _Seen, validated: _Seen, common: Array) -> dict[tuple[int, int], int]:
    """How many different samples one rank trains on and one, the same or another, validates on."""
    if not common.any():
        return {}
    sides = []
    for seen in (trained, validated):
        shared = common[seen.code]
        labels, rank = ranked(seen.of_batch("rank")[shared])
        held = pairs(rank, seen.code[shared])
        sides.append(pd.DataFrame({"rank": labels[held.group], "code": held.item}))
    met = sides[0].merge(sides[1], on="code", suffixes=("_training", "_validation"))
    counts = met.groupby(["rank_training", "rank_validation"]).size()
    return {(int(training), int(validation)): int(count) for (training, validation), count in counts.items()}


def _example(trained: _Seen, validated: _Seen, common: Array, by: str) -> dict[str, Any]:
    if not common.any():
        return {}
    here = int(np.argmax(common[trained.code]))
    there = int(np.argmax(validated.code == trained.code[here]))
    sample = int(trained.tables.delivered_samples[0][by].iloc[int(trained.row[here])])
    epoch, step, rank = (
        (int(trained.of_batch(name)[here]), int(validated.of_batch(name)[there]))
        for name in ("epoch", "step", "rank")
    )
    several = any(len(np.unique(seen.of_batch("rank"))) > 1 for seen in (trained, validated))
    return {
        "sample": sample if by == "id" else f"{sample:016x}",
        "training": (epoch[0], step[0]),
        "validation": (epoch[1], step[1]),
    } | ({"ranks": rank} if several else {})
