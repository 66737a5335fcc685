"""Where each framework hands batches to whoever consumes them; one file each framework.

A framework's file has one function, `hooks()`: a context manager within which the framework tells of what it
consumes. It is entered while an audit is open, as soon as the program has imported the framework, and never
before. To add a framework, add its file and a line to `HOOKS`.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack
from typing import Any, Protocol

import wrapt

# The module of the framework whose import calls for the hooks, and the file here that has them.
HOOKS = {
    "keras.src.trainers.epoch_iterator": "keras",
    "tf_keras.src.engine.data_adapter": "tf_keras",
    "torch.utils.data": "torch",
    "tensorflow.python.data.ops.dataset_ops": "tf_data",
}


class Watcher(Protocol):
    """An open audit, as the hooks see it."""

    def adopt(self, source: Any, *, place: str, split: str | None, steps: int | None = None) -> Any:
        """Watches a source that comes along, where the audit takes whatever comes.

        Args:
            source: what the program gives to its framework.
            place: where it was made, `train.py:41`.
            split: "training", "validation" or "prediction", where the framework tells.
            steps: batches of an epoch, where the framework tells.

        Returns:
            The watched source; the source itself where the audit watches only what it is given.
        """
        ...

    def lost(self, reason: str) -> None:
        """Takes note that something goes unwatched, so that nothing is ruled out.

        Args:
            reason: what, and why.
        """
        ...


_open: list[Watcher] = []
_installed: dict[str, ExitStack] = {}
_registered: set[str] = set()


def begin(watcher: Watcher) -> None:
    """Puts the hooks of all frameworks in place that are imported, now or later, for as long as it is open.

    Args:
        watcher: an audit that has been opened.
    """
    _open.append(watcher)
    for name in HOOKS:
        if name in _registered:
            if name in sys.modules:
                _install(name)
            continue
        _registered.add(name)
        wrapt.register_post_import_hook(lambda module: _install(module.__name__), name)


def end(watcher: Watcher) -> None:
    """Takes the hooks away with the last open audit.

    Args:
        watcher: an audit that is being closed.
    """
    if watcher in _open:
        _open.remove(watcher)
    if not _open:
        for name in list(_installed):
            _installed.pop(name).close()


def adopted(source: Any, *, place: str, split: str | None = None, steps: int | None = None) -> Any:
    """A source that a hook comes across: watched, where an open audit takes whatever comes.

    Args:
        source: what the program gives to its framework, which nobody watches yet.
        place: where it was made, `train.py:41`.
        split: "training", "validation" or "prediction", where the framework tells.
        steps: batches of an epoch, where the framework tells.

    Returns:
        The watched source, or the source itself.
    """
    for watcher in _open:
        watched = watcher.adopt(source, place=place, split=split, steps=steps)
        if watched is not source:
            return watched
    return source


def _install(name: str) -> None:
    if not _open or name in _installed:
        return
    stack = ExitStack()
    try:
        stack.enter_context(importlib.import_module(f"{__name__}.{HOOKS[name]}").hooks())
    except Exception as error:  # it would come out of the program's own import of the framework
        for watcher in _open:
            watcher.lost(f"{HOOKS[name]} is not watched: {type(error).__name__}: {error}")
        return
    _installed[name] = stack
