"""What the script's processes have logged, once they have ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batchaudit.journal.layout import FAILED_SUFFIX, SUFFIX

if TYPE_CHECKING:
    from batchaudit.report.model import Report

NOTHING_SEEN = (
    "no source of batches was seen. What is recognised: what fit(), evaluate() and predict() of Keras or "
    "tf_keras are given, PyTorch DataLoaders, and tf.data datasets that are iterated over."
)


def report(folder: Path) -> Report | None:
    """The report of a run; None, and pandas is not imported, where no process has logged anything.

    Args:
        folder: the run's folder.

    Raises:
        JournalError: the log cannot be read, or the processes could not write any.
    """
    if not any(path.name.endswith((SUFFIX, FAILED_SUFFIX)) for path in folder.iterdir()):
        return None
    from batchaudit.reporting import build

    return build(folder)


def nothing() -> Report:
    """The report of a script in which nothing was seen, for who asked for a document."""
    from batchaudit.report.model import Report
    from batchaudit.reporting import Frames

    none = Frames()
    epochs, workers, batches, pooled = map(none.of, ("epochs", "workers", "batches", "pooled"))
    return Report((), epochs, workers, batches, pooled, notes=(NOTHING_SEEN,))
