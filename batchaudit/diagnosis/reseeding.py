"""Does a source seed a random stream itself, for each batch?

A stream that only draws never comes back to a state. In one continuous serial pass, two batches that
began from different states and ended in the same one were seeded by the source in between.
"""

from __future__ import annotations

from batchaudit.analysis.evidence import Evidence
from batchaudit.analysis.seeds import moved


def reseeding_streams(evidence: Evidence) -> list[str]:
    """The streams that the source seeds for each batch.

    Args:
        evidence: one run; its serial baseline is looked at.

    Returns:
        Names of streams; empty where there is no baseline to tell.
    """
    first = evidence.baseline.first
    if first is None:
        return []
    made = first.produced
    found = []
    for stream in evidence.streams:
        drew = made[moved(made, stream)]
        befores = drew.groupby(f"rng_{stream}_after")[f"rng_{stream}_before"].nunique()
        if bool((befores > 1).any()):
            found.append(stream)
    return found


def draws_for_each_batch(evidence: Evidence, stream: str) -> bool:
    """Whether most batches of the serial baseline draw from a stream; True where there is none to tell.

    A stream that moves more rarely orders the samples, or was moved in passing: what it was drawn for shows
    only in the batches.
    """
    first = evidence.baseline.first
    return first is None or bool(moved(first.produced, stream).mean() >= 0.5)
