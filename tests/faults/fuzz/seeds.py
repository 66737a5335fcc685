"""The inputs that a fuzzer begins with: what real runs have written, whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import batchaudit as ba
from batchaudit.journal.layout import SUFFIX
from tests.faults.fuzz.targets import NEXT, RAW, RESEALED

_MOST_FILES, _LARGEST = 2, 8_000


def made(folder: Path) -> dict[str, list[bytes]]:
    """Runs what the inputs of each target are made of.

    Args:
        folder: an empty one.

    Returns:
        The inputs of each target.
    """
    runs = [folder / "audit", folder / "watched"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ba.audit(
            _batches, ["serial", "threads:2"], epochs=2, key=_ids, probes=False, out=runs[0], name="batches"
        )
        for _ in range(2):
            with ba.Audit(runs[1]) as audit:
                train, val = audit.wrap([[1], [2], [3]], name="train"), audit.wrap([[2], [4]], name="val")
                for _ in range(2):
                    assert [len(list(part)) for part in (train, val)] == [3, 2]
    folders = [first + _folder(run) for run in runs for first in (RAW, RESEALED)]
    reports = []
    for number, run in enumerate(runs):
        ba.report_of(run).save(folder / f"{number}.json")
        reports.append((folder / f"{number}.json").read_bytes())
    return {
        "reader": folders,
        "manifest": [path.read_bytes() for run in runs for path in sorted(run.glob("manifest-*.json"))],
        "saved": reports,
        "command": [*folders, *reports, b" rng-clone", b" --fix"],
    }


def _batches() -> Any:
    for number in range(4):
        yield np.random.rand(2), np.array([2 * number, 2 * number + 1])


def _ids(batch: Any) -> Any:
    return batch[1]


def _folder(run: Path) -> bytes:
    journals = sorted(run.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_size)
    journals = [path for path in journals if 1_500 < path.stat().st_size < _LARGEST][:_MOST_FILES]
    parts = [path.read_bytes() for path in (*journals, *sorted(run.glob("manifest-*.json")))]
    return NEXT.join([*parts, b"failed: OSError: No space left on device"])
