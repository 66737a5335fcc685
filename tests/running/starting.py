"""Starts scripts with `python` and with `batchaudit run`, to be compared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300  # a process that takes longer hangs

PLAIN = (sys.executable,)
WATCHED = (sys.executable, "-m", "batchaudit", "run")
NOTHING_SEEN = "batchaudit: no source of batches was seen."


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its exit code as `subprocess` has it, and what it printed."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """An environment in which this checkout's batchaudit is found, and that names no launcher's rank."""
    own = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **own, **more}


def start(
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Starts a process whose three streams are pipes; use it as a context manager.

    Args:
        command: what to run.
        folder: the current folder.
        env: by default `environment()`.
        options: of `subprocess.Popen`; `preexec_fn` begins with the signals of a terminal.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    prepare = options.pop("preexec_fn", None)

    def begin() -> None:
        _as_in_a_terminal()
        if prepare:
            prepare()

    return _Ended(
        list(map(str, command)),
        cwd=folder,
        env=dict(env or environment()),
        encoding="utf-8",
        preexec_fn=begin,
        **{**pipes, **options},
    )


def _as_in_a_terminal() -> None:
    """A shell's background job, or nohup, in which the tests may run, ignores some signals, and so would this."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class _Ended(subprocess.Popen[str]):
    """A process that does not outlive a test that fails: waiting for it would take for ever."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def ended(
    command: Sequence[str | Path],
    folder: Path,
    env: Mapping[str, str] | None = None,
    given: str = "",
    **options: Any,
) -> Ended:
    """Runs a process to its end.

    Args:
        command: what to run.
        folder: the current folder.
        env: by default `environment()`.
        given: its standard input.
        options: of `subprocess.Popen`.
    """
    with start(command, folder, env, **options) as process:
        try:
            out, err = process.communicate(given, timeout=SECONDS)
        finally:
            process.kill()
    return Ended(process.returncode, out, err)


def both(script: str | Path, *arguments: str, folder: Path, **options: Any) -> tuple[Ended, Ended]:
    """The same script without batchaudit and with it."""
    return (
        ended([*PLAIN, script, *arguments], folder, **options),
        ended([*WATCHED, script, *arguments], folder, **options),
    )


def write(folder: Path, name: str, text: str) -> Path:
    """Writes a script."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
