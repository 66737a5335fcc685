"""What the demo needs beside batchaudit, and how to import it without its noise."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from batchaudit.errors import UsageError

NEEDED: Mapping[str, str] = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf_keras": "tf-keras",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "scipy": "scipy",
}
"""Module: the package that brings it."""


def check(needed: Mapping[str, str] = NEEDED) -> None:
    """Makes sure, before anything is done, that all packages are there; imports none.

    Args:
        needed: module: package.

    Raises:
        UsageError: some are not; the message says which and how to install them.
    """
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"the demo runs real pipelines and needs {', '.join(missing)}: pip install 'batchaudit[demo]'"
        )


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Keeps what C++ code says about the machine while it is loaded off standard error.

    TensorFlow writes its first lines before it reads TF_CPP_MIN_LOG_LEVEL. If the context raises, what was
    kept back is written after all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _flush()
    with tempfile.TemporaryFile() as kept:
        saved = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            _restore(saved)
            kept.seek(0)
            os.write(2, kept.read())
            raise
        _restore(saved)


def _restore(saved: int) -> None:
    _flush()
    os.dup2(saved, 2)
    os.close(saved)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
