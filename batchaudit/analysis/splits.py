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
from batchaudit.analysis.tables import NO_SAMPLES, UNHASHABLE, Tables, in_order

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
    """

    name: str
    split: str
    id_space: str
    tables: Tables
    kind: str = ""
    framework: str = ""


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
    trained, validated = _rows(training.tables, by), _rows(validation.tables, by)
    trained["code"], validated["code"] = sequences.codes([trained[by]], [validated[by]])
    repeated, validation_repeated = _repeated(trained), _repeated(validated)
    blank = np.empty(0, np.int64) if by_id else np.union1d(_blank(trained), _blank(validated))
    trained, validated = (rows[~rows["code"].isin(blank)] for rows in (trained, validated))
    return Overlap(
        training,
        validation,
        by,
        validation_samples=int(validated["code"].nunique()),
        epochs=_epochs(trained, validated, training.tables, validation.tables),
        example=_example(trained, validated, by),
        repeated=repeated,
        validation_repeated=validation_repeated,
        ignored=len(blank),
        ranks=_ranks(trained, validated),
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


def _rows(tables: Tables, column: str) -> pd.DataFrame:
    """Every delivered sample in order: rank, epoch, the epoch's ordinal, step and value."""
    delivered = tables.delivered
    samples, place = in_order(tables.samples, delivered)
    epochs = delivered["epoch"].to_numpy()
    return pd.DataFrame(
        {
            "rank": delivered["rank"].to_numpy()[place],
            "epoch": epochs[place],
            "ordinal": np.unique(epochs, return_inverse=True)[1][place],
            "step": delivered["step"].to_numpy()[place],
            column: samples[column].array,
        }
    )


def _repeated(rows: pd.DataFrame) -> float | None:
    """Which part of the samples of later epochs were in an earlier epoch."""
    each = rows[["ordinal", "code"]].drop_duplicates()
    later = each["ordinal"] > each["ordinal"].min()
    if not later.any():
        return None
    first = each.groupby("code")["ordinal"].transform("min")
    return float((first < each["ordinal"])[later].mean())


def _blank(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """The codes of contents that fill much of a pass: they say nothing of where they are from."""
    times = rows.groupby(["ordinal", "code"]).size().rename("times").reset_index()
    passes = times.groupby("ordinal")["times"]
    much = times["times"] > np.maximum(_OFTEN * passes.transform("sum"), 2 * passes.transform("median"))
    found: np.ndarray[Any, Any] = times["code"][much].unique()
    return found


def _epochs(
    trained: pd.DataFrame, validated: pd.DataFrame, training: Tables, validation: Tables
) -> pd.DataFrame:
    labels = np.unique(training.delivered["epoch"])
    passes = validation.delivered["epoch"].nunique()
    each = trained[["ordinal", "code"]].drop_duplicates()
    each = each[each["code"].isin(validated["code"])]
    first = each.groupby("code")["ordinal"].min()
    in_pass = validated[["ordinal", "code"]].drop_duplicates()
    met = in_pass.merge(each, on=["ordinal", "code"])
    before = in_pass[in_pass["code"].map(first) <= in_pass["ordinal"]]

    def count(ordinals: pd.Series) -> np.ndarray[Any, Any]:
        counted: np.ndarray[Any, Any] = np.bincount(ordinals, minlength=len(labels))
        return counted

    def of_pass(rows: pd.DataFrame) -> Any:
        if passes != len(labels):
            return pd.array([pd.NA] * len(labels), dtype="Int64")
        return pd.array(count(rows["ordinal"]), dtype="Int64")

    return pd.DataFrame(
        {
            "epoch": labels,
            "shared": count(each["ordinal"]),
            "shared_with_pass": of_pass(met),
            "trained_on": np.cumsum(count(first)),
            "pass_trained_on": of_pass(before),
        }
    )


def _ranks(trained: pd.DataFrame, validated: pd.DataFrame) -> dict[tuple[int, int], int]:
    """How many different samples one rank trains on and one, the same or another, validates on."""
    by_training, by_validation = (rows[["rank", "code"]].drop_duplicates() for rows in (trained, validated))
    met = by_training.merge(by_validation, on="code", suffixes=("_training", "_validation"))
    counts = met.groupby(["rank_training", "rank_validation"]).size()
    return {(int(training), int(validation)): int(count) for (training, validation), count in counts.items()}


def _example(trained: pd.DataFrame, validated: pd.DataFrame, by: str) -> dict[str, Any]:
    both = trained["code"].isin(validated["code"]).to_numpy()
    if not both.any():
        return {}
    here = int(np.argmax(both))
    code = trained["code"].iloc[here]
    there = int(np.argmax((validated["code"] == code).to_numpy()))
    sample = int(trained[by].iloc[here])
    ranks = int(trained["rank"].iloc[here]), int(validated["rank"].iloc[there])
    several = trained["rank"].nunique() > 1 or validated["rank"].nunique() > 1
    return {
        "sample": sample if by == "id" else f"{sample:016x}",
        "training": (int(trained["epoch"].iloc[here]), int(trained["step"].iloc[here])),
        "validation": (int(validated["epoch"].iloc[there]), int(validated["step"].iloc[there])),
    } | ({"ranks": ranks} if several else {})
