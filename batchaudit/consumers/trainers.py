"""Which of a model's `fit`, `evaluate` and `predict` is being executed: both Kerases call them so."""

from __future__ import annotations

import sys
from types import FrameType

SPLITS = {"fit": "training", "evaluate": "validation", "predict": "prediction"}
"""What the batches that each of them takes are for."""

_MOST_DEEP = 13


def executing(package: str) -> FrameType | None:
    """The frame of the function of `SPLITS` that a framework is executing; None where it executes none.

    Args:
        package: the framework's package.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST_DEEP):
        if frame is None:
            return None
        if frame.f_code.co_name in SPLITS and frame.f_globals.get("__name__", "").startswith(f"{package}."):
            return frame
        frame = frame.f_back
    return None
