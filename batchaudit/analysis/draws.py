"""What the probe `draws` says. Frames in, figures out. Requires pandas.

The numbers of the passes and the names of the hooks are those that the probe logs (`probes/draws.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from batchaudit.analysis.contents import short
from batchaudit.analysis.tables import Tables

_FIRST, _AGAIN, _NEXT, _OTHER, _SEEDED = range(5)
_CALLED = "drew "


@dataclass(frozen=True)
class Draws:
    """A few items, made several times.

    Attributes:
        items: how many.
        again: whether each had the same content when it was made again; None where it could not be.
        renewed: which part of the samples after an epoch's end were in no pass before it.
        steady: whether another source, from the same states, gave the same.
        altered: which part of the samples was in no other pass when everything was seeded otherwise.
        called: what made or seeded a stream: name and at how many steps.
        later: at which part of the steps after the first something made or seeded a stream.
        example: an item that another seed altered, in words; "" for none.
    """

    items: int
    again: bool | None
    renewed: float
    steady: bool
    altered: float
    called: dict[str, int]
    later: float
    example: str = ""

    @property
    def complete(self) -> bool:
        """Whether the passes agree with each other, so that they say what was drawn."""
        return self.steady and self.again is not False

    @property
    def draws(self) -> bool:
        """Whether what is drawn while an item is made decides its content, and always in the same way."""
        return self.complete and self.altered >= _SOME


_SOME = 0.05


def draws(tables: Tables | None, known: pd.DataFrame) -> Draws | None:
    """Reads the probe `draws`.

    Args:
        tables: its events; None where it was not made.
        known: the samples of the serial passes: `id` and `digest`.

    Returns:
        None where it was not made, or not to its end.
    """
    if tables is None:
        return None
    passes = {epoch: _contents(tables, epoch) for epoch in range(5)}
    if passes[_FIRST].empty or passes[_OTHER].empty or passes[_SEEDED].empty:
        return None
    first, seeded = passes[_FIRST], passes[_SEEDED]
    again = None if passes[_AGAIN].empty else _equal(first, passes[_AGAIN])
    seen = pd.concat([known[["id", "digest"]], first, passes[_AGAIN]])
    called = tables.hooks[tables.hooks["text"].str.startswith(_CALLED) & (tables.hooks["epoch"] == _FIRST)]
    steps = int(first["step"].max()) + 1
    by_name = called.groupby("text")["step"].nunique()
    late = called["step"][called["step"] > 0].nunique()
    new = _new(seeded, pd.concat([seen, passes[_NEXT]]))
    return Draws(
        steps,
        again,
        float(_new(passes[_NEXT], seen).mean()) if len(passes[_NEXT]) else 0.0,
        _equal(first, passes[_OTHER]),
        float(new.mean()),
        {str(name).removeprefix(_CALLED): int(count) for name, count in by_name.items()},
        late / (steps - 1) if steps > 1 else 0.0,
        _altered(first, seeded[new]),
    )


def _new(rows: pd.DataFrame, seen: pd.DataFrame) -> pd.Series:
    """Which samples have a content that was not seen; where they have ids, of an item that was seen."""
    new = ~rows["digest"].isin(set(seen["digest"]))
    return new if rows["id"].isna().any() else new & rows["id"].isin(set(seen["id"].dropna()))


def _contents(tables: Tables, epoch: int) -> pd.DataFrame:
    """The samples of one pass: step, position, id, digest; whole batches where samples are not hashed."""
    made = tables.produced[tables.produced["epoch"] == epoch]
    rows = tables.samples[tables.samples["event"].isin(made.index)]
    if rows["event"].nunique() < len(made):
        return pd.DataFrame({"step": made["step"], "position": 0, "id": pd.NA, "digest": made["digest_lo"]})
    joined = rows.merge(made[["step"]], left_on="event", right_index=True)
    return joined.sort_values(["step", "position"])[["step", "position", "id", "digest"]]


def _equal(first: pd.DataFrame, other: pd.DataFrame) -> bool:
    return len(first) == len(other) and bool((first["digest"].to_numpy() == other["digest"].to_numpy()).all())


def _altered(first: pd.DataFrame, new: pd.DataFrame) -> str:
    if new.empty:
        return ""
    one = new.iloc[0]
    usual = first[(first["step"] == one["step"]) & (first["position"] == one["position"])]
    if usual.empty:
        return ""
    if pd.notna(one["id"]):
        which = f"sample {int(one['id'])}"
    else:
        which = f"the sample at position {int(one['position'])} of batch {int(one['step'])}"
    return (
        f"{which} has content {short(usual['digest'].iloc[0])} each time, and {short(one['digest'])} when "
        "what is drawn for it is seeded otherwise"
    )
