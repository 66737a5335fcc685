"""A process that has imported the frameworks, and forks one child for each loader that it is told to drive.

    python -m tests.faults.warm torch|tensorflow

reads one JSON document a line: `{"case": ..., "folder": ..., "watched": ...}`, and answers each with one:
`{"code": ..., "seen": [...], "said": "..."}`. A child ends as an interpreter does, by SystemExit.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import warnings

PATIENCE = 120.0
"""Seconds after which a child is given up: it hangs."""

MODULES = {"torch": ("torch", "torch.utils.data"), "tensorflow": ("tensorflow", "keras", "tf_keras")}


def main():
    for module in MODULES[sys.argv[1]]:
        importlib.import_module(module)
    # Not through Python's own buffers, which each child would inherit.
    requests = os.fdopen(os.dup(0), "r", closefd=True)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while True:
        line = requests.readline()
        if not line:
            return 0
        outcome = _forked(json.loads(line))
        if outcome is None:  # this is the child
            return 0
        print(json.dumps(outcome), flush=True)


def _forked(job):
    """What came of a job; None in its own process, when it is done."""
    receives, sends = os.pipe()
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(receives)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            _drive(job, sends)
            return None
        os.close(sends)
        code = _awaited(pid)
        with os.fdopen(receives, "rb") as pipe:
            os.set_blocking(receives, False)
            told = pipe.read() or b""
        said.seek(0)
        text = said.read().decode(errors="replace")
    return {"code": code, "seen": json.loads(told) if told else None, "said": text[-4000:]}


def _awaited(pid):
    """How a child has ended; whatever it has left running is ended."""
    watch = os.pidfd_open(pid)
    try:
        if not select.select([watch], [], [], PATIENCE)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hangs"
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(watch)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _drive(job, sends):
    from tests.faults import one_loader

    warnings.simplefilter("default")
    seen = one_loader.run(job["case"], job["folder"], job["watched"])
    os.write(sends, json.dumps(seen).encode())
    os.close(sends)


if __name__ == "__main__":
    sys.exit(main())
