"""The stages of a tf.data pipeline, as the probe `retrace` logs them (`probes/retrace.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from batchaudit.analysis.tables import Tables


@dataclass(frozen=True)
class Stage:
    """One stage of a tf.data pipeline.

    Attributes:
        number: counted from the data on.
        name: "Map", "Cache", "Shuffle", "Repeat" ...
        says: what was seen in it: "constant", "seeded", "stateless", "random", "generator", "python".
    """

    number: int
    name: str
    says: frozenset[str]


def pipeline(tables: Tables | None) -> list[Stage]:
    """Reads the probe `retrace`.

    Args:
        tables: its events; None where it was not made.

    Returns:
        The pipeline's stages from the data on; empty where it was not made.
    """
    if tables is None:
        return []
    found = []
    hooks = tables.hooks[tables.hooks["text"].str.startswith(_STAGE)].sort_values("step", kind="stable")
    for step, text in zip(hooks["step"], hooks["text"], strict=True):
        name, _, says = str(text).removeprefix(_STAGE).partition(": ")
        found.append(Stage(int(step), name, frozenset(says.split(", ")) - {""}))
    return found


_STAGE = "stage "
