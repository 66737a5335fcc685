"""batchaudit: are the batches that reach your model the batches you think they are?

Importing it loads no framework and not pandas; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from batchaudit.errors import BatchauditError, FindingError, UsageError, WorkerError

if TYPE_CHECKING:
    from batchaudit import testing
    from batchaudit.auditing import audit, report_of
    from batchaudit.capture.fingerprint import fingerprint
    from batchaudit.comparing import compare
    from batchaudit.diagnosis.finding import Finding, Verdict
    from batchaudit.journal.reader import Log, load
    from batchaudit.live import Audit
    from batchaudit.report.model import Report, Run

__version__ = "0.1.0"

_WHERE = {
    "Audit": "batchaudit.live",
    "Finding": "batchaudit.diagnosis.finding",
    "Log": "batchaudit.journal.reader",
    "Report": "batchaudit.report.model",
    "Run": "batchaudit.report.model",
    "Verdict": "batchaudit.diagnosis.finding",
    "audit": "batchaudit.auditing",
    "compare": "batchaudit.comparing",
    "fingerprint": "batchaudit.capture.fingerprint",
    "load": "batchaudit.journal.reader",
    "report_of": "batchaudit.auditing",
}
_MODULES = ("testing",)

__all__ = [
    "Audit",
    "BatchauditError",
    "Finding",
    "FindingError",
    "Log",
    "Report",
    "Run",
    "UsageError",
    "Verdict",
    "WorkerError",
    "audit",
    "compare",
    "fingerprint",
    "load",
    "report_of",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"batchaudit.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'batchaudit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def load_ipython_extension(ipython: Any) -> None:
    """Adds `%%batchaudit` to a notebook: `%load_ext batchaudit`.

    Args:
        ipython: IPython's shell.
    """
    importlib.import_module("batchaudit.ipython").register(ipython)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_MODULES})
