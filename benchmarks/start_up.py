"""Whole processes: importing batchaudit, and its command's help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.lines import Line, Target, compared
from benchmarks.measure import Effort, in_turns


def lines(effort: Effort) -> Iterator[Line]:
    """See `subjects`."""
    numpy, audit = _python("import numpy"), _python("from batchaudit import Audit")
    pairs = (
        ("import batchaudit", _python("import batchaudit"), numpy, "import numpy", Target(1.1)),
        ("from batchaudit import Audit", audit, numpy, "import numpy", None),
        ("batchaudit --help", _help(), _python("pass"), "python -c pass", Target(6)),
    )  # fmt: skip
    for what, command, other, against, target in pairs:
        ours, baseline = in_turns(partial(_run, command), partial(_run, other), rounds=effort.rounds(31))
        yield compared(what, ours, baseline, unit="ms", against=against, target=target)


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _help() -> list[str]:
    """The installed command, as people call it; from a checkout that is not installed, the module."""
    script = Path(sys.executable).with_name("batchaudit")
    return [str(script), "--help"] if script.exists() else [sys.executable, "-m", "batchaudit", "--help"]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
