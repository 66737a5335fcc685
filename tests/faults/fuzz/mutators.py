"""Changes that keep an input what it is, JSON or journals: of changed bytes alone hardly any would be read at all."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from tests.faults import forging
from tests.faults.fuzz.targets import NEXT, RESEALED

Default = Callable[[bytes, int], bytes]

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**62, 2**64, 10**30, -(2**63), 1.5, 1e308, "", "x", "\x1b[2J\u202e", [], {},
    [[]], {"a": 1}, "<script>", "error", "found", "live", [1, 2], {"@missing": "NA"}, {"@missing": "inf"},
    {"@missing": "x"}, {"@pairs": [[1, 2]]}, {"@pairs": [[[], 2]]}, "object", "int64", "S100000000", "category",
    "datetime64[ns]", "string[pyarrow]", "x" * 500,
)  # fmt: skip


def json_of(data: bytes, most: int, seed: int, default: Default) -> bytes:
    """One value of a JSON document is another, twice, or gone."""
    drawn = random.Random(seed)
    try:
        document = json.loads(data)
        for _ in range(drawn.choice((1, 1, 2, 4))):
            _replace(document, drawn)
        made = json.dumps(document).encode(errors="replace")
    except (ValueError, RecursionError):
        return default(data, most)
    return made if len(made) <= most and drawn.random() < 0.8 else default(data, most)


def _replace(inner: Any, drawn: random.Random) -> None:
    while isinstance(inner, (dict, list)) and inner:
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        key = drawn.choice(keys)
        if isinstance(inner[key], (dict, list)) and inner[key] and drawn.random() < 0.85:
            inner = inner[key]
            continue
        if drawn.random() < 0.8:
            inner[key] = copy.deepcopy(drawn.choice(_VALUES))
        elif isinstance(inner, list):
            inner.extend(inner[: drawn.randrange(1, 9)])
        else:
            del inner[key]
        return


def folder_of(data: bytes, most: int, seed: int, default: Default) -> bytes:
    """Values in the records of journals are others, and their checksums verify; manifests as `json_of`."""
    drawn = random.Random(seed)
    if not data.startswith(RESEALED) or drawn.random() < 0.3:
        return json_of(data, most, seed, default) if data.startswith(b"{") else default(data, most)
    parts = data[1:].split(NEXT)
    place = drawn.randrange(len(parts))
    if parts[place].startswith(b"{"):
        parts[place] = json_of(parts[place], most, seed, default)
    else:
        try:
            whole = forging.read(parts[place])
            (forged,) = forging.forged([whole], drawn)
            parts[place] = forging.as_bytes(*forged)
        except (AssertionError, ValueError, TypeError):  # it is damaged already
            parts[place] = default(parts[place], most)
    made = RESEALED + NEXT.join(parts)
    return made if len(made) <= most else default(data, most)


MUTATORS = {"reader": folder_of, "manifest": json_of, "saved": json_of, "command": folder_of}
