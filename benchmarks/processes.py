"""Runs each subject in a process of its own and takes in its lines, whatever becomes of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lines import Line, not_measured
from benchmarks.measure import Effort
from benchmarks.subjects import SUBJECTS

_ROOT = Path(__file__).resolve().parents[1]


def run(name: str, effort: Effort) -> Iterator[Line]:
    """The lines of a subject; a process that fails gives one more line, which says so.

    Args:
        name: one of `SUBJECTS`.
        effort: how much time it may take.
    """
    words = [word for word in ("quick", "full") if getattr(effort, word)]
    command = [sys.executable, "-m", "benchmarks.one", name, *words]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **os.environ}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, cwd=_ROOT, env=quiet
        )
        with child:
            try:
                for text in child.stdout or ():
                    yield line_of(json.loads(text))
            except BaseException:
                child.kill()
                raise
        if child.returncode:
            said.seek(0)
            last = (said.read().strip().splitlines() or [f"exit code {child.returncode}"])[-1]
            yield not_measured(SUBJECTS[name].about, f"it failed: {last}")


def line_of(read: dict[str, Any]) -> Line:
    """A line from its JSON.

    Args:
        read: as `dataclasses.asdict` made it.
    """
    spread = read["spread"]
    return Line(**{**read, "spread": None if spread is None else (spread[0], spread[1])})
