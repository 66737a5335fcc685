"""What a journal file may say of who writes it: a file from elsewhere says what somebody wants it to."""

from __future__ import annotations

from typing import Any

from batchaudit.untrusted import is_whole, json_of

MOST_BYTES = 1 << 20
"""Of the metadata in a header: no file has reason to hold more."""
MOST_ATTEMPTS = 10**9 - 1
MOST_RANKS = 1 << 17
"""More than any training has; what goes over all ranks of a world need not be prepared for more."""

_TEXTS = ("run", "source", "strategy", "host")
_LARGEST = 2**63 - 1
_NUMBERS = {
    "attempt": (0, MOST_ATTEMPTS),
    "rank": (0, MOST_RANKS - 1),
    "world": (0, MOST_RANKS),
    "pid": (0, _LARGEST),
    "parent_pid": (0, _LARGEST),
    "process_started": (0, _LARGEST),
    "started_ns": (-_LARGEST, _LARGEST),  # a clock may be set to before 1970
    "started_monotonic_ns": (-_LARGEST, _LARGEST),
}
# What a source says of itself: the causes rest on it.
_ABOUT_TEXTS = ("kind", "framework", "ids", "split", "data", "order")
_ABOUT_COUNTS = ("workers", "items", "batches", "batch_size", "drawn", "rows")
_MOST_COUNTED = 2**53  # beyond it a float is no longer that number
_MOST_LISTED = 10_000


def checked(text: bytes) -> dict[str, Any] | None:
    """Reads a header's metadata.

    Args:
        text: its bytes.

    Returns:
        What it says. None where it is no JSON object, or where one of the names that a reader knows stands
        for something that no writer writes there; of what it says of the source only that is left out.
    """
    try:
        found = json_of(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    texts = all(isinstance(found.get(name, ""), str) for name in _TEXTS)
    numbers = all(name not in found or is_whole(found[name], *limits) for name, limits in _NUMBERS.items())
    if not texts or not numbers:
        return None
    if "about" in found:
        about = found["about"] if isinstance(found["about"], dict) else {}
        found["about"] = {name: value for name, value in about.items() if _is_said(name, value)}
    return found


def _is_said(name: str, value: Any) -> bool:
    if name in _ABOUT_TEXTS:
        return isinstance(value, str)
    if name in _ABOUT_COUNTS:
        return is_whole(value, 0, _MOST_COUNTED)
    if name == "hooks":
        return _is_list(value) and all(isinstance(one, str) for one in value)
    if name == "shards":
        return _is_list(value) and all(is_whole(one, 0, _MOST_COUNTED) for one in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_LISTED
