"""How the script is started: as Python itself would be, but for two variables of its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from batchaudit import consumers
from batchaudit.errors import UsageError

SITE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
VARIABLE = "BATCHAUDIT_RUN"
KEEPING = "BATCHAUDIT_KEEPING"


def check(target: str, *, module: bool) -> None:
    """Refuses what cannot be run, before anything is made for it.

    Args:
        target: a script, a folder or zip file with a `__main__.py`, or a module's name.
        module: whether it is a module; whether that exists only Python can say.

    Raises:
        UsageError: there is no such script, or this Python would not let itself be watched.
    """
    if sys.flags.ignore_environment or sys.flags.no_site:
        raise UsageError("'batchaudit run' cannot watch under Python's options -E, -I or -S: leave them out.")
    if module:
        return
    path = Path(target)
    if not path.exists():
        looks_like_module = os.sep not in target and not target.endswith(".py")
        hint = f" A module is run with: batchaudit run -m {target}" if looks_like_module else ""
        raise UsageError(f"there is no script {target!r} (the current folder is {Path.cwd()}).{hint}")
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise UsageError(f"{target!r} is a folder without a __main__.py: name a script.")


def command(target: str, arguments: Sequence[str], *, module: bool) -> list[str]:
    """The command that runs the target as Python does.

    Args:
        target: as for `check`.
        arguments: the script's own.
        module: whether the target is a module.

    Returns:
        The interpreter, the options that this process was given, the target, its arguments.
    """
    # The same options that multiprocessing hands on to the workers it starts, and -u, which it leaves out.
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if getattr(sys.stdout, "write_through", False):
        options.append("-u")
    return [sys.executable, *options, *(["-m"] if module else []), target, *arguments]


def environment(
    folder: Path,
    attempt: int,
    inherited: Mapping[str, str],
    max_bytes: int | None = None,
    key_file: str | None = None,
) -> dict[str, str]:
    """The environment in which the script and every Python process below it watches itself.

    Args:
        folder: the run's folder.
        attempt: which start of the run this is.
        inherited: the environment that the script would have without us.
        max_bytes: how many bytes the run's files may have; None for no limit.
        key_file: where the key lies that makes the log unlinkable; None for none.

    Returns:
        The same, with our `sitecustomize` first in PYTHONPATH, a variable that says where to log and, if that
        is limited, one that says what may be kept. All stay visible to the script: the processes that it
        starts need them.
    """
    # An empty one counts for nothing in Python; behind a colon it would name the current folder.
    theirs = inherited.get("PYTHONPATH")
    keeping = {}
    if max_bytes is not None or key_file is not None:
        keeping[KEEPING] = f"{max_bytes or ''}\n{'' if key_file is None else os.path.abspath(key_file)}"
    return {
        **{name: value for name, value in inherited.items() if name != KEEPING},
        **keeping,
        "PYTHONPATH": os.pathsep.join([SITE, theirs] if theirs else [SITE]),
        VARIABLE: "\n".join([str(attempt), ",".join(consumers.HOOKS), str(folder.absolute())]),
    }
