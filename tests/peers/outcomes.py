"""A pytest plugin that writes down how each test ended, as it ends: a crash or a hang takes nothing back.

It also does what the peers' own way of starting their tests does before the first one. Requires pytest and,
in the environment, the folder to write to (`OUT`). The runner reads what was written.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

OUT = "BATCHAUDIT_PEERS_OUT"
WAY = "BATCHAUDIT_PEERS_WAY"
FILE = "outcomes.jsonl"
WATCHED = "watched.jsonl"
JOURNAL = "journal"

_RANK = {"passed": 0, "skipped": 1, "failed": 2}
_worst: dict[str, str] = {}
_why: dict[str, str] = {}


def pytest_collection_finish() -> None:
    # `absltest.main` would have read the command line, and its temporary folders are named by flags.
    if "absl.flags" in sys.modules:
        sys.modules["absl.flags"].FLAGS.mark_as_parsed()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # A report for each phase, and for each subtest: a test is as good as the worst of them.
    name = report.nodeid.partition("::")[2]
    _worst[name] = max(_worst.get(name, "passed"), report.outcome, key=_RANK.__getitem__)
    if report.failed:
        _why.setdefault(name, _account(report))
    if report.when == "teardown":
        write(FILE, {"test": name, "outcome": _worst.pop(name), "why": _why.pop(name, "")})


def _account(report: pytest.TestReport) -> str:
    """The error in one line, and pytest's whole account of it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = " ".join(crash.message.split()) if crash else ""
    return f"{message[:200]}\n{report.longreprtext}"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        write(FILE, {"error": str(report.longrepr)})


def write(file: str, line: dict[str, Any]) -> None:
    """Appends one line of JSON to a file of the folder that the runner reads."""
    with Path(os.environ[OUT], file).open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def read(folder: Path, file: str) -> list[dict[str, Any]]:
    """What was written to `file`; nothing where the process did not come so far."""
    path = folder / file
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
