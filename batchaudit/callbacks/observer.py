"""The process beside a training that reads its log and says, once an epoch, what the report would say.

Requires pandas, which it loads while the first epoch runs. `link.py` starts it; it ends with the training.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchaudit.journal.layout import SUFFIX
from batchaudit.untrusted import shown, shown_line

if TYPE_CHECKING:
    from batchaudit.diagnosis.finding import Finding
    from batchaudit.journal.reader import Log
    from batchaudit.report.model import Report

LARGEST = 256 << 20
"""Bytes of log beyond which it is not read: its frames would take gigabytes beside the training."""
_LOOK_UP = 2.0
"""Seconds between looks at whether the training is still there."""
_MOST_EVIDENCE = 6


def main() -> None:
    """Answers until the training ends. Arguments: the path, the folder, the attempt, the training's pid."""
    folder, attempt, parent = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    with suppress(Exception):  # what is amiss is said in the answer
        importlib.import_module("batchaudit.reporting")
    line = socket.socket(fileno=0)
    with suppress(OSError):  # nobody listens any more
        for request in _requests(line, parent):
            answered = json.dumps(_answer(folder, attempt, int(request["since_ns"])))
            line.settimeout(None)
            line.sendall(answered.encode() + b"\n")


def _requests(line: socket.socket, parent: int) -> Iterator[dict[str, Any]]:
    """The training's questions, to the end of the training.

    Workers that it forked have its end of the line as well: that the line is open does not say that it lives.
    """
    asked = b""
    while os.getppid() == parent:
        line.settimeout(_LOOK_UP)
        try:
            part = line.recv(4096)
        except TimeoutError:
            continue
        if not part:
            return
        asked += part
        while b"\n" in asked:
            request, _, asked = asked.partition(b"\n")
            yield json.loads(request)


def _answer(folder: Path, attempt: int, since_ns: int) -> dict[str, Any]:
    try:
        size = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))
        if not size:  # nothing has been produced
            return {"sources": [], "findings": []}
        if size > LARGEST:
            return {
                "error": f"the log has grown beyond {LARGEST >> 20} MiB, and is analysed after the training "
                f"only (batchaudit report {folder})"
            }
        return look(folder, attempt, since_ns)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def look(folder: Path, attempt: int, since_ns: int) -> dict[str, Any]:
    """What the report says of the epoch that has just ended.

    Args:
        folder: the run's folder.
        attempt: which attempt.
        since_ns: when the epoch before ended, on the clock of the log. Sources that have delivered nothing
            since then had no part in the epoch.

    Returns:
        `sources`: the training sources that had a part in it, each with its `figures`; `findings`: of all
        sources, each with `source` ("": between several), `cause`, `severity`, and its words as `text`; where
        part of the log is lost, `lost`: what. Plain values; None is unknown.

    Raises:
        JournalError: the log cannot be read.
    """
    from batchaudit.journal.reader import load
    from batchaudit.report import incomplete
    from batchaudit.reporting import build

    log = load(folder)
    if not log.health.complete:  # a worker may have been in the middle of a record
        log = load(folder)
    report = build(folder, attempt, log)
    ours = [writer for writer in log.writers if writer.get("attempt", 0) == attempt]
    splits = {writer.get("source", ""): writer.get("about", {}).get("split") for writer in ours}
    training = [source for source in _lately(log, attempt, since_ns) if splits.get(source) == "training"]
    found = [(run.source, finding) for run in report.runs for finding in run.findings]
    between = [("", finding) for finding in report.across]
    lost = {} if report.complete else {"lost": incomplete.missing(report)}
    return lost | {
        "sources": [{"source": source, "figures": _figures(report, source)} for source in training],
        "findings": [_said(source, finding) for source, finding in found + between],
    }


def _lately(log: Log, attempt: int, since_ns: int) -> list[str]:
    """The sources that have delivered something since then."""
    from batchaudit.analysis.tables import LIVE, PROBE, handed_over

    events = log.events
    ours = (events["attempt"] == attempt) & (events["strategy"].astype(str) == LIVE)
    lately = events[
        ours & handed_over(events) & ((events["flags"] & PROBE) == 0) & (events["ended_ns"] > since_ns)
    ]
    return sorted(lately["source"].astype(str).unique())


def _figures(report: Report, source: str) -> dict[str, float | None]:
    from batchaudit.analysis.tables import LIVE
    from batchaudit.report.document import plain

    epochs = report.epochs
    its = epochs[(epochs["source"] == source) & (epochs["strategy"] == LIVE)]
    epoch: dict[str, Any] = its.sort_values("epoch").iloc[-1].to_dict()
    figures = {name: epoch[name] for name in ("effective_ratio", "seed_divergence", "seconds_waited")}
    figures["duplicate_fraction"] = _duplicates(epoch)
    if not report.complete:  # what is missing may hold duplicates
        figures |= {"effective_ratio": None, "duplicate_fraction": None}
    return {name: plain(value) for name, value in figures.items()}


def _duplicates(epoch: dict[str, Any]) -> float:
    """The share of the epoch's samples that repeat an earlier one of it; of its batches where it has none."""
    samples = float(epoch["samples"])
    if samples > 0:  # false also where it is not known
        return 1 - float(epoch["unique_samples"]) / samples
    return 1 - float(epoch["effective_ratio"])


def _said(source: str, finding: Finding) -> dict[str, str]:
    from batchaudit.report import cells

    named = [f"{shown_line(str(k))} {cells.evidence(v)}" for k, v in finding.evidence.items()]
    evidence = ", ".join(named[:_MOST_EVIDENCE])
    where = f" in {shown_line(source)}" if source else ""
    lines = [
        f"{finding.cause}{where}: {shown_line(finding.summary)}",
        *([f"Measured: {evidence}"] if evidence else []),
        *([f"What to change: {shown(finding.fix).strip()}"] if finding.fix else []),
    ]
    return {
        "source": source,
        "cause": finding.cause,
        "severity": finding.severity,
        "text": "\n".join(lines),
    }
