"""Runs cases, each in a process of its own, several at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.corpus.one import Outcome

PATIENCE = 600.0
"""Seconds after which a case is given up, and all that it started is ended."""

_ROOT = Path(__file__).parent.parent.parent
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
# What a launcher would say of ranks, in a process that is none of its own.
_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TF_CONFIG", "TORCHELASTIC_RESTART_COUNT")


def run(identity: str, patience: float = PATIENCE) -> Outcome:
    """Runs one case in a new process.

    Args:
        identity: its id.
        patience: seconds after which it is given up.

    Returns:
        What came of it; where the process gave none, an outcome with the reason.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _RANKS}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.corpus.one", identity],
            stdin=subprocess.DEVNULL,
            stdout=out,  # files: a grandchild that lives on would keep a pipe open
            stderr=errors,
            cwd=_ROOT,
            env={**environment, **_ENVIRONMENT},
            start_new_session=True,
        )
        try:
            process.wait(patience)
            reason = f"its process ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"no outcome after {patience:.0f} s"
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever the case left running
            process.wait()
        return _read(identity, out, errors, reason)


def _read(identity: str, out: IO[bytes], errors: IO[bytes], reason: str) -> Outcome:
    out.seek(0)
    lines = out.read().decode(errors="replace").splitlines()
    if lines:
        return Outcome.from_dict(json.loads(lines[-1]))
    errors.seek(0)
    last = (errors.read().decode(errors="replace").strip().splitlines() or ["nothing on standard error"])[-1]
    return Outcome(identity, "", "", reasons=[f"{reason}: {last}"])


def run_all(
    identities: Sequence[str], patience: float = PATIENCE, at_once: int | None = None
) -> Iterator[Outcome]:
    """Runs cases, as many at a time as there are processors.

    Args:
        identities: their ids.
        patience: seconds after which one is given up.
        at_once: how many at a time; None for the number of processors.

    Yields:
        Their outcomes, in the order of the ids.
    """
    with ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        yield from pool.map(lambda identity: run(identity, patience), identities)
