"""Stands between whoever started the script and the script: signals go down, the way it ended goes up.

Both processes are of one process group: what the terminal sends (Ctrl-C, hanging up) reaches the
script without us, and must not reach it twice. What another program sends to us alone is handed on.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from batchaudit.errors import UsageError

FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
_FROM_TERMINAL = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
_AWAITED = FORWARDED | {signal.SIGCHLD}
# Python ignores them in its own process, and so in this one; a process that it starts begins as usual.
_CHANGED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def supervise(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end and hands on to it what is sent to this process.

    Args:
        command: an absolute path, and arguments.
        environment: the command's environment.

    Returns:
        Its exit code; -N where signal N has ended it.

    Raises:
        UsageError: it cannot be started.
    """
    with _held_back() as mask:
        try:
            # Not subprocess.Popen: it closes the descriptors that the script would inherit from its shell.
            child = os.posix_spawn(
                command[0], list(command), environment, setsigmask=mask, setsigdef=_CHANGED_BY_PYTHON
            )
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be started: {error.strerror}.") from None
        return _await(child)


def end_by(number: int) -> NoReturn:
    """Ends this process by a signal, so that whoever waits for it sees what became of the script.

    Args:
        number: the signal's.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # the script has left its core, ours is of no use
    with suppress(OSError, ValueError):  # no handler can be set for SIGKILL
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _await(child: int) -> int:
    while True:
        number, by_terminal = _next_signal()
        if number == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        elif not by_terminal:
            os.kill(child, number)  # it cannot be another process: nobody but us waits for it


def _next_signal() -> tuple[int, bool]:
    """Waits for a signal; says also whether the terminal has sent it, to the script as well."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(_AWAITED)
        return info.si_signo, info.si_code > 0  # the kernel's own; what a process sends is 0 or less
    number = signal.sigwait(_AWAITED)
    return number, number in _FROM_TERMINAL and _in_foreground()


def _in_foreground() -> bool:
    """Whether the terminal would send its signals to this process: the best guess where none can be asked."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextmanager
def _held_back() -> Iterator[set[int]]:
    """Lets signals wait until they are asked for; yields the mask that this process was started with."""
    # A signal that nobody handles may be dropped though it is blocked; an inherited SIG_IGN reaps the child.
    before = signal.signal(signal.SIGCHLD, _nothing)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        yield set(mask)
    finally:
        while signal.sigpending() & _AWAITED:  # for a script that has ended there is nothing to do
            signal.sigwait(_AWAITED)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass
