"""Where in the user's program something happens: `train.py:41`."""

from __future__ import annotations

import os
import sys
import sysconfig
import weakref
from types import FrameType
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NOT_THEIRS = tuple(os.path.join(path, "") for path in {_PACKAGE, sysconfig.get_path("stdlib")})
# Where libraries are installed, whichever of Python's and Debian's places that is.
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

_made: dict[int, tuple[weakref.ref[Any], str]] = {}


def caller(frame: FrameType | None = None) -> str:
    """The line of the user's own code that is being executed.

    Args:
        frame: where to begin to look; by default the caller.

    Returns:
        `file.py:line`, the file relative to the script's folder where it lies in it; "" where all code that
        is being executed is a library's.
    """
    frame = frame or sys._getframe(1)
    found: FrameType | None = frame
    while found is not None and not _is_theirs(found.f_code.co_filename):
        found = found.f_back
    return "" if found is None else f"{_shown(found.f_code.co_filename)}:{found.f_lineno}"


def note(made: Any) -> None:
    """Remembers which line of the user's code makes an object, without keeping the object.

    Args:
        made: an object that is being made; one that takes no weak reference is not remembered.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _makes(frame, made):  # subclasses of the user's own begin in their __init__
        frame = frame.f_back
    place, number = caller(frame), id(made)
    try:
        _made[number] = (weakref.ref(made, lambda _: _made.pop(number, None)), place)
    except TypeError:
        return


def of(made: Any) -> str:
    """Which line made an object; "" where that is not known."""
    known = _made.get(id(made))
    return known[1] if known is not None and known[0]() is made else ""


def is_theirs(frame: FrameType) -> bool:
    """Whether it is the user's own code that is being executed in a frame."""
    return _is_theirs(frame.f_code.co_filename)


def _makes(frame: FrameType, made: Any) -> bool:
    """Whether a frame is that of a method of the object that is being made: its `__init__`, or our own."""
    return frame.f_locals.get(next(iter(frame.f_code.co_varnames), "")) is made


def _is_theirs(file: str) -> bool:
    if file.startswith(("<frozen", *_NOT_THEIRS)):
        return False
    return not any(folder in file for folder in _INSTALLED)


def _cell(file: str) -> str:
    """A cell of a notebook as IPython numbers it, `In[5]`; "" for a file."""
    shells = sys.modules.get("IPython.core.interactiveshell")
    shell = shells.InteractiveShell._instance if shells is not None else None
    number = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(file)
    return "" if number is None else f"In[{number}]"


def _shown(file: str) -> str:
    cell = _cell(file)
    if cell:
        return cell
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        folder = os.path.dirname(os.path.abspath(script)) if script else os.getcwd()
        path = os.path.abspath(file)
    except OSError:  # the current folder has been removed
        return os.path.basename(file)
    return (
        os.path.relpath(path, folder) if path.startswith(os.path.join(folder, "")) else os.path.basename(path)
    )
