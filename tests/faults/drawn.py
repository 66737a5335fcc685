"""Loaders drawn by hypothesis, as plain values: a family, what its batches hold, who draws, workers, and a fault."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

PLAIN = ("generator", "iterator", "iterable", "list")
TORCH = ("torch", "torch-stream")
KERAS = ("keras-dataset", "keras-generator", "tf_keras-sequence", "tf_keras-generator")
TF_DATA = ("tf.data-generator", "tf.data-slices")
FAMILIES = (
    "torch",
    "generator",
    "keras-dataset",
    "torch-stream",
    "iterator",
    "tf_keras-sequence",
    "torch",
    "iterable",
)
FAMILIES += (
    "keras-generator",
    "torch-stream",
    "list",
    "tf.data-generator",
    "tf_keras-generator",
    "tf.data-slices",
)
"""In the order of their turns; those with most ways to differ have two."""
LOG_FAULTS = ("log-removed", "log-full", "log-no-permission", "audit-closed")

Case = dict[str, Any]


def drawn(count: int, number: int) -> list[Case]:
    """Different loaders.

    Args:
        count: how many.
        number: the same one draws the same loaders.
    """
    each = -(-count // len(FAMILIES))
    of_families = [_of_one(family, each, number + at) for at, family in enumerate(FAMILIES)]
    # In turns, so that the first few are of as many families as can be.
    return [case for turn in zip(*of_families, strict=True) for case in turn][:count]


def _of_one(family: str, count: int, number: int) -> list[Case]:
    found: dict[str, Case] = {}

    @seed(number)
    @settings(
        max_examples=4 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(loaders(family))
    def collect(case: Case) -> None:
        found.setdefault(json.dumps(case, sort_keys=True), case)

    collect()
    every = len(found) // count  # one that is drawn is often like the one before
    return list(found.values())[every - 1 :: every][:count]


@st.composite
def loaders(draw: st.DrawFn, family: str) -> Case:
    """One loader of a family."""
    case = {
        "family": family,
        "batches": draw(st.integers(1, 9)),
        "rows": draw(st.integers(1, 5)),
        "epochs": draw(st.integers(1, 3)),
        "leaves": draw(leaves(family)),
        "draws": draw(st.lists(st.sampled_from(_streams(family)), unique=True, max_size=2).map(sorted)),
        "everything": draw(st.booleans()) if family not in PLAIN else False,
        "fault": draw(st.sampled_from(("none", "none", "none", "raises", *LOG_FAULTS))),
        "at": draw(st.integers(0, 5)),
    }
    if family in TORCH:
        case |= draw(_of_torch(family))
        if case["workers"] and case["fault"] == "none" and draw(st.booleans()):
            case["fault"] = "worker-dies"
    elif family in KERAS:
        case |= draw(_of_keras(family))
    elif family in TF_DATA:
        case |= draw(_of_tf_data())
    return case


def leaves(family: str) -> st.SearchStrategy[Case]:
    """What a batch is made of: how its leaves lie in one another, their types and their shape."""
    dtypes = ("float32", "float64", "int64", "uint8", "bool")
    structures = ["one", "pair", "dict", "nested"]
    if family in KERAS:
        structures = ["pair"]
    if family in PLAIN:
        dtypes += ("text", "object", "datetime64[s]", "complex64")
    return st.fixed_dictionaries(
        {
            "structure": st.sampled_from(structures),
            "dtypes": st.lists(st.sampled_from(dtypes), min_size=2, max_size=2),
            "shape": st.lists(st.integers(1, 3), max_size=2),
            "last": st.sampled_from(("full", "short", "empty") if family in PLAIN else ("full",)),
        }
    )


def _streams(family: str) -> tuple[str, ...]:
    if family in TORCH:
        return "numpy", "python", "torch", "private"
    if family in TF_DATA:
        return "numpy", "python", "private", "tensorflow"
    return "numpy", "python", "private"


@st.composite
def _of_torch(draw: st.DrawFn, family: str) -> Case:
    workers = draw(st.sampled_from((2, 1, 0, 2)))
    stream = family == "torch-stream"
    return {
        "workers": workers,
        # Each worker that is not forked imports torch anew.
        "start": draw(st.sampled_from((*["fork"] * 8, "spawn", "forkserver"))) if workers else None,
        "persistent": draw(st.booleans()) if workers else False,
        "prefetch": draw(st.sampled_from((None, 1, 3))) if workers else None,
        "sampler": None
        if stream
        else draw(
            st.sampled_from(("order", "shuffle", "replacement", "weighted", "subset", "batches", "own"))
        ),
        "drop_last": draw(st.booleans()),
        "collate": draw(st.sampled_from(("default", "own", "none"))),
        "generator": draw(st.booleans()),
    }


def _of_keras(family: str) -> st.SearchStrategy[Case]:
    processes = st.sampled_from((False, True))
    if family == "keras-generator":
        return st.just({"workers": 0, "processes": False})
    return st.fixed_dictionaries({"workers": st.sampled_from((2, 1, 0, 2)), "processes": processes})


def _of_tf_data() -> st.SearchStrategy[Case]:
    return st.fixed_dictionaries(
        {
            "shuffle": st.sampled_from((0, 4, 100)),
            "reshuffle": st.booleans(),
            "map": st.sampled_from(("none", "serial", "parallel")),
            "batch": st.sampled_from((0, 3)),
            "drop_last": st.booleans(),
            "prefetch": st.booleans(),
            "deterministic": st.booleans(),
        }
    )
