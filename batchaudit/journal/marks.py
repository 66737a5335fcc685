"""Small files that say where logging failed, and see to it that a training is told once.

A fault such as a full disk hits the parent and each of its workers. The first to leave the mark of an attempt
and rank warns; it is created exclusively, so there is one first over all processes, whatever started them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

from batchaudit.errors import BatchauditWarning
from batchaudit.journal.layout import FAILED_SUFFIX


def path_of(folder: str | os.PathLike[str], attempt: int, rank: int, slug: str) -> str:
    """Where the mark of one kind of failure lies.

    Args:
        folder: the run's folder.
        attempt: which start of the run.
        rank: which training process.
        slug: the name of the warning.
    """
    return os.path.join(folder, f"attempt-{attempt:04d}-rank-{rank:04d}-{slug}{FAILED_SUFFIX}")


def leave(path: str, reason: str) -> bool | None:
    """Leaves a mark.

    Args:
        path: where; nothing there is changed.
        reason: what went wrong; it is left out where there is no room for it.

    Returns:
        Whether this process is the first to leave it; None where none can be left.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o644)
    except FileExistsError:
        return False
    except OSError:
        # A folder takes no descriptor: it can be made where a process has none left.
        try:
            os.mkdir(path)
        except FileExistsError:
            return False
        except OSError:
            return None
        return True
    with contextlib.suppress(OSError):
        os.write(fd, reason.encode(errors="backslashreplace"))
    with contextlib.suppress(OSError):
        os.close(fd)
    return True


def warn(message: str, slug: str) -> None:
    """Warns of something that stops no training, not even where warnings are errors.

    Args:
        message: what happened, and what to do.
        slug: its name in the documentation.
    """
    warning = BatchauditWarning(message, slug)
    try:
        warnings.warn(warning, stacklevel=2)
    except Exception:
        with contextlib.suppress(Exception):
            sys.stderr.write(f"{warning}\n")
