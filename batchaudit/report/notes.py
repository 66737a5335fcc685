"""What a reader must know of a report or a comparison: the sentences, each under a stable name."""

from __future__ import annotations

NOTES = {
    "not-consumed": "no consumer of {sources} was watched: the figures count what was produced, not what was "
    "delivered.",
    "incomplete-log": "the log is not whole: {lost}. What is missing may hold duplicates.",
    "unverified": "{count} could not be verified and may be wrong (mode salvage): figures and findings may "
    "rest on that.",
    "keyed": "the log is keyed: its digests, ids and random states tell what is equal, and nothing else. Ids "
    "have no order, and are no numbers of the items.",
    "keys-differ": "parts of the log were written with different keys, or some without one: what is equal in "
    "two of them does not look equal.",
    "unhashable": "{source} yields what cannot be hashed by value ({leaves}): how many of its batches are "
    "different is not known.",
    "one-pass": "the source was one iterator, which has one pass: there is no serial baseline. Give a "
    "callable that makes it for the full diagnosis.",
    "diff-incomplete-log": "the log of {letter} is not whole: {lost}.",
    "diff-missing-rank": "{letter} lacks the log of rank {ranks}.",
    "diff-not-consumed": "no consumer of {sources} was watched in {letter}: what was produced stands for "
    "what was delivered.",
    "diff-cut-otherwise": "the epochs are cut otherwise: batches an epoch are {ours} in A and {theirs} in B; "
    "the streams are compared as one long epoch.",
}
"""Those that begin with "diff" are of comparisons."""


def note(slug: str, **values: str) -> str:
    """One of the sentences, filled in.

    Args:
        slug: its name.
        values: what stands in its braces.
    """
    return NOTES[slug].format(**values)
