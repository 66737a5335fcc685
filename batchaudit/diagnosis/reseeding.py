"""Who seeds the random streams, and what for: what the rules about draws share."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from batchaudit.analysis.drawn import samples_made, seeded_inside
from batchaudit.analysis.draws import Draws, draws
from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import moved
from batchaudit.diagnosis.fixes import STREAM_NAMES

NOT_TRAINED_ON = ("validation", "prediction")
"""Splits in which draws that repeat are wanted: the same samples are to be measured each time."""

_OFTEN = 0.5
_MOSTLY = 0.9
_SEEDS = {
    "numpy": "numpy.random.seed",
    "python": "random.seed",
    "torch": "torch.manual_seed",
    "tensorflow": "tf.random.set_seed",
}


def reseeding_streams(evidence: Evidence) -> list[str]:
    """The streams that the source seeds for each batch or sample.

    Args:
        evidence: one run; where it has a serial baseline, that is looked at.

    Returns:
        Names of streams.
    """
    first, probe = evidence.baseline.first, draws_of(evidence)
    made = evidence.made if first is None else first.produced
    called = probe.called if probe is not None else {}
    return [
        stream
        for stream in evidence.streams
        if seeded_inside(made, stream, by_item=by_item(evidence))
        or (probe is not None and called.get(_SEEDS.get(stream, ""), 0) >= max(2, _OFTEN * probe.items))
    ]


def by_item(evidence: Evidence) -> bool:
    """Whether the source is asked for its items by index, so that nothing begins with a pass."""
    mapped = evidence.about.get("framework") == "torch" and "items" in evidence.about
    return evidence.kind == "indexed" or mapped


def draws_for_each_batch(evidence: Evidence, stream: str) -> bool:
    """Whether most batches of the serial baseline draw from a stream; True where there is none to tell.

    A stream that moves more rarely orders the samples, or was moved in passing: what it was drawn for shows
    only in the batches.
    """
    first = evidence.baseline.first
    return first is None or bool(moved(first.produced, stream).mean() >= _OFTEN)


def draws_of(evidence: Evidence) -> Draws | None:
    """What the probe `draws` says; None where it was not made."""
    if "draws" not in evidence.probes:
        return None
    passes = [each for each in (evidence.baseline.first, evidence.baseline.again) if each is not None]
    rows = [samples_made(each)[["id", "digest"]] for each in passes]
    known = pd.concat(rows) if rows else pd.DataFrame({"id": [], "digest": []})
    return draws(evidence.probes["draws"], known)


def chooses(evidence: Evidence) -> bool:
    """Whether a run draws which samples come, and not just their order: epochs share some, and not all."""
    if not evidence.walk.known:
        return False
    first, *others = (set(items.tolist()) for items in evidence.walk.orders.values())
    return any(0 < len(first & each) < _MOSTLY * len(first | each) for each in others)


def named(streams: Iterable[str]) -> str:
    """Random streams in words."""
    return " and ".join(STREAM_NAMES[stream] for stream in sorted(streams))
