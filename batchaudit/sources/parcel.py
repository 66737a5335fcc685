"""What a worker sends: a batch, and the ticket of its record."""

from __future__ import annotations

from typing import Any, NamedTuple


class Parcel(NamedTuple):
    """A batch on its way from a worker, with the ticket of its record."""

    ticket: int
    batch: Any
